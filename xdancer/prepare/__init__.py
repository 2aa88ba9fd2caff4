"""Raw dance videos → training shards: sources · filters · crop · clip · cache · songs · split · output · report · engine · parts."""

from xdancer.prepare.engine import prepare_part, prepare_videos
from xdancer.prepare.execution import Execution
from xdancer.prepare.job import SplitChoice
from xdancer.prepare.parts import Part, PartReport, merge_parts
from xdancer.prepare.report import PrepareReport
from xdancer.prepare.settings import PrepareSettings

__all__ = [
    "Execution", "Part", "PartReport", "PrepareReport", "PrepareSettings", "SplitChoice", "merge_parts", "prepare_part", "prepare_videos",
]  # fmt: skip
