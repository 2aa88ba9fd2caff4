"""Dances go through files to the bit, and only where they belong."""

from pathlib import Path

import numpy as np
import pytest
import torch

from xdancer.errors import PoseError, StageMismatchError
from xdancer.pipelines.dance_file import load_dance, load_tokens, save_tokens
from xdancer.types import MotionTokens
from xdancer.vqvae.model import VQVAE, VQVAEConfig

SMALL = VQVAEConfig(slots=2, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)


@pytest.fixture
def tokenizer() -> VQVAE:
    return VQVAE(SMALL).eval()


def test_tokens_come_back(tokenizer: VQVAE, tmp_path: Path) -> None:
    tokens = MotionTokens(torch.randint(16, (1, 7, 5, 2)))
    save_tokens(tmp_path / "dance.npz", tokens, tokenizer)
    assert torch.equal(load_dance(tmp_path / "dance.npz", tokenizer, lambda poses: poses).ids, tokens.ids)
    assert [path.name for path in tmp_path.iterdir()] == ["dance.npz"]


def test_poses_are_placed_and_tokenised(tokenizer: VQVAE, tmp_path: Path) -> None:
    from xdancer.types import PoseBatch

    poses = np.concatenate([np.random.default_rng(0).uniform(-0.4, 0.4, (2000, 60, 2)), np.ones((2000, 60, 1))], -1).astype(np.float32)
    np.save(tmp_path / "dance.npy", poses)
    half = load_dance(tmp_path / "dance.npy", tokenizer, lambda found: found * np.array([0.5, 0.5, 1], np.float32))
    with torch.no_grad():
        assert torch.equal(half.ids, tokenizer.encode(PoseBatch.from_array(poses * np.array([0.5, 0.5, 1], np.float32))).ids)


def test_what_does_not_belong_here_is_refused(tokenizer: VQVAE, tmp_path: Path) -> None:
    tokens = MotionTokens(torch.randint(16, (1, 7, 5, 2)))
    torch.manual_seed(4)
    save_tokens(tmp_path / "other.npz", tokens, VQVAE(SMALL))
    with pytest.raises(StageMismatchError, match=r"other\.npz holds tokens of tokenizer [0-9a-f]{12}.*--save-pose"):
        load_tokens(tmp_path / "other.npz", tokenizer)
    (tmp_path / "text.npz").write_text("no tokens")
    np.savez(tmp_path / "names.npz", wrong=np.zeros(3))
    save_tokens(tmp_path / "codes.npz", MotionTokens(tokens.ids + 99), tokenizer)
    for name, words in {"none": "no such file", "text": "not readable", "names": "not readable", "codes": "damaged"}.items():
        with pytest.raises(PoseError, match=words):
            load_tokens(tmp_path / f"{name}.npz", tokenizer)
    with pytest.raises(PoseError, match="cannot be written"):
        save_tokens(tmp_path / "none/dance.npz", tokens, tokenizer)
