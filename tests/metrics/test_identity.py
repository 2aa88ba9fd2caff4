"""Face chips and ID-SIM with a network whose answers are known; the shipped one on real portraits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from xdancer import skeleton as sk
from xdancer.errors import XDancerError
from xdancer.metrics import identity as ids
from xdancer.metrics.face_net import DLIB_LAYOUT, SAME_PERSON, ChipLayout, dlib128
from xdancer.pose.coordinates import to_normalised

SIZE = 96
LAYOUT = ChipLayout(30, nose=(15.0, 18.0), right_eye=(10.0, 10.0), left_eye=(20.0, 10.0))
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
Pose = NDArray[np.float32]


class MeanColour:
    """The vector of a face is its mean colour, so cosines are those of colours."""

    name, digest, layout = "mean colour", "0", LAYOUT

    def __call__(self, chips: Tensor) -> Tensor:
        return (chips.mean(dim=(2, 3)) + 1) / 2


def pose_at(points: dict[int, tuple[float, float]], confidence: float = 1.0) -> Pose:
    pixels = np.zeros((60, 3), np.float32)
    for point, place in points.items():
        pixels[point] = (*place, confidence)
    return to_normalised(pixels, width=SIZE, height=SIZE)


def facing(scale: float = 2.0, *, confidence: float = 1.0, behind: bool = False) -> Pose:
    """Eyes and nose as the layout has them, enlarged around the middle of the picture; from behind the eyes change sides."""
    eyes = (LAYOUT.left_eye, LAYOUT.right_eye) if behind else (LAYOUT.right_eye, LAYOUT.left_eye)
    marks = {sk.NOSE: LAYOUT.nose, sk.RIGHT_EYE: eyes[0], sk.LEFT_EYE: eyes[1]}
    return pose_at({point: (48 + scale * (x - 15), 48 + scale * (y - 15)) for point, (x, y) in marks.items()}, confidence)


def painted(*colours: tuple[int, int, int]) -> NDArray[np.uint8]:
    frames = np.zeros((len(colours), SIZE, SIZE, 3), np.uint8)
    frames[:] = np.array(colours, np.uint8)[:, None, None]
    return frames


@pytest.mark.parametrize(("scale", "turn"), [(1.0, 0.0), (2.0, 0.4), (0.8, -1.2), (2.5, 3.0)])
def test_eyes_and_nose_come_to_lie_where_the_network_wants_them(scale: float, turn: float) -> None:
    """Coloured dots on the three points of a turned and scaled face are found at the layout's places."""
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    marks = {sk.NOSE: (LAYOUT.nose, 0), sk.RIGHT_EYE: (LAYOUT.right_eye, 1), sk.LEFT_EYE: (LAYOUT.left_eye, 2)}
    places = {point: 48 + rotation @ (np.array(chip) - 15) for point, (chip, _) in marks.items()}
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    for point, (_, colour) in marks.items():
        x, y = places[point]
        frame[..., colour] = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (1.5 * scale) ** 2))
    pixels = np.zeros((60, 3), np.float32)
    for point, place in places.items():
        pixels[point] = (*place, 1)
    chip = ids.cut_chip(frame, pixels, LAYOUT)
    assert chip is not None
    assert chip.shape == (3, 30, 30)
    light = (chip + 1).double()
    rows, columns = np.mgrid[:30, :30] + 0.5
    for (x, y), colour in marks.values():
        weight = light[colour].numpy() / float(light[colour].sum())
        assert ((weight * columns).sum(), (weight * rows).sum()) == pytest.approx((x, y), abs=0.15)


def test_a_large_face_is_averaged_not_skipped_over() -> None:
    """A checkerboard finer than the chip's pixels becomes grey."""
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    frame[::2, ::2] = frame[1::2, 1::2] = 255
    layout = ChipLayout(10, nose=(5.0, 6.0), right_eye=(10 / 3, 10 / 3), left_eye=(20 / 3, 10 / 3))
    pixels = facing(2.4)
    pixels[:, :2] = pixels[:, :2] * SIZE / 2 + SIZE / 2
    chip = ids.cut_chip(frame, pixels, layout)
    assert chip is not None
    assert chip.abs().max() < 0.1


def test_beyond_the_picture_it_is_black() -> None:
    pixels = facing(2.0)
    pixels[:, :2] = pixels[:, :2] * SIZE / 2 + SIZE / 2
    pixels[:, 0] -= 48
    chip = ids.cut_chip(painted((255, 255, 255))[0], pixels, LAYOUT)
    assert chip is not None
    assert (chip[..., :14] == -1).all()
    assert torch.allclose(chip[..., 16:], torch.ones(3, 30, 14))


def test_the_curve_is_the_cosine_over_time() -> None:
    frames = painted(RED, GREEN, (255, 255, 0), (60, 0, 0), RED)
    poses = np.stack([facing()] * 4 + [facing(confidence=0.29)])
    curve = ids.face_similarity(frames, poses, painted(RED)[0], facing(), MeanColour())
    assert curve[:4] == pytest.approx([1, 0, 2**-0.5, 1], abs=1e-6)
    assert np.isnan(curve[4])


@pytest.mark.parametrize("pose", [facing(behind=True), facing(0.5), facing(confidence=0.29), facing() * np.float32(np.nan), facing(0.0)])
def test_frames_without_a_face_are_counted_and_not_scored(pose: Pose) -> None:
    """From behind, too small, hidden, unknown, or all three points on one spot."""
    generated = ids.FaceFrames(painted(RED, RED), np.stack([facing(), pose]))
    score = ids.identity_score(generated, ids.FaceFrames(painted(RED), facing()[None]), MeanColour())
    assert (score.frames, score.frames_without_face) == (2, 1)
    assert score.mean == pytest.approx(1)
    assert score.distance == pytest.approx(0, abs=1e-6)
    assert np.isnan([score.true, score.other]).all()
    assert score.network == "mean colour 0"


def test_truth_and_another_identity_stand_beside() -> None:
    generated = ids.FaceFrames(painted((255, 255, 0), (255, 255, 0)), np.stack([facing(), facing()]))
    portrait, other = (ids.FaceFrames(painted(colour), facing()[None]) for colour in (RED, BLUE))
    true = ids.FaceFrames(painted((100, 0, 0)), facing()[None])
    score = ids.identity_score(generated, portrait, MeanColour(), true=true, other=other)
    assert (score.mean, score.true, score.other) == pytest.approx((2**-0.5, 1, 0), abs=1e-6)
    assert score.distance == pytest.approx(1)


def test_no_face_at_all_is_a_stated_result() -> None:
    hidden, shown = (ids.FaceFrames(painted(RED, RED, RED), np.stack([facing(confidence=c)] * 3)) for c in (0.0, 1.0))
    for generated, portrait, missing in ((hidden, shown, 3), (shown, hidden, 0), (hidden, hidden, 3)):
        score = ids.identity_score(generated, portrait, MeanColour(), true=shown, other=hidden)
        assert np.isnan([score.mean, score.distance, score.other]).all()
        assert np.isnan(score.curve).all()
        assert score.frames_without_face == missing
        assert score.portrait_has_face == (portrait is shown)
    nothing = ids.FaceFrames(painted(RED)[:0], facing()[None][:0])
    assert ids.identity_score(nothing, shown, MeanColour()).frames == 0


def test_pictures_without_their_poses_are_refused() -> None:
    with pytest.raises(XDancerError, match="2 pictures with 1 poses"):
        ids.FaceFrames(painted(RED, RED), facing()[None])


def clips() -> list[tuple[ids.FaceFrames, ids.FaceFrames, ids.FaceFrames | None]]:
    """Cosines 1, 0 and nothing; only the second has the truth."""
    portrait = ids.FaceFrames(painted(RED), facing()[None])
    made = [painted(RED, RED), painted(GREEN), painted(RED, RED, RED)]
    poses = [np.stack([facing(), facing(confidence=0)]), facing()[None], np.stack([facing(confidence=0)] * 3)]
    return [(ids.FaceFrames(*pair), portrait, portrait if number == 1 else None) for number, pair in enumerate(zip(made, poses, strict=True))]


def test_the_metric_is_the_mean_over_clips_and_sums_over_processes() -> None:
    whole = ids.IdentitySimilarity(MeanColour())
    parts = [ids.IdentitySimilarity(MeanColour()) for _ in range(2)]
    for number, (generated, portrait, true) in enumerate(clips()):
        for metric in (whole, parts[number % 2]):
            metric.update(generated, portrait, true=true, other=portrait)
    found = whole.compute()
    assert found["id_sim"] == found["id_sim_other"] == pytest.approx(0.5, abs=1e-6)
    assert found["id_sim_true"] == pytest.approx(1)
    assert found["id_distance"] == pytest.approx(2**0.5 / 2, abs=1e-6)
    assert (found["clips"], found["clips_without_face"], found["frames"], found["frames_without_face"]) == (3, 1, 6, 4)
    for name in ("sums", "seen", "counts"):
        assert torch.equal(getattr(parts[0], name) + getattr(parts[1], name), getattr(whole, name))
        assert getattr(whole, name).dtype == torch.float64
    assert whole.higher_is_better
    assert not list(ids.IdentitySimilarity(dlib128("cpu")).parameters())  # the network stays out of checkpoints
    whole.reset()
    generated, portrait, _ = clips()[2]
    whole.update(generated, portrait)
    assert np.isnan(whole.compute()["id_sim"])
    assert whole.compute()["clips_without_face"] == 1


def test_real_portraits(shared: Path) -> None:
    """A mirrored portrait is the same person; so is one that lost half its pixels. The other portrait is farther away."""
    pytest.importorskip("mediapipe", reason="needs MediaPipe to find the faces")
    from xdancer.media import read_image
    from xdancer.pose.detector import make_detector

    network, detector, vectors = dlib128("cpu"), make_detector(), []
    for path in sorted((shared / "data/portrait").glob("*.jpg")):
        picture = read_image(path)
        pixels = detector.detect(picture[None]).pixels[0]
        half = picture[: picture.shape[0] // 2 * 2 : 2, ::2]
        smaller = np.concatenate([(pixels[:, :2] - 0.5) / 2 + 0.5, pixels[:, 2:]], axis=1)
        chips = [ids.cut_chip(picture, pixels, DLIB_LAYOUT), ids.cut_chip(half, smaller, DLIB_LAYOUT)]
        assert all(chip is not None for chip in chips)
        faces = [chip for chip in chips if chip is not None]
        vectors.append(network(torch.stack([*faces, faces[0].flip(-1)])))
    assert len(vectors) == 2
    for own in vectors:
        assert torch.cdist(own[:1], own[1:]).max() < SAME_PERSON / 2
    assert torch.cdist(*vectors)[0, 0] > 1.5 * max(float(torch.cdist(own[:1], own[1:]).max()) for own in vectors)
