"""Every metric gives in two processes what it gives in one."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from jaxtyping import Float
from torch import Tensor, distributed
from torchmetrics import Metric

from xdancer.metrics.beat_alignment import BeatClip
from xdancer.metrics.beat_metric import BeatAlignment
from xdancer.metrics.clip_metrics import PCK, PSNR, HandScore, KineticDiversity
from xdancer.metrics.codebook import CodebookUsage
from xdancer.metrics.face_net import ChipLayout
from xdancer.metrics.frechet import FeatureDistances
from xdancer.metrics.identity import FaceFrames, IdentitySimilarity
from xdancer.metrics.lag_null import Synchrony
from xdancer.metrics.means import Means
from xdancer.skeleton import LEFT_EYE, NOSE, RIGHT_EYE

CLIPS = 6
POOL = np.random.default_rng(99).random((4, 54))


class Colour:
    """A face is its mean colour."""

    name, digest = "colour", "none"
    layout = ChipLayout(8, nose=(4.0, 5.0), right_eye=(2.0, 2.0), left_eye=(6.0, 2.0))

    def __call__(self, chips: Float[Tensor, "face 3 size size"]) -> Float[Tensor, "face feature"]:
        return chips.mean(dim=(2, 3)) + 1.5


def face(rng: np.random.Generator, frames: int, *, shown: int) -> FaceFrames:
    """Pictures of one colour each, the first `shown` with a face turned to the camera."""
    pictures = np.ones((frames, 64, 64, 3), np.uint8) * rng.integers(0, 255, (frames, 1, 1, 3)).astype(np.uint8)
    poses = np.zeros((frames, 60, 3), np.float32)
    for joint, place in ((NOSE, (0.0, 0.1)), (RIGHT_EYE, (-0.2, -0.2)), (LEFT_EYE, (0.2, -0.2))):
        poses[:shown, joint] = (*place, 1.0)
    return FaceFrames(pictures, poses)


def filled(part: slice) -> dict[str, Metric]:
    """Every metric, fed with some of the clips. The last clip lacks what most of them judge."""
    beats = [np.arange(0.3, 8, 60 / tempo) for tempo in np.linspace(90, 140, CLIPS)]
    metrics: dict[str, Metric] = {
        "beats": BeatAlignment(songs=[(music, float(60 / np.diff(music)[0])) for music in beats]), "means": Means(["a", "b"]),
        "distances": FeatureDistances(3), "codes": CodebookUsage(parts=2, codes=16), "synchrony": Synchrony(),
        "identity": IdentitySimilarity(Colour()), "psnr": PSNR(), "pck": PCK(), "hands": HandScore(), "diversity": KineticDiversity(POOL),
    }  # fmt: skip
    for number in list(range(CLIPS))[part]:
        rng, last, music = np.random.default_rng(number), number == CLIPS - 1, beats[number]
        moved = np.zeros(0) if last else np.sort(music + rng.normal(scale=0.05, size=len(music)))
        metrics["beats"].update(BeatClip(moved, music, float(60 / np.diff(music)[0]), 8.0))
        metrics["means"].update({"a": float(number), "b": float("nan") if last else 0.1 * number})
        features = torch.from_numpy(rng.normal(size=(5, 3)))
        metrics["distances"].update(features, features + 0.1 * number, clip=number)
        metrics["codes"].update(torch.from_numpy(rng.integers(0, 12, (1, 9, 2, 3))))
        pose = np.zeros((240, 60, 3), np.float32) if last else rng.normal(size=(240, 60, 3)).cumsum(axis=0).astype(np.float32)
        pose[..., 2] = 1.0
        metrics["synchrony"].update(pose, rng.random(240), 30.0)
        pictures = torch.from_numpy(rng.random((2, 2, 3, 8, 8)))
        metrics["psnr"].update(pictures[0], pictures[0] if last else pictures[1])
        metrics["pck"].update(pose, pose + rng.normal(size=pose.shape).astype(np.float32))
        metrics["hands"].update(pose)
        metrics["diversity"].update(pose)
        portrait = face(rng, 1, shown=1)
        metrics["identity"].update(face(rng, 3, shown=0 if last else 2), portrait, true=face(rng, 2, shown=2), other=face(rng, 1, shown=1))
    return metrics


def values(metrics: Mapping[str, Metric]) -> dict[str, list[float]]:
    """All figures, flat."""
    found: dict[str, list[float]] = {}
    for name, metric in metrics.items():
        result = metric.compute()
        for key, value in (result if isinstance(result, dict) else {"value": result}).items():
            found[f"{name}/{key}"] = value.tolist() if isinstance(value, Tensor) else [float(value)]
    return found


def _worker(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(values(filled(slice(rank, None, 2))), Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    mp.spawn(_worker, args=(str(tmp_path),), nprocs=2)
    one = values(filled(slice(None)))
    assert sum(np.isfinite(value).all() for value in one.values()) > 40
    for rank in range(2):
        theirs = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert theirs.keys() == one.keys()
        for key, value in one.items():
            assert theirs[key] == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), key


def test_the_clips_of_this_test_are_worth_comparing() -> None:
    one = values(filled(slice(None)))
    assert one["beats/clips_without_motion_beats"] == one["synchrony/clips_without_motion"] == one["identity/clips_without_face"] == [1.0]
    assert one["synchrony/clips"] == [CLIPS - 1]
    assert one["identity/frames"] == [3 * CLIPS]
    assert one["means/a"] == [2.5]
