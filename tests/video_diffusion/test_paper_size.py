"""The paper's sizes, counted on the meta device."""

from collections import Counter

import pytest
import torch

from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("temporal", [False, True])
def test_parameters_of_the_paper(temporal: bool) -> None:
    with torch.device("meta"):
        model = VideoDiffusion(VideoDiffusionConfig(temporal=temporal, motion_decoder=temporal))
    parts = Counter({name: count(part) for name, part in model.named_children() if count(part)})
    parts["temporal modules"] = sum(p.numel() for name, p in model.unet.named_parameters() if ".motion_modules." in name)
    parts["unet"] -= parts["temporal modules"]
    for name, size in parts.most_common():
        print(f"{name:18} {size:>13,}")
    print(f"{'total':18} {parts.total():>13,}")
    assert parts["unet"] == parts["reference_net"] == 859_520_964
    if temporal:
        assert parts["temporal modules"] == 453_209_280  # AnimateDiff v2, with a module in the middle block
        assert model.motion_decoder is not None
        assert model.motion_decoder.start.shape == (1, 1280, 14, 8)
        assert model.unet.config["block_out_channels"] == (320, 640, 1280, 1280)
