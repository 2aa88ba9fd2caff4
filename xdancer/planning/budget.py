"""From a training config to the memory of one GPU, and what to switch on where it does not fit."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from xdancer.batches import split_batch
from xdancer.errors import XDancerError
from xdancer.motion_gpt.model import MotionGPTConfig
from xdancer.planning.step import Run, Step
from xdancer.video_diffusion.config import VideoDiffusionConfig
from xdancer.video_diffusion.lora import LoRAConfig
from xdancer.vqvae.model import VQVAEConfig

STAGES = {
    "VQVAEModule": VQVAEConfig,
    "MotionGPTModule": MotionGPTConfig,
    "VideoDiffusionModule": VideoDiffusionConfig,
    "JointModule": VideoDiffusionConfig,
}
EIGHT_BIT = 2 + 2 * 4 / 256
"""Bytes of Adam's two states for a parameter, with a scale for every 256."""
CONTEXT = 0.8 * 2**30
"""Of the GPU's memory: CUDA's context, libraries and what the allocator cannot use."""


@dataclass(frozen=True)
class Plan:
    """A run and what holds its states."""

    run: Run
    state_bytes: float = 8.0
    """Of the optimiser, for each trained parameter: Adam 8, or `EIGHT_BIT`."""
    averages: bool = False
    """Whether averaged weights lie on the GPU."""
    gpus: int = 1


@dataclass(frozen=True)
class Demand:
    """Bytes on one GPU."""

    weights: float
    gradients: float
    optimizer: float
    averages: float
    activations: float
    context: float = CONTEXT

    @property
    def total(self) -> float:
        return sum(getattr(self, field.name) for field in fields(self))


def demand(plan: Plan, step: Step) -> Demand:
    """What a process takes: DDP keeps a second copy of the gradients; averages are a copy of all weights."""
    return Demand(
        weights=float(step.weights), gradients=step.gradients * (2.0 if plan.gpus > 1 else 1.0), optimizer=plan.state_bytes * step.trained,
        averages=float(step.weights * plan.averages), activations=float(step.activations),
    )  # fmt: skip


def read_plan(config: Mapping[str, Any], gpus: int) -> Plan:
    """The plan of a whole training config, as `train.py fit --print_config` writes it.

    Raises:
        XDancerError: no model or data, a model class that is none of the three stages, or a batch that the GPUs cannot share.
    """
    if lacking := [name for name in ("model", "data") if not config.get(name)]:
        raise XDancerError(f"The config has no {' and no '.join(lacking)}: it trains nothing. Begin with a stage's, such as gpt.yaml.")
    model, data, trainer = config["model"], config["data"]["init_args"], config["trainer"]
    name = model["class_path"].rpartition(".")[2]
    if name not in STAGES:
        raise XDancerError(f"model.class_path {model['class_path']}: plans are made for {', '.join(STAGES)}.")
    arguments = model["init_args"]
    stage = STAGES[name](**_tupled(arguments.get("config") or {}))
    adapters, batch, rounds = arguments.get("lora"), data["batch_size"], trainer.get("accumulate_grad_batches") or 1
    if config.get("global_batch"):
        batch, rounds = split_batch(config["global_batch"], processes=gpus, at_most=batch)
    run = Run(
        stage, batch=batch, frames=data.get("frames", 1), train_spatial=arguments.get("train_spatial", True),
        bf16=str(trainer.get("precision") or "").startswith("bf16"), frozen_bf16=config.get("frozen_weights") == "bfloat16",
        lora=LoRAConfig(**_tupled(adapters)) if adapters else None,
        accumulates=rounds > 1,
    )  # fmt: skip
    optimizer = (arguments.get("optimizer") or {}).get("class_path", "")
    averagers = [item for item in trainer.get("callbacks") or [] if item["class_path"].endswith("WeightAveraging")]
    on_gpu = config.get("averages", "on") == "on" and any(
        str((item.get("init_args") or {}).get("device") or "cuda").startswith("cuda") for item in averagers
    )
    return Plan(run, state_bytes=EIGHT_BIT if "8bit" in optimizer.lower() else 8.0, averages=on_gpu, gpus=gpus)


def _tupled(values: Mapping[str, Any]) -> dict[str, Any]:
    """As a config class holds them: tuples, where YAML has lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def remedies(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """What can be switched on, the cheapest first: the words, and the plan with this and all before it."""
    for words, change in _STEPS:
        changed = change(plan)
        if changed is not None:
            yield words(plan), changed
            plan = changed


def _checkpointing(plan: Plan) -> Plan | None:
    model = plan.run.model
    if isinstance(model, VQVAEConfig) or model.gradient_checkpointing:
        return None
    return replace(plan, run=replace(plan.run, model=replace(model, gradient_checkpointing=True)))


def _averages(plan: Plan) -> Plan | None:
    return replace(plan, averages=False) if plan.averages else None


def _eight_bit(plan: Plan) -> Plan | None:
    return replace(plan, state_bytes=EIGHT_BIT) if plan.state_bytes > 4 else None


def _single(plan: Plan) -> Plan | None:
    return replace(plan, run=replace(plan.run, batch=1, accumulates=True)) if plan.run.batch > 1 else None


def _frozen(plan: Plan) -> Plan | None:
    model = plan.run.model
    if not isinstance(model, VideoDiffusionConfig) or not model.temporal or not plan.run.train_spatial:
        return None
    return replace(plan, run=replace(plan.run, train_spatial=False))


def _smaller(plan: Plan) -> Plan | None:
    model = plan.run.model
    if not isinstance(model, VideoDiffusionConfig):
        return None
    height, width = (max(side * 3 // 4 // model.total_stride, 1) * model.total_stride for side in (model.height, model.width))
    return replace(plan, run=replace(plan.run, model=replace(model, height=height, width=width)))


_STEPS: tuple[tuple[Callable[[Plan], str], Callable[[Plan], Plan | None]], ...] = (
    (lambda _: "model.init_args.config.gradient_checkpointing: true (a third more time)", _checkpointing),
    (lambda _: "averages: cpu (a copy to the CPU every step)", _averages),
    (lambda _: 'model.init_args.optimizer.class_path: xdancer.optimizers.AdamW8bit (pip install "xdancer[eightbit]")', _eight_bit),
    (lambda plan: f"data.init_args.batch_size: 1, gradients accumulated {plan.run.batch} times as often (slower, the same gradient)", _single),
    (lambda _: "model.init_args.train_spatial: false (the motion decoder and the temporal modules still train)", _frozen),
    (lambda _: "three quarters of the height and width in model.init_args.config and data.init_args.size (a smaller picture)", _smaller),
)
