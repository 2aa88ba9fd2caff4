"""The metric tables of the evaluation: `evaluate_motion` and `evaluate_video`, flat keys → numbers, null rows and n beside every value.

`xdancer evaluate`, the demo's report and the ablations all read their numbers here. A value that cannot be known is None, never guessed: no
detector, no songs for a null, too few windows. Lists of keys and their meaning: `motion_table`, `video_table`.
"""

from xdancer.metrics.motion_table import MotionItem, evaluate_motion
from xdancer.metrics.video_item import VideoItem
from xdancer.metrics.video_table import evaluate_video

__all__ = ["MotionItem", "VideoItem", "evaluate_motion", "evaluate_video"]
