"""`xdancer cache-latents`, and that training on what it wrote is training on the videos."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from diffusers import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from xdancer.__main__ import main
from xdancer.cli import main as train
from xdancer.data.shards import ShardReader

ROOT = Path(__file__).resolve().parents[2]
MODEL = {
    "height": 64, "width": 64, "autoencoder": "vae", "image_encoder": "clip", "block_out_channels": [8, 16], "attention_levels": [True, True],
    "layers_per_block": 1, "attention_heads": 2, "cross_attention_dim": 8, "norm_groups": 4, "temporal": True, "temporal_heads": 2,
    "codes_width": 30, "motion_map": [4, 2], "motion_channels": [8, 16], "motion_width": 16, "motion_layers": 1, "motion_heads": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tiny, tiny_models, tmp_path_factory) -> Path:
    """Shards, the two frozen networks, and a config of phase (b) at toy size."""
    root = tmp_path_factory.mktemp("cached")
    clips = [tiny.make_clip(number, 40, video=number != 1, size=(64, 64)) for number in range(4)]
    tiny.write_split(root / "data/train", clips)
    shutil.copytree(root / "data/train", root / "data/val")
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    AutoencoderKL(block_out_channels=(4, 4, 4, 4), latent_channels=4, norm_num_groups=2, sample_size=64, **blocks).save_pretrained(root / "vae")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=8, **sizes)).save_pretrained(root / "clip")
    config: dict[str, Any] = {
        "seed_everything": 0, "run_dir": "run",
        "trainer": {"accelerator": "cpu", "max_steps": 3, "log_every_n_steps": 1, "limit_val_batches": 0, "enable_model_summary": False},
        "model": {
            "class_path": "xdancer.video_diffusion.module.VideoDiffusionModule",
            "init_args": {"config": MODEL, "tokenizer": str(tiny_models / "vqvae"), "temporal_weights": "new"},
        },
        "data": {
            "class_path": "datamodules.video.VideoDataModule",
            "init_args": {
                "train": "data/train", "val": "data/val", "test": "data/val", "batch_size": 2, "frames": 16, "pose_window": 16,
                "size": [64, 64],
            },
        },
    }  # fmt: skip
    (root / "video.yaml").write_text(yaml.safe_dump(config))
    return root


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    # a child process would say the same of these files, ten seconds later
    monkeypatch.setattr("xdancer.commands.plan.merged", lambda configs: yaml.safe_load(Path(configs[0]).read_text()))
    return made


def cache(*arguments: str) -> int:
    return main(["cache-latents", "data/train", "--config", "video.yaml", "--device", "cpu", *arguments])


def losses(run: str, *arguments: str) -> list[float]:
    train(["fit", "--config", "video.yaml", "--run_dir", run, *arguments])
    with Path(run, "metrics.csv").open(newline="") as file:
        return [float(row["train/loss"]) for row in csv.DictReader(file)]


def test_rows_are_what_the_networks_give(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cache() == 0
    assert "data/train.latents/latents: 4 clips, 64×64" in capsys.readouterr().out
    reader = ShardReader(here / "data/train", latents=here / "data/train.latents")
    rows = reader.picture_rows(2, "latents.npy", 5, 9)
    assert rows.shape == (4, 8, 8, 8)
    assert np.array_equal(rows, reader.picture_rows(2, "latents.npy")[5:9])
    assert (rows[:, 4:] > 0).all()  # deviations
    assert reader.picture_rows(0, "embedding.npy").shape == (40, 8)
    before = (here / "data/train.latents/latents/derived.json").stat().st_mtime_ns
    assert cache("--batch-size", "3") == 0
    assert "stand already" in capsys.readouterr().out
    assert (here / "data/train.latents/latents/derived.json").stat().st_mtime_ns == before
    assert main(["shards", "verify", "data/train"]) == 0
    shutil.copytree("data", "damaged/data")
    path = next(Path("damaged/data/train.latents/embedding").glob("*.tar"))
    path.write_bytes(path.read_bytes().replace(b"NUMPY", b"RUMPY", 1))
    capsys.readouterr()
    assert main(["shards", "verify", "damaged/data/train"]) != 0
    assert "train.latents/embedding" in "".join(capsys.readouterr())


@pytest.mark.slow
@pytest.mark.parametrize("drawn", ["false", "true"])
def test_training_on_them_is_training_on_the_videos(here: Path, drawn: str) -> None:
    assert cache() == 0
    arguments = ["--model.init_args.config.sample_latents", drawn]
    pictures = losses(f"pictures_{drawn}", *arguments)
    cached = losses(f"cached_{drawn}", *arguments, "--data.init_args.latents", ".latents")
    assert len(cached) == 3
    assert cached == pytest.approx(pictures, rel=1e-3)


def test_neither_videos_nor_networks_are_read_in_training(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache() == 0

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("read all the same")

    monkeypatch.setattr("xdancer.data.videos.read_video", refuse)
    monkeypatch.setattr("xdancer.video_diffusion.image_space.VAESpace.posterior", refuse)
    monkeypatch.setattr("xdancer.video_diffusion.appearance.ClipEmbedding.embed", refuse)
    assert len(losses("blind", "--data.init_args.latents", ".latents")) == 3


def test_what_does_not_belong_together_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cache() == 0
    shutil.copytree("data/train.latents", "other/train", dirs_exist_ok=True)
    path = Path("other/train/embedding/derived.json")
    record = json.loads(path.read_text())
    record["maker"]["network"] = "0" * 64
    path.write_text(json.dumps(record))
    cases = [
        (["--data.init_args.latents", "other"], "comes from another network than clip"),
        (["--data.init_args.latents", ".none"], "has no derived.json"),
        (["--data.init_args.latents", ".latents", "--model.init_args.config.limb_warp", "true"], "limb_warp need them"),
    ]
    for arguments, words in cases:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            train(["fit", "--config", "video.yaml", "--run_dir", "refused", *arguments])
        assert stop.value.code == 2
        assert words in capsys.readouterr().err.strip().splitlines()[-1]
    assert cache("--batch-size", "0") == 2
    assert main(["cache-latents", "data/train", "--config", str(ROOT / "configs/demo/video_image.yaml")]) == 2
    assert "no renderer with an autoencoder" in capsys.readouterr().err
