"""Impossible configs are refused with their values."""

from dataclasses import replace

import pytest

from xdancer.video_diffusion.config import VideoDiffusionConfig


def test_defaults_are_the_paper() -> None:
    config = VideoDiffusionConfig()
    assert config.latent_size == (112, 64)
    assert config.schedule == {
        "prediction": "v_prediction", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "zero_terminal_snr": True,
        "train_timesteps": 1000,
    }  # fmt: skip
    assert (config.min_snr_gamma, config.noise_offset, config.condition_drop, config.steps, config.guidance) == (5.0, 0.05, 0.1, 30, 3.5)
    assert (config.window_frames, config.window_overlap) == (16, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 900}, "900×512.*multiples of 64"),
        ({"gate": True}, "needs prediction 'sample', not 'v_prediction'"),
        ({"gate": True, "prediction": "sample"}, "needs a base picture"),
        ({"temporal": True, "temporal_positions": 12}, "window_frames 16 must not exceed temporal_positions 12"),
        ({"window_overlap": 16}, "window_overlap 16 must be smaller"),
        ({"heatmap_steps": 5}, "heatmap_steps 5 teach the motion decoder: set motion_decoder and heatmap_weight"),
        ({"attention_levels": (True,)}, "differ in length"),
    ],
)
def test_refusals(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(VideoDiffusionConfig(), **change)
