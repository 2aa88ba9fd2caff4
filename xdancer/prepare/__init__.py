"""Raw dance videos → training shards: sources · filters · crop · clip · cache · split · engine · output · report."""

from xdancer.prepare.engine import prepare_videos
from xdancer.prepare.report import PrepareReport
from xdancer.prepare.settings import PrepareSettings

__all__ = ["PrepareReport", "PrepareSettings", "prepare_videos"]
