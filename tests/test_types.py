"""Batches: what they refuse, and that every field follows to a device."""

import pytest
import torch

from xdancer.types import DanceBatch, MotionTokens, MusicFeatures, PoseBatch

MUSIC = MusicFeatures({"librosa": torch.zeros(2, 7, 3)}, torch.zeros(2, 7, dtype=torch.bool))
CONTEXT = torch.zeros(2, 1, dtype=torch.long), torch.ones(2, dtype=torch.bool)


def test_a_dance_is_given_by_poses_or_by_tokens():
    pose, tokens = PoseBatch(torch.zeros(2, 6, 60, 2), torch.ones(2, 6, 60)), MotionTokens(torch.zeros(2, 6, 5, 2, dtype=torch.long))
    assert DanceBatch(pose, MUSIC, *CONTEXT, segment_frames=4).frames == 6
    assert DanceBatch(None, MUSIC, *CONTEXT, segment_frames=4, tokens=tokens).frames == 6
    with pytest.raises(ValueError, match="either pose or tokens, got both"):
        DanceBatch(pose, MUSIC, *CONTEXT, segment_frames=4, tokens=tokens)
    with pytest.raises(ValueError, match="either pose or tokens, got neither"):
        DanceBatch(None, MUSIC, *CONTEXT, segment_frames=4)


def test_every_tensor_of_a_dance_moves():
    tokens = MotionTokens(torch.zeros(2, 6, 5, 2, dtype=torch.long))
    batch = DanceBatch(None, MUSIC, *CONTEXT, segment_frames=4, tokens=tokens, style=torch.zeros(2, dtype=torch.long)).to("meta")
    assert batch.pose is None
    tensors = [batch.tokens.ids, batch.music.beats, batch.music.features["librosa"], batch.context_index, batch.has_context, batch.style]
    assert all(tensor.device.type == "meta" for tensor in tensors)
