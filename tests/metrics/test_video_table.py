"""The video table on clips whose figures are known, with a detector that knows the answer."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xdancer import skeleton as sk
from xdancer.errors import XDancerError
from xdancer.metrics.face_net import ChipLayout
from xdancer.metrics.redetection import ENLARGE
from xdancer.metrics.tables import VideoItem, evaluate_video
from xdancer.pose.detector import DetectedPose, PoseDetector

SIZE = 48


def person(colour: int, shift: float) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.float32]]:
    """A coloured box with a pose in it, moved to the side, on a fixed background."""
    rng = np.random.default_rng(7)
    frame = rng.integers(90, 110, size=(SIZE, SIZE, 3)).astype(np.uint8)
    middle = round((shift + 1) * SIZE / 2)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[4:44, middle - 8 : middle + 8] = True
    frame[mask] = (colour, 255 - colour, 40)
    pose = np.ones((60, 3), np.float32)
    pose[:, 0] = shift
    pose[:, 1] = 0
    places = {sk.NOSE: -0.8, sk.NECK: -0.6, sk.RIGHT_SHOULDER: -0.6, sk.LEFT_SHOULDER: -0.6, sk.RIGHT_HIP: 0.0, sk.LEFT_HIP: 0.0}
    for point, height in (places | {sk.RIGHT_KNEE: 0.4, sk.LEFT_KNEE: 0.4, sk.RIGHT_ANKLE: 0.8, sk.LEFT_ANKLE: 0.8}).items():
        pose[point, 1] = height
    return frame, mask, pose


def clip(number: int) -> VideoItem:
    made = [person(12 * number, 0.5 * np.sin(i / 4)) for i in range(16)]
    frames, masks, poses = (np.stack(values) for values in zip(*made, strict=True))
    portrait, portrait_mask, portrait_pose = person(12 * number, -0.5)
    return VideoItem(f"c{number}", portrait, frames, frames.copy(), masks, poses, portrait_mask, portrait_pose, f"who{number}")


class BoxDetector(PoseDetector):
    """Finds the box by its colour and returns the pose that belongs to it; grey people are invisible to it."""

    name, version, device = "box", "1", "cpu"

    def track(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[DetectedPose]:
        for frame in frames:
            assert frame.shape == (ENLARGE * SIZE, ENLARGE * SIZE, 3)
            columns = np.flatnonzero(np.abs(frame[..., 2].astype(int) - 40).min(axis=0) < 10)
            pixels = np.zeros((60, 3), np.float32)
            if len(columns):
                shift = columns.mean() * 2 / frame.shape[1] - 1
                pixels = person(0, 0.0)[2]
                pixels[:, 0] += shift
                pixels[:, :2] = (pixels[:, :2] + 1) * frame.shape[0] / 2
            yield DetectedPose(pixels)


def test_perfect_rendering() -> None:
    table = evaluate_video([clip(i) for i in range(4)], BoxDetector())
    assert table["video/person_psnr"] is None  # infinite: nothing differs
    assert table["video/person_psnr_copy"] < 20
    assert table["video/background_psnr_copy"] is None
    assert table["video/lpips"] == 0
    assert table["video/lpips_copy"] > 0.01
    assert table["video/detected_share"] == table["video/detected_share_copy"] == 1
    assert table["video/pck"] == table["video/pck_true"] == 1
    assert table["video/pck_copy"] < 0.4
    assert table["video/clothes_top1"] == table["video/clothes_top1_true"] == 1
    assert table["video/clothes_chance"] == 1 / 4
    assert table["video/kernel_alex16@xdancer16"] < 1e-6
    assert table["video/kernel_alex16@xdancer16_copy"] > table["video/kernel_alex16@xdancer16"]
    assert table["video/frechet_alex16@xdancer16"] is None
    assert table["video/person_psnr_mean"] is None
    assert (table["n/video"], table["n/video_frames"], table["n/video_windows"], table["n/video_detection_frames"]) == (4, 64, 4, 16)
    assert (table["n/clothes"], table["n/clothes_pool"]) == (4, 4)
    json.dumps(table, allow_nan=False)


def test_rows_of_worse_renderings() -> None:
    good = clip(3)
    noisy = replace(
        good, generated=np.clip(good.true.astype(int) + np.where(np.arange(16)[:, None, None, None] % 2, 20, -20), 0, 255).astype(np.uint8)
    )
    mean = np.full((SIZE, SIZE, 3), 100, np.uint8)
    table = evaluate_video([noisy], training_mean=mean)
    assert table["video/background_psnr"] == pytest.approx(20 * np.log10(255 / 20), abs=0.1)
    assert table["video/person_psnr_mean"] < table["video/background_psnr_mean"]
    assert table["video/background_psnr_grey"] is None
    assert table["video/person_psnr_grey"] is not None
    assert table["video/pck"] is None
    assert table["video/detected_share"] is None
    assert table["video/clothes_top1"] is None
    assert table["n/clothes_pool"] == 1


def test_an_unseen_person_is_counted() -> None:
    one = clip(2)
    vanished = np.where(np.arange(16)[:, None, None, None] < 8, one.true, 128).astype(np.uint8)
    table = evaluate_video([replace(one, generated=vanished)], BoxDetector(), detect_every=1)
    assert table["video/detected_share"] == 0.5
    assert table["video/pck"] == 1
    assert table["video/pck_all_frames"] == 0.5


class Colour:
    """A face is its mean colour: people of other clothes are other people."""

    name, digest = "colour", "none"
    layout = ChipLayout(8, nose=(4.0, 5.0), right_eye=(2.0, 2.0), left_eye=(6.0, 2.0))

    def __call__(self, chips: Float[Tensor, "face 3 size size"]) -> Float[Tensor, "face feature"]:
        return chips.mean(dim=(2, 3))


def turned_to_us(item: VideoItem, *, frames: int = 16) -> VideoItem:
    """The clip with a face in the portrait and in its first frames."""
    poses, portrait = item.pose.copy(), item.portrait_pose
    assert portrait is not None
    portrait = portrait.copy()
    for pose in (*poses, portrait):
        for joint, (right, down) in ((sk.NOSE, (0.0, 0.1)), (sk.RIGHT_EYE, (-0.2, -0.2)), (sk.LEFT_EYE, (0.2, -0.2))):
            pose[joint, :2] = pose[sk.NECK, 0] + right, -0.3 + down
    poses[frames:, sk.NOSE, 2] = 0
    return replace(item, pose=poses, portrait_pose=portrait)


def test_faces_are_compared_with_the_own_portrait_and_another() -> None:
    items = [turned_to_us(clip(1)), turned_to_us(clip(18), frames=10)]
    table = evaluate_video(items, face_net=Colour())
    assert table["video/id_sim"] == table["video/id_sim_true"] == pytest.approx(1, abs=0.02)
    assert table["video/id_sim_other"] < 0.8
    assert table["n/video_frames_without_face"] == 6
    swapped = [replace(items[0], portrait=items[1].portrait), items[1]]
    assert evaluate_video(swapped, face_net=Colour())["video/id_sim"] < 0.9
    alone = evaluate_video([clip(1)])
    assert alone["video/id_sim"] is alone["video/id_sim_other"] is None
    assert alone["n/video_frames_without_face"] == 0


def test_videos_of_other_lengths_are_refused() -> None:
    with pytest.raises(XDancerError, match=r"c1: true video is \(16, 48, 48\), generated \(15, 48, 48\)"):
        replace(clip(1), generated=clip(1).true[:15])
