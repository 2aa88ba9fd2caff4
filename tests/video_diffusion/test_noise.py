"""The noise schedule's facts."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from xdancer.video_diffusion.config import VideoDiffusionConfig
from xdancer.video_diffusion.noise import clean_of, draw_noise, draw_timesteps, fixed_draws, loss_weight, make_scheduler, target_of


def test_paper_schedule() -> None:
    scheduler = make_scheduler(VideoDiffusionConfig())
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.alphas_cumprod[-1] == 0  # zero terminal SNR
    scheduler.set_timesteps(30)
    assert scheduler.timesteps[0] == 999  # trailing: sampling starts at pure noise
    assert len(scheduler.timesteps) == 30


@pytest.mark.parametrize("kind", ["v_prediction", "sample", "epsilon"])
def test_target_and_clean_picture_are_inverse(kind: str, tiny: VideoDiffusionConfig) -> None:
    scheduler = make_scheduler(replace(tiny, prediction=kind))
    clean, noise, timesteps = torch.randn(3, 2, 4, 5, 6), torch.randn(3, 2, 4, 5, 6), torch.tensor([0, 500, 900])
    noisy = scheduler.add_noise(clean, noise, timesteps)
    estimate = clean_of(scheduler, target_of(scheduler, clean, noise, timesteps), noisy, timesteps)
    torch.testing.assert_close(estimate, clean, atol=2e-2 if kind == "epsilon" else 1e-4, rtol=0)


def test_weights_are_one_at_pure_noise_and_small_where_denoising_is_trivial() -> None:
    scheduler = make_scheduler(VideoDiffusionConfig())
    weight = loss_weight(scheduler, torch.tensor([0, 999]), 5.0)
    assert weight[1] == 1
    assert weight[0] < 0.01
    assert loss_weight(scheduler, torch.tensor([0, 999]), 0.0).tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["v_prediction", "sample", "epsilon"])
def test_min_snr_weights_in_closed_form(kind: str, tiny: VideoDiffusionConfig) -> None:
    """ᾱ .9, .8, .5, 0 are SNR 9, 4, 1, 0; γ = 5."""
    scheduler = make_scheduler(replace(tiny, prediction=kind))
    scheduler.alphas_cumprod = torch.tensor([0.9, 0.8, 0.5, 0.0])
    expected = {
        "sample": [5, 4, 1, 0],
        "epsilon": [5 / 9, 1, 1, 1],
        "v_prediction": [5 / 10, 5 / 5, 2 / 2, 1],
    }[kind]
    weight = loss_weight(scheduler, torch.arange(4), 5.0)
    torch.testing.assert_close(weight, torch.tensor(expected, dtype=weight.dtype), rtol=1e-4, atol=1e-6)


def test_noise_offset_is_constant_over_the_picture() -> None:
    like = torch.zeros(2, 3, 4, 64, 64)
    plain, shifted = draw_noise(like, 0.0), draw_noise(like, 10.0)
    assert plain.mean((1, 3, 4)).abs().max() < 0.1
    assert shifted.mean((1, 3, 4)).abs().max() > 1


def test_terminal_share(tiny: VideoDiffusionConfig) -> None:
    timesteps = draw_timesteps(replace(tiny, terminal_share=0.5), 2000, torch.device("cpu"))
    assert 0.45 < (timesteps == 999).float().mean() < 0.55


def test_fixed_draws_repeat_and_disturb_nothing() -> None:
    before, values = torch.get_rng_state(), []
    for _ in range(2):
        with fixed_draws(torch.device("cpu"), 7):
            values.append(torch.rand(4))
    assert torch.equal(values[0], values[1])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("device", "forked"), [("cuda:1", [torch.device("cuda:1")]), ("cpu", [])])
def test_fixed_draws_keep_the_generator_of_the_device(device: str, forked: list[torch.device], monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.manual_seed` reseeds every GPU, so the GPU's state has to be kept, too."""
    asked = []
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: asked.append(devices) or nullcontext())
    with fixed_draws(torch.device(device), 7):
        pass
    assert asked == [forked]


@pytest.mark.gpu
def test_fixed_draws_on_a_gpu() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    before = torch.cuda.get_rng_state(device)
    with fixed_draws(device, 7):
        torch.rand(4, device=device)
    assert torch.equal(torch.cuda.get_rng_state(device), before)
