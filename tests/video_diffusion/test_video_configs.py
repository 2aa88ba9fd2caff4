"""The stage's YAMLs: the paper's numbers, the paper's sizes, helps off; both demo phases fit together."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from xdancer.video_diffusion.config import VideoDiffusionConfig
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.video_diffusion.unet import MOTION_MODULES

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
HELPS = (
    "portrait_input",
    "limb_warp",
    "gate",
    "portrait_colours",
    "motion_input",
    "heatmap_weight",
    "heatmap_steps",
    "terminal_share",
    "l1_weight",
)


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIGS / name).read_text(encoding="utf-8"))


def model_config(run: dict[str, Any]) -> VideoDiffusionConfig:
    return VideoDiffusionConfig(**run["model"]["init_args"]["config"])


@pytest.mark.parametrize(("name", "temporal", "steps"), [("video_image.yaml", False, 60_000), ("video_temporal.yaml", True, 30_000)])
def test_paper_runs(name: str, temporal: bool, steps: int) -> None:
    run = read(name)
    config = model_config(run)
    assert run["trainer"]["max_steps"] == steps
    assert run["model"]["init_args"]["optimizer"]["init_args"] == {"lr": 1e-5}
    assert run["global_batch"] == 16
    assert run["data"]["init_args"]["frames"] == (16 if temporal else 1)  # one target: the other of the paper's two frames is the portrait
    assert (config.temporal, config.motion_decoder) == (temporal, temporal)
    assert config.schedule == VideoDiffusionConfig().schedule
    assert not any(getattr(config, help_name) for help_name in HELPS)
    with torch.device("meta"):
        model = VideoDiffusion(config)
    spatial = [parameter for name, parameter in model.unet.named_parameters() if MOTION_MODULES not in name]
    assert sum(parameter.numel() for parameter in spatial) == 859_520_964


def test_demo_phases_fit_together() -> None:
    image, temporal = (read(f"demo/{name}.yaml")["model"]["init_args"] for name in ("video_image", "video_temporal"))
    assert temporal["initial"] == f"{read('demo/video_image.yaml')['run_dir']}/last.ckpt"
    assert temporal["train_spatial"] is False
    different = {key for key in image["config"] | temporal["config"] if image["config"].get(key) != temporal["config"].get(key)}
    assert different == {"temporal"}
