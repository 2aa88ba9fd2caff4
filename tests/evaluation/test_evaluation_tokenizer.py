"""Figures of a tokenizer from the files in an evaluation folder."""

from pathlib import Path

import numpy as np
import pytest

from xdancer.evaluation.clips import Clip
from xdancer.evaluation.folder import write_json
from xdancer.evaluation.tokenizer import tokenizer_figures, write_decoded
from xdancer.pipelines.pose_file import save_poses
from xdancer.vqvae.model import VQVAE, VQVAEConfig

PARTS = ("upper_body", "lower_body", "head", "left_hand", "right_hand")


def pose(frames: int = 12) -> np.ndarray:
    """A figure 1.6 high whose points are all visible."""
    figure = np.random.default_rng(0).uniform(-0.5, 0.5, (frames, 60, 3)).astype(np.float32)
    figure[..., 2] = 1
    figure[:, [0, 1, 8, 9, 10, 11, 12, 13], 0] = 0
    figure[:, [0, 1, 8, 9, 10, 11, 12, 13], 1] = [-0.8, -0.6, 0.0, 0.4, 0.8, 0.0, 0.4, 0.8]
    return figure


def test_errors_in_both_units_and_use_by_part(tmp_path: Path) -> None:
    folder = tmp_path / "motion"
    folder.mkdir()
    true, decoded = pose(), pose()
    decoded[..., 1] += 0.016
    save_poses(folder / "a.true.npy", true)
    save_poses(folder / "a.decoded.npy", decoded)
    counts = np.ones((5, 4), int)
    counts[4] = [12, 0, 0, 0]
    write_json(folder / "tokens.json", {"counts": counts.tolist(), "parts": list(PARTS)})
    figures = tokenizer_figures(tmp_path)
    for group in ("full", "body", "head", "hands"):
        assert figures[f"vqvae/{group}_percent"] == pytest.approx(1.0, rel=1e-3)
        assert figures[f"vqvae/{group}_px"] == pytest.approx(0.016 * 448, rel=1e-3)
    assert figures["vqvae/hands_aligned_percent"] == pytest.approx(0.0, abs=1e-3)
    assert figures["vqvae/perplexity_head"] == pytest.approx(4.0)
    assert figures["vqvae/min_perplexity"] == figures["vqvae/perplexity_right_hand"] == pytest.approx(1.0)
    assert [figures[f"vqvae/dead_{part}"] for part in PARTS] == [0, 0, 0, 0, 3]
    assert (figures["n/vqvae"], figures["n/vqvae_frames"]) == (1, 12)


def test_what_a_tokenizer_writes_is_measured(tmp_path: Path) -> None:
    config = VQVAEConfig(slots=1, codes=16, encoder_width=8, encoder_depth=1, decoder_width=16, decoder_depth=1)
    clip = Clip("a", pose(), {}, {})
    (tmp_path / "motion").mkdir()
    save_poses(tmp_path / "motion/a.true.npy", clip.pose)
    write_decoded([clip], VQVAE(config).eval(), tmp_path)
    figures = tokenizer_figures(tmp_path)
    assert figures["vqvae/full_px"] is not None
    assert figures["vqvae/full_px"] > 0
    assert figures["vqvae/used_codes_share"] == pytest.approx(1 - sum(figures[f"vqvae/dead_{part}"] or 0 for part in PARTS) / (5 * 16))
