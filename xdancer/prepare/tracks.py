"""Who is who from picture to picture: poses of several people → one track per person.

A pose continues the track whose expected place (last pose, moved on at its speed) it is nearest to, all poses and tracks of a picture at once.
Distances are mean distances of body keypoints in heights of the person, and a little of the difference in the colour of the clothes. What is
further than a body can move, or of another size, is no continuation; and where exchanging two people would cost hardly more, nobody knows
who is who. Then tracks end and new ones begin: a track may be short, it never jumps to somebody else.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from xdancer.pose.detector import DetectedPose
from xdancer.skeleton import BODY, LEFT_HIP, LEFT_SHOULDER, RIGHT_HIP, RIGHT_SHOULDER, VISIBLE

LONGEST_GAP = 0.5
"""Seconds without a person that a clip may contain; keypoints are held meanwhile, with confidence 0."""
JUMP, SPEED = 0.3, 0.6
"""A pose is at most this many heights from where the track expects it, and this many more per second."""
SIZE = 1.6
"""How many times as large, or small, it may be."""
SAME = 0.08
"""Heights between two poses of one picture that are one person found twice."""
SURE = 0.05
"""Heights that exchanging two people must cost at least."""
COLOUR = 0.5
"""Heights that clothes of the opposite colour (black and white) are worth."""
TORSO = (LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP)
FAR = 1e6
MASK_SIDE = 256
"""Pixels of the shorter side of a kept mask, at least: MediaPipe's own have no more."""

Pose = Float[NDArray[np.float32], "60 3"]


@dataclass
class Track:
    """One person, in the pictures where they were seen."""

    numbers: list[int] = field(default_factory=list)
    poses: list[Pose] = field(default_factory=list)
    masks: list[bytes | None] = field(default_factory=list)
    """As `pack_mask` gives them."""
    area: float = 0.0
    """Of the boxes around the body, summed over the pictures."""
    time: float = 0.0
    colour: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    velocity: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    """Of the torso, pixels per second."""

    def expected(self, time: float) -> Pose:
        """Where the person should be at that moment."""
        pose = self.poses[-1].copy()
        pose[:, :2] += self.velocity * (time - self.time)
        return pose

    def add(self, number: int, time: float, person: DetectedPose, colour: NDArray[np.float64]) -> None:
        """The person was seen again."""
        if self.poses:
            moved = _centre(person.pixels) - _centre(self.poses[-1])
            self.velocity += 0.5 * (moved / max(time - self.time, 1e-3) - self.velocity)
        self.colour = colour if not self.poses else self.colour + 0.1 * (colour - self.colour)
        self.numbers.append(number)
        self.poses.append(person.pixels)
        self.masks.append(None if person.mask is None else pack_mask(person.mask))
        self.area += float(np.prod(extent(person.pixels)))
        self.time = time


class Tracker:
    """Collects the poses of consecutive pictures."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self.open: list[Track] = []
        """Whose person may still come back."""

    def add(self, number: int, time: float, people: Sequence[DetectedPose], picture: NDArray[np.uint8]) -> int:
        """The people of one picture, in any order; how many they are."""
        found = _distinct([person for person in people if (person.pixels[BODY, 2] > 0).any()])
        colours = [_clothes(picture, person.pixels) for person in found]
        self.open = [track for track in self.open if time - track.time <= LONGEST_GAP + 1e-6]
        cost = np.array([[_cost(track, time, *seen) for seen in zip(found, colours, strict=True)] for track in self.open])
        matches = _match(cost) if cost.size else {}
        for index, (person, colour) in enumerate(zip(found, colours, strict=True)):
            track = self.open[matches[index]] if index in matches else self._begin()
            track.add(number, time, person, colour)
        ended = _unsure(cost, matches) if cost.size else set[int]()
        if ended:  # what was added just now begins tracks of its own
            self._part([self.open[place] for place in ended], number)
        return len(found)

    def _begin(self) -> Track:
        track = Track()
        self.tracks.append(track)
        self.open.append(track)
        return track

    def _part(self, tracks: Sequence[Track], number: int) -> None:
        for track in tracks:
            assert track.numbers[-1] == number
            new = self._begin()
            new.numbers, new.poses, new.masks = [track.numbers.pop()], [track.poses.pop()], [track.masks.pop()]
            new.time, new.colour, new.area = track.time, track.colour, float(np.prod(extent(new.poses[0])))
            track.area -= new.area
            self.open = [other for other in self.open if other is not track]

    def people(self) -> list[Track]:
        """All tracks, the one that fills the most of the pictures first."""
        return sorted(self.tracks, key=lambda track: -track.area)


def mask_step(height: int, width: int) -> int:
    """Every how many-th row and column of a mask is kept."""
    return max(1, min(height, width) // MASK_SIDE)


def pack_mask(mask: NDArray[np.uint8]) -> bytes:
    """Compressed, every `mask_step`-th row and column."""
    step = mask_step(*mask.shape)
    return zlib.compress(mask[::step, ::step].tobytes(), 1)


def unpack_mask(packed: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """The rows and columns that were kept of a mask of that size."""
    step = mask_step(height, width)
    return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(-(-height // step), -(-width // step))


def extent(pose: Pose) -> NDArray[np.float64]:
    """Width and height of the box around the visible body keypoints; zeros where fewer than two are."""
    points = pose[BODY][pose[BODY, 2] >= VISIBLE, :2].astype(np.float64)
    return np.ptp(points, axis=0) if len(points) > 1 else np.zeros(2)


def distance(one: Pose, other: Pose) -> float:
    """Mean distance of the body keypoints, in heights of the larger one; what is seen in both counts."""
    weight = np.minimum(one[BODY, 2], other[BODY, 2]) * ((one[BODY, 2] > 0) & (other[BODY, 2] > 0)) + 1e-6
    apart = np.linalg.norm(one[BODY, :2] - other[BODY, :2], axis=1)
    return float((weight * apart).sum() / weight.sum() / max(extent(one).max(), extent(other).max(), 1.0))


def _distinct(people: list[DetectedPose]) -> list[DetectedPose]:
    """Without the less sure one of two poses of one person."""
    kept: list[DetectedPose] = []
    for person in sorted(people, key=lambda person: -float(person.pixels[BODY, 2].mean())):
        if all(distance(person.pixels, other.pixels) > SAME for other in kept):
            kept.append(person)
    return kept


def _cost(track: Track, time: float, person: DetectedPose, colour: NDArray[np.float64]) -> float:
    apart = distance(track.expected(time), person.pixels)
    last, seen = track.poses[-1], person.pixels
    both = (last[BODY, 2] >= VISIBLE) & (seen[BODY, 2] >= VISIBLE)
    sizes = [float(np.ptp(pose[BODY][both, :2], axis=0).max()) if both.sum() > 3 else 1.0 for pose in (last, seen)]
    if apart > JUMP + SPEED * (time - track.time) or max(sizes) > SIZE * min(sizes):
        return FAR
    return apart + COLOUR * float(np.linalg.norm(colour - track.colour)) / (255 * np.sqrt(3))


def _match(cost: NDArray[np.float64]) -> dict[int, int]:
    """Person → track, at the least cost of all together."""
    tracks, people = linear_sum_assignment(cost)
    return {int(person): int(track) for track, person in zip(tracks, people, strict=True) if cost[track, person] < FAR}


def _unsure(cost: NDArray[np.float64], matches: dict[int, int]) -> set[int]:
    """Tracks whose people might as well be exchanged, or whose person might as well be one who was hidden."""
    hidden = sorted(set(range(len(cost))) - set(matches.values()))
    unsure = {track for person, track in matches.items() if any(cost[other, person] - cost[track, person] < SURE for other in hidden)}
    for one, other in combinations(matches, 2):
        own = cost[matches[one], one] + cost[matches[other], other]
        exchanged = cost[matches[one], other] + cost[matches[other], one]
        if exchanged - own < SURE:
            unsure |= {matches[one], matches[other]}
    return unsure


def _centre(pose: Pose) -> NDArray[np.float64]:
    """Of the torso as far as it is seen, else of the body."""
    torso = pose[list(TORSO)]
    points = torso if (torso[:, 2] > 0).any() else pose[BODY]
    return points[points[:, 2] > 0, :2].astype(np.float64).mean(axis=0)


def _clothes(picture: NDArray[np.uint8], pose: Pose) -> NDArray[np.float64]:
    """Mean colour about the middle of the torso."""
    x, y = _centre(pose)
    room = max(2, round(0.06 * float(extent(pose).max())))
    rows, columns = (slice(max(0, round(middle) - room), max(0, round(middle) + room)) for middle in (y, x))
    patch = picture[rows, columns].reshape(-1, 3)
    return patch.mean(axis=0) if len(patch) else np.zeros(3)
