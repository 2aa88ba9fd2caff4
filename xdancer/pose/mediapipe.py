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
from numpy.typing import NDArray

from xdancer.errors import MissingPackageError
from xdancer.pose.detector import MOST_PEOPLE, PERSON_MARGIN, DetectedPose, PoseDetector, add_neck
from xdancer.skeleton import BODY, KEYPOINT_COUNT, LEFT_HAND, NECK, RIGHT_HAND, VISIBLE

REQUIREMENT = RequirementCache("mediapipe==0.10.14")
LANDMARK = (0, 0, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
"""MediaPipe's landmark for each OpenPose body keypoint; the neck's entry is replaced by the midpoint of the shoulders."""


LOOK_EVERY = 24
"""Pictures from one search for further people to the next."""
FIND_PEOPLE = """
input_stream: "image"
output_stream: "detections"
node { calculator: "PoseDetectionCpu" input_stream: "IMAGE:image" output_stream: "DETECTIONS:detections" }
"""
"""MediaPipe's detector of people without what follows behind it; it tells all people apart, the graph around it keeps the surest."""


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
        graph = self._graph(first)
        try:
            for picture in chain([first], pictures):
                yield _look(graph, picture)
        finally:
            graph.close()

    def everyone(self, frames: Iterable[UInt8[np.ndarray, "height width 3"]]) -> Iterator[list[DetectedPose]]:
        """As `track` for a single person. Every further one is followed by a graph of its own, which is shown the picture without the others.

        New people are looked for every `LOOK_EVERY` pictures, by the detector that MediaPipe itself starts from.
        """
        finder, followed = None, list[_Followed]()
        try:
            for number, picture in enumerate(map(np.ascontiguousarray, frames)):
                if finder is None:
                    finder, followed = self._people_finder(), [_Followed(self._graph(picture))]
                poses = [one.look(_without(picture, one, followed)) for one in followed]
                if number % LOOK_EVERY == 0:
                    for centre in _unknown(_find_people(finder, picture), followed)[: MOST_PEOPLE - len(followed)]:
                        others = _without(picture, None, followed, keep=centre)
                        followed.append(_Followed(self._graph(others)))
                        poses.append(followed[-1].look(others))
                gone = _gone(followed)
                yield [pose for one, pose in zip(followed, poses, strict=True) if one.seen and one not in gone]
                for one in gone:
                    one.graph.close()
                followed = [one for one in followed if one not in gone]
        finally:
            for graph in [one.graph for one in followed] + ([finder] if finder is not None else []):
                graph.close()

    def _graph(self, first: UInt8[np.ndarray, "height width 3"]) -> Any:
        """Follows one person from this picture on."""
        with _quiet():
            graph = self._holistic(model_complexity=1, smooth_landmarks=False, enable_segmentation=True, smooth_segmentation=False)
            graph.process(first)  # the first look is coarse (ankles of a portrait 20 of 1088 px off), the second goes on from it
        return graph

    def _people_finder(self) -> Any:
        with _quiet():
            from mediapipe.python.solution_base import SolutionBase

            return SolutionBase(graph_config=FIND_PEOPLE, outputs=["detections"])


class _Followed:
    """One person and the graph that follows them."""

    def __init__(self, graph: Any) -> None:
        self.graph, self.unseen, self.seen = graph, 0, False
        self.box: NDArray[np.float64] = np.zeros(4)
        """Left, top, right, bottom of the person when last seen, in pixels."""
        self.centre: NDArray[np.float64] = np.zeros(2)

    def look(self, picture: UInt8[np.ndarray, "height width 3"]) -> DetectedPose:
        pose = _look(self.graph, picture)
        points = pose.pixels[pose.pixels[:, 2] >= VISIBLE, :2].astype(np.float64)
        self.seen = len(points) > 3
        self.unseen = 0 if self.seen else self.unseen + 1
        if self.seen:
            room = PERSON_MARGIN * np.ptp(points, axis=0).max()
            self.box = np.concatenate([points.min(axis=0) - room, points.max(axis=0) + room])
            self.centre = points.mean(axis=0)
        return pose


def _without(
    picture: UInt8[np.ndarray, "height width 3"], one: "_Followed | None", followed: "list[_Followed]", *, keep: Any = None
) -> UInt8[np.ndarray, "height width 3"]:
    """The picture with everybody else painted over, as far as they are not in front of or behind this one."""
    others = [other for other in followed if other is not one and other.box[2] > other.box[0]]
    if not others:
        return picture
    shown = picture.copy()
    mean = picture[::16, ::16].reshape(-1, 3).mean(axis=0).astype(np.uint8)
    for other in others:
        left, top, right, bottom = other.box.clip(0).astype(int)
        shown[top:bottom, left:right] = mean
    own = keep if one is None else one.box
    if own is not None and own[2] > own[0]:
        left, top, right, bottom = np.asarray(own).clip(0).astype(int)
        shown[top:bottom, left:right] = picture[top:bottom, left:right]
    return shown


def _find_people(finder: Any, picture: UInt8[np.ndarray, "height width 3"]) -> list[NDArray[np.float64]]:
    """Boxes (left, top, right, bottom in pixels) about people, the surest first."""
    with _quiet(False):
        found = finder.process(picture).detections or []
    height, width = picture.shape[:2]
    boxes = []
    for detection in sorted(found, key=lambda detection: -detection.score[0]):
        hip, rim = (np.array([mark.x * width, mark.y * height]) for mark in detection.location_data.relative_keypoints[:2])
        radius = float(np.linalg.norm(rim - hip))  # a circle about the hip that holds the whole body
        reach = np.array([0.5 * radius, radius])
        boxes.append(np.concatenate([hip - reach, hip + reach]))
    return boxes


def _unknown(boxes: "list[NDArray[np.float64]]", followed: "list[_Followed]") -> list[NDArray[np.float64]]:
    """Those whose middle lies in the box of nobody who is followed already."""
    new = list[NDArray[np.float64]]()
    for box in boxes:
        centre = (box[:2] + box[2:]) / 2
        known = [one.box for one in followed if one.seen] + new
        if not any((other[:2] <= centre).all() and (centre <= other[2:]).all() for other in known):
            new.append(box)
    return new


def _gone(followed: "list[_Followed]") -> "list[_Followed]":
    """Further people not seen for a while, and those who turned out to be one who was followed before."""
    gone = [one for one in followed[1:] if one.unseen >= LOOK_EVERY]
    for place, one in enumerate(followed):
        for earlier in followed[:place]:
            near = np.linalg.norm(one.centre - earlier.centre) < 0.05 * (one.box[3] - one.box[1])
            if one.seen and earlier.seen and near and one not in gone:
                gone.append(one)
    return gone


def _look(graph: Any, picture: UInt8[np.ndarray, "height width 3"]) -> DetectedPose:
    with _quiet(False):
        result = graph.process(picture)
    return _convert(result, *picture.shape[:2])


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
