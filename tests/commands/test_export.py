"""`xdancer export`: three checkpoints → one model folder that generates what the checkpoints would."""

from pathlib import Path

import pytest
import torch

from xdancer.__main__ import main
from xdancer.checkpoint import fingerprint, trained_on
from xdancer.pipelines.dance import DancePipeline
from xdancer.pipelines.motion import MotionPipeline


def export(checkpoints: dict[str, Path], out: Path, **other: Path) -> int:
    paths = {"vqvae": checkpoints["vqvae"], "gpt": checkpoints["motion_gpt"], "video": checkpoints["video_diffusion"], "out": out} | other
    return main(["export", *[part for name, path in paths.items() for part in (f"--{name}", str(path))]])


def test_the_folder_holds_the_checkpoints_models(tiny_checkpoints: dict[str, Path], tiny_models: Path, tmp_path: Path) -> None:
    assert export(tiny_checkpoints, tmp_path / "model") == 0
    first, second = (DancePipeline.from_pretrained(folder) for folder in (tiny_models, tmp_path / "model"))
    for one, two in zip(first.models.values(), second.models.values(), strict=True):
        assert fingerprint(one) == fingerprint(two)
    assert export(tiny_checkpoints, tmp_path / "model") == 0  # again: replaced


def test_another_tokenizer_is_refused_with_both_fingerprints(tiny_checkpoints: dict[str, Path], tmp_path: Path, capsys) -> None:
    content = torch.load(tiny_checkpoints["vqvae"], weights_only=True)
    content["state_dict"] = {name: value + 1 if value.is_floating_point() else value for name, value in content["state_dict"].items()}
    torch.save(content, tmp_path / "other.ckpt")
    recorded = torch.load(tiny_checkpoints["motion_gpt"], weights_only=True)["hyper_parameters"]["tokenizer_fingerprint"]
    assert export(tiny_checkpoints, tmp_path / "model", vqvae=tmp_path / "other.ckpt") == 2
    error = capsys.readouterr().err
    assert recorded[:12] in error
    assert "other.ckpt is" in error
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(("flag", "stage"), [("vqvae", "motion_gpt"), ("gpt", "vqvae"), ("video", "motion_gpt")])
def test_a_checkpoint_of_another_stage_is_refused(tiny_checkpoints: dict[str, Path], tmp_path: Path, flag: str, stage: str, capsys) -> None:
    assert export(tiny_checkpoints, tmp_path / "model", **{flag: tiny_checkpoints[stage]}) == 2
    assert f"is a checkpoint of stage {stage}" in capsys.readouterr().err


def test_missing_and_damaged_checkpoints(tiny_checkpoints: dict[str, Path], tmp_path: Path, capsys) -> None:
    (tmp_path / "half.ckpt").write_bytes(tiny_checkpoints["motion_gpt"].read_bytes()[:5000])
    assert export(tiny_checkpoints, tmp_path / "model", gpt=tmp_path / "half.ckpt") == 2
    assert "half.ckpt is not a readable checkpoint" in capsys.readouterr().err
    assert export(tiny_checkpoints, tmp_path / "model", video=tmp_path / "none.ckpt") == 2
    assert "none.ckpt: no such checkpoint" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["half.ckpt"]


def test_a_full_disk_leaves_nothing(tiny_checkpoints: dict[str, Path], tmp_path: Path, capsys) -> None:
    resource = pytest.importorskip("resource", reason="limits of a process exist on Unix only")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the system refuses to write more, as on a full disk
    try:
        assert export(tiny_checkpoints, tmp_path / "model") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_motion_model_of_half_the_size(tiny_checkpoints: dict[str, Path], tmp_path: Path) -> None:
    """Weights are rounded once: what is written is what is read, and stage 2 names the rounded tokenizer."""
    paths = ["--vqvae", str(tiny_checkpoints["vqvae"]), "--gpt", str(tiny_checkpoints["motion_gpt"])]
    assert main(["export", *paths, "--out", str(tmp_path / "whole"), "--motion-only"]) == 0
    assert main(["export", *paths, "--out", str(tmp_path / "half"), "--motion-only", "--half"]) == 0
    whole, half = (MotionPipeline.from_pretrained(tmp_path / name) for name in ("whole", "half"))
    sizes = [sum(file.stat().st_size for file in (tmp_path / name).rglob("*.safetensors")) for name in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    assert not (tmp_path / "half" / "video_diffusion").exists()
    for name, value in whole.gpt.state_dict().items():
        rounded = half.gpt.state_dict()[name]
        assert rounded.dtype == value.dtype
        assert torch.allclose(rounded.float(), value.float(), rtol=1e-3, atol=1e-6)
    assert trained_on(tmp_path / "half" / "motion_gpt") == fingerprint(half.tokenizer)
