"""Who is who: nobody becomes somebody else, a track ends rather than jumps."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xdancer import media
from xdancer.pose.detector import DetectedPose, PoseDetector
from xdancer.prepare import PrepareSettings, prepare_videos
from xdancer.prepare.clip import prepare_clip
from xdancer.prepare.crop import Crop
from xdancer.prepare.sources import Cut, Source
from xdancer.prepare.tracks import Tracker, mask_step, pack_mask, unpack_mask

FPS = 24.0
SETTINGS = PrepareSettings(width=64, height=112, min_seconds=1.0, max_seconds=3.0, min_person=50, features=("librosa",), shot_threshold=0.0)
RED, BLUE = (230, 20, 20), (20, 20, 230)
SPREAD = np.random.default_rng(0).uniform(0, 1, (60, 2)).astype(np.float32)


def person(left: float, top: float = 30.0, *, height: float = 80.0, seen: float = 0.9) -> DetectedPose:
    pixels = np.full((60, 3), seen, np.float32)
    pixels[:, :2] = np.array([left, top], np.float32) + SPREAD * np.array([24, height], np.float32)
    return DetectedPose(pixels)


def picture(*people: tuple[float, tuple[int, int, int], int]) -> np.ndarray:
    """Blocks (left edge, colour, height), the last one in front."""
    frame = np.full((120, 160, 3), 60, np.uint8)
    for left, colour, height in people:
        frame[110 - height : 110, round(left) : round(left) + 24] = colour
    return frame


class TwoColours(PoseDetector):
    """Finds the red and the blue block, each as far as it shows, in an order that changes."""

    name, version, device = "two", "1", "cpu"

    def track(self, frames: Iterable[np.ndarray]) -> Iterator[DetectedPose]:
        raise AssertionError("everybody was to be looked at")

    def everyone(self, frames: Iterable[np.ndarray]) -> Iterator[list[DetectedPose]]:
        for number, frame in enumerate(frames):
            found = []
            for strong, weak in ((0, 2), (2, 0)):
                mask = (frame[..., strong] > 150) & (frame[..., weak] < 100)
                if mask.sum() > 300:
                    rows, columns = np.nonzero(mask)
                    pose = person(columns.min(), rows.min(), height=rows.max() + 1 - rows.min()).pixels
                    found.append(DetectedPose(pose, (mask * 255).astype(np.uint8)))
            yield found[:: -1 if number % 3 else 1]


def places(number: int) -> tuple[float, float]:
    """They cross, at 1.5 s, and turn back before the end."""
    time = number / FPS
    return 10 + 40 * time, 130 - 40 * time


@pytest.fixture
def crossing(tmp_path: Path, clicks: Callable[[float], np.ndarray]) -> Path:
    """Red walks to the right behind blue, which is smaller and walks to the left."""
    frames = [picture((places(number)[0], RED, 90), (places(number)[1], BLUE, 70)) for number in range(72)]
    (tmp_path / "videos").mkdir()
    media.write_video(tmp_path / "videos/a.mp4", frames, fps=FPS, audio=clicks(3.0), sample_rate=44100)
    return tmp_path / "videos/a.mp4"


def test_two_who_cross_side_by_side_stay_who_they_are() -> None:
    tracker = Tracker()
    for number in range(72):
        red, blue = places(number)
        people = [person(red, 20), person(blue, 40)]  # one further back: they pass each other
        tracker.add(number, number / FPS, people[:: -1 if number % 2 else 1], picture((red, RED, 90), (blue, BLUE, 70)))
    first, second = tracker.people()
    assert first.numbers == second.numbers == list(range(72))
    rises = [np.diff([pose[0, 0] for pose in track.poses]) for track in (first, second)]
    assert (rises[0] > 0).all() != (rises[1] > 0).all()
    assert all((rise > 0).all() or (rise < 0).all() for rise in rises)


def test_where_nobody_can_tell_tracks_end() -> None:
    tracker = Tracker()
    for number in range(48):
        offset = abs(24 - number) * 2.0  # two alike meet and part again: back, or past each other?
        tracker.add(number, number / FPS, [person(60 - offset), person(64 + offset)], picture())
    assert len(tracker.people()) > 2
    for track in tracker.people():
        assert np.abs(np.diff([pose[0, 0] for pose in track.poses])).max(initial=0) < 5
        sides = {track.poses[place][0, 0] < 62 + SPREAD[0, 0] * 24 for place in (0, -1)}
        assert len(sides) == 1, "a track went over to the other side"


def test_a_person_who_jumps_is_another_one() -> None:
    tracker = Tracker()
    for number in range(20):
        tracker.add(number, number / FPS, [person(10 if number < 10 else 120)], picture())
    assert [len(track.numbers) for track in tracker.people()] == [10, 10]


def test_a_short_absence_is_bridged_and_a_pose_found_twice_counts_once() -> None:
    tracker = Tracker()
    for number in range(30):
        people = [] if 10 <= number < 16 else [person(50), person(50.5, seen=0.5)]
        assert tracker.add(number, number / FPS, people, picture()) == min(1, len(people))
    (track,) = tracker.people()
    assert track.numbers == [*range(10), *range(16, 30)]
    assert all(pose[0, 2] == np.float32(0.9) for pose in track.poses)


def test_the_largest_of_two_is_the_clip(crossing: Path) -> None:
    clip = prepare_clip(Cut(Source(crossing, "a.mp4", "song", "0" * 64), "key", 0.0, 3.0), SETTINGS, TwoColours())
    seen = clip.pose[:, 0, 2] > 0
    assert seen.mean() > 0.7
    assert (np.diff(clip.pose[seen, 0, 0]) > -1e-3).all()  # red walks to the right, whatever passes before it
    assert (clip.meta["person"], clip.meta["identity"]) == (0, "a")


def test_a_clip_of_each_with_a_crop_of_its_own(crossing: Path, tmp_path: Path, plain_page: None) -> None:
    from xdancer.data.shards import ShardReader

    report = prepare_videos(crossing.parent, tmp_path / "out", replace(SETTINGS, people="each"), detector=TwoColours())
    (row,) = report.videos
    assert len(row.clips) == 2
    assert row.reasons == ()
    reader = ShardReader(tmp_path / "out/train")
    clips = [reader.clip(number) for number in range(2)]
    assert [clip.key[-3:] for clip in clips] == ["-p1", "-p2"]
    assert [clip.meta["identity"] for clip in clips] == ["a", "a person 2"]
    steps = [np.diff(clip.pose[clip.pose[:, 0, 2] > 0, 0, 0]) for clip in clips]
    assert (steps[0] > -1e-3).all()
    assert (steps[1] < 1e-3).all()
    assert clips[0].meta["quality"]["scale"] != clips[1].meta["quality"]["scale"]


def test_a_kept_mask_lies_where_the_whole_one_does() -> None:
    rows, columns = np.mgrid[:771, :515]
    radius = np.hypot((rows - 400) / 300, (columns - 250) / 120)
    mask = (255 / (1 + np.exp(40 * (radius - 1)))).astype(np.uint8)  # soft, as MediaPipe's are
    step = mask_step(771, 515)
    kept = unpack_mask(pack_mask(mask), 771, 515)
    assert (step, kept.shape) == (2, (386, 258))
    crop, size = Crop(-20.0, 30.0, 448.0, 784.0), (256, 448)
    whole, thin = crop.picture(mask, size, edge=False), crop.thinned(step).picture(kept, size, edge=False)
    assert np.abs(whole.astype(float) - thin).mean() < 1
    centres = [np.argwhere(picture > 127).mean(axis=0).tolist() for picture in (whole, thin)]
    assert centres[0] == pytest.approx(centres[1], abs=0.05)
    assert ((whole > 127) ^ (thin > 127)).sum() < 0.001 * (whole > 127).sum()
