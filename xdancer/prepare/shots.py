"""Where a video cuts from one shot to the next: PySceneDetect's adaptive detector, fed with small pictures that PyAV decodes.

Adaptive: a picture counts by how much more it differs from the one before than its neighbours do, so that a fast dance or a moving camera is no
cut. Cross-fades are not found; a flash of light is told from a cut by the pictures before and behind it, which are alike.
"""

from collections import deque
from importlib.metadata import version
from pathlib import Path

import numpy as np
from lightning_utilities.core.imports import RequirementCache
from numpy.typing import NDArray

from xdancer import media
from xdancer.errors import MissingPackageError
from xdancer.prepare.settings import PrepareSettings

REQUIREMENT = RequirementCache("scenedetect>=0.6.4,<0.7")
HEIGHT = 144
"""Of the pictures that are compared."""
LEAST_CHANGE = 15.0
"""Mean difference in hue, saturation and value (0 … 255) below which no picture begins a shot: PySceneDetect's default."""
FLASH = 4
"""Pictures: where those this far apart around a cut differ by less than half of what the cut does, it was a flash."""


def shot_finder(settings: PrepareSettings) -> str:
    """Name and version of what finds shots; empty where none are looked for.

    Raises:
        MissingPackageError: PySceneDetect is not installed.
    """
    if not settings.shot_threshold:
        return ""
    if not REQUIREMENT:
        raise MissingPackageError(
            "PySceneDetect (0.6) is not installed, so cuts between shots cannot be found. Install it: pip install 'xdancer[pose]' (or "
            "'xdancer[wholebody]'); or pass --shot-threshold 0 for videos without cuts."
        )
    return f"scenedetect {version('scenedetect')}"


def shot_starts(path: Path, settings: PrepareSettings) -> list[float]:
    """Seconds from the first picture at which the second and all later shots begin.

    Decodes the whole video, at small size.

    Raises:
        MediaError: damaged.
    """
    if not shot_finder(settings):
        return []
    from scenedetect.detectors import AdaptiveDetector

    detector = AdaptiveDetector(adaptive_threshold=settings.shot_threshold, min_scene_len=1, min_content_val=LEAST_CHANGE)
    times, cuts, shown = list[float](), list[float](), deque[NDArray[np.int16]](maxlen=2 * FLASH)
    waiting: list[int] = []
    for number, (time, picture) in enumerate(media.stream_video(path, height=HEIGHT)):
        times.append(time if settings.source_fps is None else number / settings.source_fps)
        shown.append(picture[::4, ::4].astype(np.int16))
        waiting += detector.process_frame(number, np.ascontiguousarray(picture[..., ::-1]))
        while waiting and number - waiting[0] == FLASH - 1:
            cuts += [times[waiting[0]]] if _is_cut(list(shown)) else []
            waiting.pop(0)
    return cuts + [times[number] for number in waiting]


def _is_cut(around: list[NDArray[np.int16]]) -> bool:
    """Whether a cut in the middle of these pictures is more than a flash: the first and last of them differ too."""
    middle = len(around) - FLASH
    if middle < 1:
        return True
    jump = np.abs(around[middle] - around[middle - 1]).mean()
    return bool(np.abs(around[-1] - around[0]).mean() > jump / 2)
