"""Finding the person again in rendered pictures: share of frames with a detection, and PCK@.1 against the poses that drove them."""

from collections import defaultdict

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray
from torch.nn import functional

from xdancer import skeleton as sk
from xdancer.metrics.pose import body_height, pck_counts
from xdancer.metrics.reconstruction import byte_pictures, unit_pictures
from xdancer.metrics.video_item import VideoItem
from xdancer.pose.coordinates import to_normalised
from xdancer.pose.detector import PoseDetector

ENLARGE = 4
"""Pictures are enlarged so many times (bicubic) before detection: detectors need more than 128 pixels."""


class Redetection:
    """Sums over clips of what the detector finds in generated, true and portrait pictures, against the driving poses.

    Args:
        detector: any.
        every: takes every n-th frame.
    """

    KEYS = (
        "detected_share",
        "detected_share_true",
        "detected_share_copy",
        "pck",
        "pck_true",
        "pck_copy",
        "pck_copy_same_frames",
        "pck_all_frames",
    )

    def __init__(self, detector: PoseDetector, every: int) -> None:
        self.detector, self.every = detector, every
        self.frames = 0
        self.sums: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(2, np.int64))

    @classmethod
    def unknown(cls) -> dict[str, float]:
        return dict.fromkeys(cls.KEYS, float("nan"))

    def _detect(self, frames: UInt8[NDArray, "frame height width 3"]) -> tuple[Float[NDArray, "frame 60 3"], Bool[NDArray, " frame"]]:
        """Poses in the coordinates of `PoseBatch`, and in which frames a body was found."""
        height, width = frames.shape[1] * ENLARGE, frames.shape[2] * ENLARGE
        large = functional.interpolate(unit_pictures(frames), size=(height, width), mode="bicubic", align_corners=False)
        pictures = byte_pictures(large)
        pixels = self.detector.detect(pictures).pixels
        found = np.any(pixels[:, sk.BODY, 2] > 0, axis=1)
        return to_normalised(pixels, width=width, height=height), np.asarray(found)

    def add(self, item: VideoItem) -> None:
        chosen = slice(None, None, self.every)
        pose = item.pose[chosen]
        self.frames += len(pose)
        generated, found = self._detect(item.generated[chosen])
        true, found_true = self._detect(item.true[chosen])
        copy, found_copy = (np.repeat(value, len(pose), axis=0) for value in self._detect(item.portrait[None]))
        for name, hits in (("", found), ("_true", found_true), ("_copy", found_copy)):
            self.sums[f"detected_share{name}"] += (int(hits.sum()), len(hits))
        for name, predicted, frames in (
            ("pck", generated, found),
            ("pck_true", true, found_true),
            ("pck_copy", copy, found_copy),
            ("pck_copy_same_frames", copy, found_copy & found),
            ("pck_all_frames", generated, np.ones_like(found)),
        ):
            self.sums[name] += self._pck(predicted, pose, frames)

    @staticmethod
    def _pck(predicted: Float[NDArray, "frame 60 3"], pose: Float[NDArray, "frame 60 3"], frames: Bool[NDArray, " frame"]) -> NDArray[np.int64]:
        """Hits and visible keypoints over some frames; the body height is that of the whole clip."""
        return np.array(pck_counts(predicted[frames], pose[frames], height=body_height(pose)))

    def values(self) -> dict[str, float]:
        return {key: float(self.sums[key][0] / self.sums[key][1]) if self.sums[key][1] else float("nan") for key in self.KEYS}
