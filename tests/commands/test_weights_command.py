"""`xdancer weights`: what is listed, what is checked, and a model folder of foreign weights that dances."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from diffusers import AutoencoderKL, MotionAdapter
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

import xdancer.commands.weights as command
import xdancer.video_diffusion.moore as moore
from xdancer.__main__ import main
from xdancer.application import root
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.unet import build_unet2d
from xdancer.weights.catalogue import CATALOGUE

TINY = VideoDiffusionConfig(
    height=64, width=64, block_out_channels=(8, 16), attention_levels=(True, True), layers_per_block=1, attention_heads=2,
    cross_attention_dim=8, norm_groups=4,
    temporal_heads=2, temporal_positions=32, motion_map=(4, 2), motion_channels=(8, 16), motion_width=16, motion_layers=1,
    motion_heads=2, window_frames=8, window_overlap=2, steps=1,
)  # fmt: skip


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> VideoDiffusionConfig:
    """The paper's renderer at toy size, in an empty working directory."""

    def on_meta(config: str) -> VideoDiffusion:
        with torch.device("meta"):
            return VideoDiffusion(replace(TINY, temporal="temporal" in config))

    monkeypatch.setattr(command, "_meta", on_meta)
    monkeypatch.chdir(tmp_path)
    return TINY


def write_vae(folder: Path, *, latents: int = 4) -> Path:
    AutoencoderKL(
        block_out_channels=(4, 4, 4, 4), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=latents, norm_num_groups=2, sample_size=64,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_clip(folder: Path, *, width: int = 8) -> Path:
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=width, **sizes)).save_pretrained(folder)
    return folder


def test_the_list_names_terms_and_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list"]) == 0
    said = capsys.readouterr().out
    for entry in CATALOGUE:
        assert f"{entry.name} ({entry.licence}, about {entry.size})" in said
        assert entry.command in said
    readme = (root() / "README.md").read_text(encoding="utf-8")
    assert [entry.name for entry in CATALOGUE if entry.model_id.split(" ")[0].rstrip(",") not in readme] == []


def test_sd15_and_clip_are_checked_and_found_by_the_configs(tiny: VideoDiffusionConfig, capsys: pytest.CaptureFixture[str]) -> None:
    build_unet2d(tiny, in_channels=4, out_channels=4).save_pretrained("sd/unet")
    write_vae(Path("sd/vae"))
    assert main(["weights", "import", "sd15", "sd"]) == 0
    said = capsys.readouterr().out
    assert "→ ReferenceNet" in said
    assert "AutoencoderKL, 4 latent channels" in said
    assert (Path("weights/stable-diffusion-v1-5") / "unet" / "config.json").is_file()
    assert main(["weights", "import", "sd15", "sd"]) == 0  # again
    write_clip(Path("clip"), width=768)
    assert main(["weights", "import", "clip", "clip"]) == 0
    assert Path("weights/clip-vit-large-patch14/config.json").is_file()
    capsys.readouterr()
    write_vae(Path("other/vae"), latents=16)
    build_unet2d(tiny, in_channels=4, out_channels=4).save_pretrained("other/unet")
    for arguments, words in (
        (["sd15", "other"], "16 latent channels, the renderer 4"),
        (["clip", str(write_clip(Path("narrow")))], "projects to 8, the renderer's cross_attention_dim is 768"),
        (["clip", "clip", "--out", "other"], "--out other: exists"),
        (["clip", "clip", "--out", "weights/stable-diffusion-v1-5"], "leads to"),
        (["sd15", "nowhere"], "no sub-folder `unet`"),
    ):
        assert main(["weights", "import", *arguments]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.slow
def test_sd15_and_clip_at_full_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Folders of the real sizes, written by the libraries in half precision; what is in them does not matter."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPConfig, CLIPModel

    monkeypatch.chdir(tmp_path)

    def write(build: Callable[[], Any], folder: str) -> None:
        with torch.device("meta"):
            model = build()
        model = model.half().to_empty(device="cpu")
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data.zero_()
        model.save_pretrained(folder)

    vae = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    write(lambda: UNet2DConditionModel(cross_attention_dim=768, sample_size=64), "sd/unet")
    write(lambda: AutoencoderKL(**vae, **blocks), "sd/vae")
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "patch_size": 14}
    whole = CLIPConfig(
        projection_dim=768, vision_config={**vision, "projection_dim": 768}, text_config={"hidden_size": 768, "projection_dim": 768}
    )
    write(lambda: CLIPModel(whole), "clip")
    assert main(["weights", "import", "sd15", "sd"]) == 0
    assert "sd/unet → ReferenceNet: 686 tensors loaded" in capsys.readouterr().out
    assert main(["weights", "import", "clip", "clip"]) == 0


def test_motion_modules_are_checked_and_the_key_is_said(tiny: VideoDiffusionConfig, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"block_out_channels": tiny.block_out_channels, "motion_layers_per_block": 1, "motion_num_attention_heads": 2}
    MotionAdapter(**sizes, motion_norm_num_groups=4, use_motion_mid_block=False).save_pretrained("adapter")
    assert main(["weights", "import", "animatediff", "adapter"]) == 2
    assert "allow_new mid_block lets it start new" in capsys.readouterr().err
    assert main(["weights", "import", "animatediff", "adapter", "--allow-new", "[mid_block]"]) == 0
    assert main(["weights", "import", "animatediff", "adapter", "--allow-new", "mid_block"]) == 0
    said = capsys.readouterr().out
    assert "new: mid_block (" in said
    assert "--model.init_args.temporal_weights adapter --model.init_args.allow_new '[mid_block]'" in said


def test_moores_weights_dance(tiny: VideoDiffusionConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """From four files to a video, with the motion model in the package and skeletons through the pose guider."""
    write_vae(Path("vae"))
    write_clip(Path("clip"))
    keys = {"autoencoder": "vae", "image_encoder": "clip", "height": 64, "width": 64}
    paper = moore.moore_config(**keys)
    wanted = {key: getattr(paper, key) for key in ("temporal", "motion_decoder", "pose_guider", "beta_schedule", "dropped_reference")}
    monkeypatch.setattr(moore, "moore_config", lambda **keys: replace(tiny, **keys, **wanted))
    source = VideoDiffusion(moore.moore_config(**keys))
    unet = source.unet.state_dict()
    contents = (
        {name: value for name, value in unet.items() if ".motion_modules." not in name}, source.reference_net.unet.state_dict(),
        source.pose_guider.state_dict(), {name: value for name, value in unet.items() if ".motion_modules." in name},
    )  # fmt: skip
    Path("moore").mkdir()
    for name, content in zip(moore.FILES, contents, strict=True):
        torch.save(content, Path("moore") / name)
    flags = ["--vae", "vae", "--image-encoder", "clip", "--out", "model", "--height", "64", "--width", "64"]
    assert main(["weights", "import", "moore", "moore", *flags]) == 0
    said = capsys.readouterr().out
    assert all(f"moore/{name}: " in said for name in moore.FILES)
    Image.fromarray(np.full((96, 96, 3), 128, np.uint8)).save("portrait.png")
    soundfile.write("song.wav", np.sin(np.arange(3 * 22050) * 0.05) * (np.arange(3 * 22050) % 11025 < 2000), 22050)
    pose = np.concatenate([np.random.default_rng(0).uniform(-0.5, 0.5, (60, 2)), np.ones((60, 1))], axis=1).astype(np.float32)
    np.save("pose.npy", pose)
    call = ["generate", "--image", "portrait.png", "--music", "song.wav", "--model", "model", "--out", "dance.mp4", "--pose", "pose.npy"]
    assert main([*call, "--seconds", "0.5", "--device", "cpu"]) == 0
    assert Path("dance.mp4").stat().st_size > 1000
    assert main(["weights", "import", "moore", "moore", *flags[:-1], "60"]) == 2
    assert "both sides must be multiples of" in capsys.readouterr().err
