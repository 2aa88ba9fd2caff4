"""The builders give GPT-2's sizes and keep everything else."""

import pytest
import torch

from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig
from xdancer.motion_gpt.sizes import gpt2_large, gpt2_medium, gpt2_small


@pytest.mark.parametrize(("build", "blocks"), [(gpt2_small, 85_054_464), (gpt2_medium, 302_309_376), (gpt2_large, 708_387_840)])
def test_blocks_have_gpt2s_parameters(build, blocks: int) -> None:
    config = build(MotionGPTConfig(music_features={"librosa": 35}, music_lookahead_frames=8))
    with torch.device("meta"):
        gpt = MotionGPT(config)
    assert sum(parameter.numel() for parameter in gpt.transformer.h.parameters()) == blocks
    assert gpt.layout.window == 2224
    assert (config.music_features, config.music_lookahead_frames) == ({"librosa": 35}, 8)
