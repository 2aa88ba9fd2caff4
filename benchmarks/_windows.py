"""The size at which the motion GPT is measured."""

from xdancer.motion_gpt.model import MotionGPTConfig

SMALL = MotionGPTConfig(layers=12, heads=12, width=768, music_features={"librosa": 35})
"""GPT-2 small in the paper's window of 2224 positions."""
