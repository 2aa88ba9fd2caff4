"""What a step takes is predicted from shapes: against real steps, a real GPU, and the advice that follows."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from xdancer.__main__ import gathered, main
from xdancer.errors import XDancerError
from xdancer.motion_gpt.model import MotionGPTConfig
from xdancer.planning.budget import EIGHT_BIT, Plan, demand, read_plan, remedies
from xdancer.planning.step import Run, Step, predict
from xdancer.planning.watch import StepWatch
from xdancer.video_diffusion.config import VideoDiffusionConfig
from xdancer.video_diffusion.lora import LoRAConfig, add_adapters
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.vqvae.model import VQVAEConfig

SMALL = VideoDiffusionConfig(
    height=192, width=128, patch_size=8, latent_channels=8, block_out_channels=(32, 64), attention_levels=(True, False), layers_per_block=1,
    attention_heads=2, cross_attention_dim=32, norm_groups=8, temporal=True, temporal_heads=2, motion_map=(4, 2), motion_channels=(32, 64),
    motion_width=32, motion_layers=1, motion_heads=2,
)  # fmt: skip
GPT = MotionGPTConfig(layers=4, heads=4, width=128, frames=64, slots=3, music_features={"librosa": 35}, dropout=0.0)
MEASURE = """
import gc, sys
import torch
from xdancer.planning import step as planning
torch.set_num_threads(1)
model, loss, _ = planning._prepare(eval(sys.argv[1], vars(planning)))
loss().backward()
model.zero_grad()
gc.collect()
memory = lambda key: int(next(line for line in open("/proc/self/status") if line.startswith(key)).split()[1]) * 1024
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # the highest so far starts anew
loss().backward()
print(memory("VmHWM") - before)
"""
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_MAX_": "1000000"}
"""Lets what is freed leave the process at once, so that its highest memory is the step's."""


def test_the_watch_counts_what_is_alive_and_the_products() -> None:
    watch = StepWatch()
    with watch:
        kept = torch.ones(1000, 10)
        product = kept @ torch.ones(10, 20)
        assert watch.now == 4 * (10_000 + 20_000)
        del product
    assert watch.now == 40_000
    assert watch.peak == 4 * (10_000 + 200 + 20_000)
    assert watch.flops == 2 * 1000 * 10 * 20


def real_bytes(run: Run) -> int:
    """Growth of a process's memory by a real forward and backward pass, the second of its life."""
    command = [sys.executable, "-c", MEASURE, repr(run)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | GIVEN_BACK).stdout)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the highest memory of a process is read as Linux tells it")
@pytest.mark.parametrize(
    "run",
    [
        pytest.param(Run(GPT, batch=4), marks=pytest.mark.slow),
        pytest.param(Run(SMALL, batch=2, frames=16), marks=pytest.mark.slow),
        pytest.param(Run(replace(SMALL, gradient_checkpointing=True), batch=4, frames=16, train_spatial=False), marks=pytest.mark.slow),
    ],
    ids=["motion GPT", "renderer", "renderer, checkpointing"],
)
def test_the_prediction_is_what_a_real_step_takes(run: Run) -> None:
    step = predict(run)
    assert step.gradients + step.activations == pytest.approx(real_bytes(run), rel=0.15)


@pytest.mark.slow
def test_the_paper_s_first_phase_takes_what_a_gpu_measured() -> None:
    """28.1 GiB allocated at most on an H200: batch 2 of 896 × 512, bf16, fp32 AdamW, no averages (docs/experiments.md)."""
    config = VideoDiffusionConfig(motion_decoder=False, gradient_checkpointing=True, autoencoder="vae", image_encoder="clip")
    run = Run(config, batch=2, bf16=True, keeps_casts=True)
    needed = demand(Plan(run), predict(run))
    assert (needed.total - needed.context) / 2**30 == pytest.approx(28.1, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["vqvae", "gpt", "video_image", "video_temporal", "video_joint", "lora_dancer"])
def test_every_stage_fits_one_card_of_24_gb(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--config", f"configs/{stage}.yaml", "--config", "configs/trainer/gpu24.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total_gib"] * 2**30 <= 22e9


@pytest.mark.slow
def test_adapters_and_pose_guider_are_planned() -> None:
    """Only the adapters train; skeletons are drawn without torch and cost it nothing."""
    pytest.importorskip("peft")
    real = VideoDiffusion(SMALL)
    add_adapters(real, LoRAConfig(rank=2))
    adapted = predict(Run(SMALL, batch=1, lora=LoRAConfig(rank=2)))
    assert adapted.trained == sum(parameter.numel() for parameter in real.parameters() if parameter.requires_grad)
    assert adapted.parameters == sum(parameter.numel() for parameter in real.parameters())
    guided = predict(Run(replace(SMALL, motion_decoder=False, pose_guider=True), batch=1))
    assert guided.flops > 0


def test_nothing_is_allocated_at_the_paper_s_size() -> None:
    step = predict(Run(MotionGPTConfig(), batch=3, bf16=True))
    assert step.weights == pytest.approx(4 * step.parameters, rel=1e-3)  # and a few tables
    assert step.weights == pytest.approx(1.28e9, rel=0.01)
    assert step.trained == step.parameters


def test_an_autoencoder_and_an_image_encoder_are_counted_and_not_loaded() -> None:
    run = Run(replace(SMALL, patch_size=0, latent_channels=4, autoencoder="vae", image_encoder="clip"), batch=1, train_spatial=False, bf16=True)
    step, held = predict(run), predict(replace(run, frozen_bf16=True))
    assert step.parameters > 83_653_863 + 304_293_632
    assert step.activations > 0
    assert (held.trained, held.flops) == (step.trained, step.flops)
    assert held.weights < step.weights


def test_operations_of_a_transformer_are_six_per_parameter_and_position() -> None:
    config = replace(GPT, width=512, heads=8)
    step, window = predict(Run(config, batch=1)), config.layout.window
    blocks = 12 * config.layers * config.width**2
    attention = 7 * 2 * config.layers * window**2 * config.width  # fused: two products forward, five backward
    assert step.flops == pytest.approx(6 * blocks * window + attention, rel=0.15)


def test_accumulated_gradients_and_checkpointing_count() -> None:
    run = Run(replace(GPT, gradient_checkpointing=True), batch=4)
    plain, thrifty = predict(replace(run, model=GPT)), predict(run)
    assert thrifty.activations < 0.5 * plain.activations
    assert thrifty.flops > 1.2 * plain.flops
    again = predict(replace(run, accumulates=True))
    assert again.activations > thrifty.activations + 0.5 * thrifty.gradients
    assert again.flops == thrifty.flops


def test_states_averages_and_buckets_are_added() -> None:
    step = Step(parameters=100, trained=60, weights=400, gradients=240, activations=1000, flops=1)
    run = Run(GPT, batch=1)
    plain = demand(Plan(run), step)
    assert (plain.weights, plain.gradients, plain.optimizer, plain.averages) == (400, 240, 480, 0)
    full = demand(Plan(run, state_bytes=EIGHT_BIT, averages=True, gpus=8), step)
    assert (full.gradients, full.averages) == (480, 400)
    assert full.optimizer == pytest.approx(60 * 2.03, rel=0.01)


def test_a_config_is_read_as_train_py_prints_it() -> None:
    config = {
        "model": {
            "class_path": "xdancer.video_diffusion.module.VideoDiffusionModule",
            "init_args": {"config": asdict(SMALL), "train_spatial": False, "optimizer": {"class_path": "bitsandbytes.optim.AdamW8bit"}},
        },
        "data": {"class_path": "datamodules.video.VideoDataModule", "init_args": {"batch_size": 3, "frames": 16}},
        "trainer": {
            "precision": "bf16-mixed", "accumulate_grad_batches": 2,
            "callbacks": [{"class_path": "callbacks.ema.DeviceEMAWeightAveraging", "init_args": {"device": "cpu"}}],
        },
    }  # fmt: skip
    plan = read_plan(config, gpus=2)
    assert plan == Plan(Run(SMALL, 3, 16, False, bf16=True, accumulates=True), state_bytes=EIGHT_BIT, averages=False, gpus=2)
    config["trainer"]["callbacks"][0]["init_args"] = {}
    assert read_plan(config, gpus=1).averages
    overlaid = read_plan({**config, "averages": "cpu", "frozen_weights": "bfloat16"}, gpus=1)
    assert overlaid == replace(plan, gpus=1, run=replace(plan.run, frozen_bf16=True))


def test_advice_goes_from_cheap_to_dear_and_never_repeats_what_is_on() -> None:
    words = [text for text, _ in remedies(Plan(Run(SMALL, batch=4, frames=16), averages=True))]
    assert [text.split()[0] for text in words] == [
        "model.init_args.config.gradient_checkpointing:", "averages:", "model.init_args.optimizer.class_path:", "data.init_args.batch_size:",
        "model.init_args.train_spatial:", "three",
    ]  # fmt: skip
    *_, (_, last) = remedies(Plan(Run(SMALL, batch=4, frames=16), averages=True))
    assert (last.run.batch, last.run.train_spatial, last.averages, last.state_bytes) == (1, False, False, EIGHT_BIT)
    assert list(remedies(Plan(Run(VQVAEConfig(), batch=1), state_bytes=EIGHT_BIT))) == []


def test_configs_add_up_as_for_train_py() -> None:
    assert gathered(["--config", "a", "--gpus", "8", "--config=b"], "--config") == ["--gpus", "8", "--configs", '["a", "b"]']


def test_an_overlay_alone_is_no_training() -> None:
    with pytest.raises(XDancerError, match="has no model and no data"):
        read_plan({"model": None, "data": None, "trainer": {}}, gpus=1)


@pytest.mark.slow
def test_the_command_prints_a_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--config", "configs/demo/gpt.yaml", "--gpu-memory", "0.84", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["trained"] > 1e6
    assert said["total_gib"] > 0.84
    assert not said["fits"]
    assert said["advice"][0]["total_gib"] < said["total_gib"]


def test_the_command_says_what_train_py_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err
    assert main(["plan", "--config", "configs/demo/gpt.yaml", "--gpus", "0"]) == 2
    assert "at least one GPU" in capsys.readouterr().err
