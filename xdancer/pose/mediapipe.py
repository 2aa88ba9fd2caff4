"""MediaPipe Holistic as keypoint detector: works offline, its wheel carries the models.

Its own temporal filter is off: on real dance it lags by a quarter of a frame (10 ms at 24 fps), which costs beats more than jitter does.
"""

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import UInt8
from lightning_utilities.core.imports import RequirementCache

from xdancer.errors import MissingPackageError
from xdancer.pose.detector import DetectedPose, PoseDetector, add_neck
from xdancer.skeleton import BODY, KEYPOINT_COUNT, LEFT_HAND, NECK, RIGHT_HAND

REQUIREMENT = RequirementCache("mediapipe==0.10.14")
LANDMARK = (0, 0, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
"""MediaPipe's landmark for each OpenPose body keypoint; the neck's entry is replaced by the midpoint of the shoulders."""


class MediaPipeDetector(PoseDetector):
    """Body confidence = MediaPipe's visibility; a hand has 1 where it was found, else 0. Runs on the CPU."""

    name = "mediapipe"
    device = "cpu"

    def __init__(self) -> None:
        if not REQUIREMENT:
            raise MissingPackageError(
                "MediaPipe is not installed, so no pose can be found in pictures. Install it: pip install 'xdancer[pose]' (Python < 3.13)."
            )
        with _quiet():
            import mediapipe

        self.version = mediapipe.__version__
        self._holistic = mediapipe.solutions.holistic.Holistic  # pyright: ignore[reportAttributeAccessIssue]  # made at import time

    def track(self, frames: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Iterator[DetectedPose]:
        """One result per consecutive RGB picture; each call starts a new video."""
        pictures = map(np.ascontiguousarray, frames)
        first = next(pictures, None)
        if first is None:
            return
        with _quiet():
            graph = self._holistic(model_complexity=1, smooth_landmarks=False, enable_segmentation=True, smooth_segmentation=False)
            graph.process(first)  # the first look is coarse (ankles of a portrait 20 of 1088 px off), the second goes on from it
        try:
            for picture in chain([first], pictures):
                with _quiet(False):
                    result = graph.process(picture)
                yield _convert(result, *picture.shape[:2])
        finally:
            graph.close()


def _convert(result: Any, height: int, width: int) -> DetectedPose:
    """MediaPipe's landmarks (shares of the picture) → our 60 keypoints in pixels."""
    pixels = np.zeros((KEYPOINT_COUNT, 3), np.float32)
    mask = np.zeros((height, width), np.uint8)
    if result.pose_landmarks is not None:
        landmarks = np.array([[mark.x, mark.y, mark.visibility] for mark in result.pose_landmarks.landmark], np.float32)
        pixels[BODY] = landmarks[list(LANDMARK)]
        pixels[BODY, 2] = pixels[BODY, 2].clip(0, 1)
        pixels[NECK] = 0
        add_neck(pixels)
        for part, marks in ((LEFT_HAND, result.left_hand_landmarks), (RIGHT_HAND, result.right_hand_landmarks)):
            if marks is not None:
                pixels[part] = [[mark.x, mark.y, 1.0] for mark in marks.landmark]
        pixels[:, :2] *= (width, height)
        if result.segmentation_mask is not None:
            mask = (result.segmentation_mask * 255).round().clip(0, 255).astype(np.uint8)
    return DetectedPose(pixels, mask)


@contextmanager
def _quiet(silence: bool = True) -> Iterator[None]:
    """Keep TensorFlow Lite's start-up chatter off the terminal (it writes to the file descriptor) and protobuf's deprecation notes too."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"SymbolDatabase\.GetPrototype", category=UserWarning)
        if not silence:
            yield
            return
        saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(null)
