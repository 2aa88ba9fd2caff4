"""Pictures: the person is where the pose says, wears the right colours, and the background stands still."""

import numpy as np
import pytest

from xdancer.embedded.choreography import BeatGrid, Dance, make_dance, phrase_names
from xdancer.embedded.identity import IDENTITY_COUNTS, Identity, identity_name, make_identity
from xdancer.embedded.puppet import render_frames, render_portrait
from xdancer.embedded.scenery import paint_background
from xdancer.pose.mediapipe import REQUIREMENT, MediaPipeDetector


def make(identity: Identity, style: str = "wave", frames: int = 12) -> Dance:
    return make_dance(style, phrase_names(style, "test", seed=1, count=2), BeatGrid(120.0, 1.2), frames=frames, identity=identity)


def pixels(pose: np.ndarray, size: int) -> np.ndarray:
    return np.clip(np.round((pose[..., :2] + 1) * size / 2 - 0.5).astype(int), 0, size - 1)


@pytest.mark.parametrize("index", range(4))
def test_visible_keypoints_lie_on_the_person(index: int) -> None:
    identity = make_identity(identity_name("test", index))
    dance = make(identity)
    frames, masks = render_frames(dance.body, identity)
    assert frames.shape == (12, 128, 128, 3)
    on_person = []
    for pose, mask in zip(dance.pose, masks, strict=True):
        at = pixels(pose, 128)
        near = np.max([np.roll(mask, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0)
        on_person.append(near[at[:, 1], at[:, 0]][pose[:, 2] > 0.3] == 255)
    assert np.concatenate(on_person).mean() > 0.97


def test_the_background_stands_still() -> None:
    identity = make_identity(identity_name("test", 0))
    frames, masks = render_frames(make(identity).body, identity)
    still = np.broadcast_to(paint_background(identity, 128) * 255, frames.shape)
    away = masks == 0
    assert np.abs(frames[away] - still[away]).mean() < 3  # shadow and soft edges only


def test_clothes_have_the_dancers_colours() -> None:
    identity = make_identity(identity_name("test", 3))
    portrait = render_portrait(identity)
    x, y = pixels(portrait.pose, 128)[[11, 8, 1]].mean(0).astype(int)  # between hips and neck
    chest = portrait.picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).astype(float).mean(0) / 255
    assert np.abs(chest - np.array(identity.look.top)).max() < 0.15


def test_any_size_shows_the_same() -> None:
    identity = make_identity(identity_name("val", 2))
    small, large = render_portrait(identity, 64), render_portrait(identity, 128)
    assert large.picture.shape == (128, 128, 3)
    assert np.array_equal(small.pose, large.pose)
    halved = large.picture.reshape(64, 2, 64, 2, 3).astype(float).mean((1, 3))
    assert np.abs(halved - small.picture).mean() < 6


def test_portraits_are_repeatable_and_differ_by_seed() -> None:
    identity = make_identity(identity_name("val", 2))
    assert render_portrait(identity, seed=1).picture.tobytes() == render_portrait(identity, seed=1).picture.tobytes()
    assert not np.array_equal(render_portrait(identity, seed=1).pose, render_portrait(identity, seed=2).pose)


def test_mediapipe_finds_the_person() -> None:
    if not REQUIREMENT:
        pytest.skip("needs the extra 'pose' (MediaPipe, Python < 3.13)")
    from PIL import Image

    detector, found, frames = MediaPipeDetector(), 0, 0
    for index in range(0, IDENTITY_COUNTS["test"], 5):
        identity = make_identity(identity_name("test", index))
        pictures = [*render_frames(make(identity, "disco", 20).body, identity)[0][::10], render_portrait(identity).picture]
        large = [np.asarray(Image.fromarray(picture).resize((512, 512), Image.Resampling.BICUBIC)) for picture in pictures]
        found += sum(seen.pixels[:18, 2].max() > 0.5 for seen in detector.track(large))
        frames += len(large)
    assert found / frames >= 0.95
