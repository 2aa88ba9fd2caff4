"""Videos that show a held-out clip beside its truth and the null rows."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray

from xdancer.media import encode_video
from xdancer.metrics.reconstruction import null_rows, person_region, unit_pictures
from xdancer.metrics.video_item import VideoItem
from xdancer.pipelines.dance import to_pictures
from xdancer.pose.render import draw_skeleton

COLUMNS = ("portrait", "driving pose", "true", "rendered", "null: copy the portrait", "null: training mean", "null: grey person")
POSE_COLUMNS = ("true", "generated")


def comparison_video(item: VideoItem, training_mean: UInt8[NDArray, "height width 3"] | None, tags: Mapping[str, str]) -> bytes:
    """An mp4 of `COLUMNS` side by side (black where there is no training mean), with these tags."""
    frames, height, width = item.true.shape[:3]
    target = unit_pictures(item.true)
    reference = None if item.portrait_mask is None else torch.from_numpy(item.portrait_mask)
    region = person_region(torch.from_numpy(item.mask), reference)
    mean = None if training_mean is None else unit_pictures(training_mean[None])[0]
    nulls = null_rows(unit_pictures(item.portrait[None])[0], target, region, mean)
    poses = np.stack([draw_skeleton(pose, height, width) for pose in item.pose])
    still = np.broadcast_to(item.portrait, item.true.shape)
    panels = [still, poses, item.true, item.generated]
    panels += [to_pictures(nulls[name]) if name in nulls else np.zeros_like(item.true) for name in ("copy", "mean", "grey")]
    return encode_video(list(np.concatenate(panels, axis=2)[:frames]), crf=16, metadata=tags)


def pose_pictures(
    poses: Sequence[NDArray[np.float32]], *, height: int = 256, width: int = 256, gap: int = 4
) -> list[UInt8[NDArray, "panel_height panel_width 3"]]:
    """Skeletons of several dances side by side, one picture per frame of the shortest."""
    frames = min(len(pose) for pose in poses)
    rule = np.full((height, gap, 3), 90, np.uint8)
    pictures = []
    for index in range(frames):
        row = [draw_skeleton(pose[index], height, width) for pose in poses]
        pictures.append(np.concatenate([part for panel in row for part in (panel, rule)][:-1], axis=1))
    return pictures
