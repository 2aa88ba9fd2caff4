"""Shards: standard WebDataset tars with an index of member offsets and a manifest. One door to writing, reading and verifying them."""

from xdancer.data.members import DamagedSampleError
from xdancer.data.reader import ShardReader
from xdancer.data.verify import SplitReport, VerifyReport, verify
from xdancer.data.writer import ShardWriter

__all__ = ["DamagedSampleError", "ShardReader", "ShardWriter", "SplitReport", "VerifyReport", "verify"]
