"""GPT-2's sizes as builders: each takes a config and gives it the layers, heads and width of one GPT-2, so that its weights fit."""

from dataclasses import replace

from xdancer.motion_gpt.model import MotionGPTConfig


def gpt2_small(config: MotionGPTConfig = MotionGPTConfig()) -> MotionGPTConfig:
    """12 layers, 12 heads, width 768: blocks of 85,054,464 parameters (the paper's ablation)."""
    return replace(config, layers=12, heads=12, width=768)


def gpt2_medium(config: MotionGPTConfig = MotionGPTConfig()) -> MotionGPTConfig:
    """24 layers, 16 heads, width 1024: blocks of 302,309,376 parameters (the paper's model)."""
    return replace(config, layers=24, heads=16, width=1024)


def gpt2_large(config: MotionGPTConfig = MotionGPTConfig()) -> MotionGPTConfig:
    """36 layers, 20 heads, width 1280: blocks of 708,387,840 parameters (larger than the paper's)."""
    return replace(config, layers=36, heads=20, width=1280)
