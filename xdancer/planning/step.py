"""One training step of a stage on fake tensors: its parameters, its memory and its operations."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig
from xdancer.planning.examples import random_poses, random_segment
from xdancer.planning.watch import StepWatch
from xdancer.types import PoseBatch
from xdancer.video_diffusion.handover import freeze_spatial, shrink_frozen
from xdancer.video_diffusion.image_space import VAESpace
from xdancer.video_diffusion.lora import LoRAConfig, adapt
from xdancer.video_diffusion.loss import diffusion_loss
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.vqvae.loss import vqvae_loss
from xdancer.vqvae.model import VQVAE, VQVAEConfig

AUTOENCODER, IMAGE_ENCODER = 83_653_863, 304_293_632
"""Parameters of SD1.5's autoencoder and of CLIP ViT-L/14's vision model with projection: frozen, in fp32."""


@dataclass(frozen=True)
class Run:
    """What of a training run decides about its step; one process."""

    model: VQVAEConfig | MotionGPTConfig | VideoDiffusionConfig
    batch: int
    frames: int = 1
    """Pictures of a sample (stage 3)."""
    train_spatial: bool = True
    """Stage 3: whether UNet and ReferenceNet train."""
    bf16: bool = False
    """Autocast."""
    keeps_casts: bool = False
    """Whether autocast keeps the rounded weights of a forward pass; Lightning's does not."""
    frozen_bf16: bool = False
    """Stage 3: whether weights that do not train are held in 16 bits."""
    lora: LoRAConfig | None = None
    """Stage 3: adapters that train alone."""
    accumulates: bool = False
    """Whether the gradients of earlier batches are there while this one is computed."""


@dataclass(frozen=True)
class Step:
    """What a step takes. Bytes of one process, without the states of the optimiser."""

    parameters: int
    trained: int
    weights: int
    """Bytes of all weights, those of frozen parts included."""
    gradients: int
    activations: int
    """What is alive beside weights and gradients when most is."""
    flops: int
    """Multiplications and additions, forward, backward and what checkpointing computes again."""


def predict(run: Run) -> Step:
    """Walk through a step on fake tensors; seconds to a minute at the paper's size, hardly any memory.

    Attention is counted as fused kernels take it and without dropout, whose masks they do not keep.
    """
    watch = StepWatch()
    with ExitStack() as stack:
        if not isinstance(run.model, VQVAEConfig):  # its codebook looks at numbers; a step of it is real, and small
            stack.enter_context(FakeTensorMode())
        model, loss, frozen = _prepare(run)
        stack.enter_context(watch)
        for tensor in (*model.parameters(), *model.buffers()):
            watch.count(tensor)
        weights = watch.now
        for _ in range(1 + run.accumulates):
            watch.flops, watch.peak = 0, watch.now
            with torch.autocast("cpu", torch.bfloat16, enabled=run.bf16, cache_enabled=run.keeps_casts):
                value = loss()
            value.backward()
            del value
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        gradients = sum(parameter.grad.nbytes for parameter in trained if parameter.grad is not None)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        return Step(
            parameters=parameters + frozen, trained=sum(parameter.numel() for parameter in trained), weights=weights + 4 * frozen,
            gradients=gradients, activations=max(watch.peak - weights - gradients, 0), flops=watch.flops,
        )  # fmt: skip


def _prepare(run: Run) -> tuple[nn.Module, Callable[[], Tensor], int]:
    """The stage's network, the loss of a random batch, and how many parameters of further frozen networks there are."""
    if isinstance(run.model, VQVAEConfig):
        vqvae, pose = VQVAE(run.model).train(), random_poses(run.batch, 1)
        return vqvae, lambda: vqvae_loss(vqvae(pose), target=pose, config=vqvae.config).total, 0
    if isinstance(run.model, MotionGPTConfig):
        gpt = MotionGPT(replace(run.model, dropout=0.0)).train()
        window = random_segment(gpt, run.batch)
        return gpt, lambda: F.cross_entropy(gpt(window).flatten(0, 3), window.motion.flatten()), 0
    return _renderer(run, run.model)


def _renderer(run: Run, config: VideoDiffusionConfig) -> tuple[nn.Module, Callable[[], Tensor], int]:
    renderer, size = VideoDiffusion(replace(config, autoencoder="", image_encoder="")).train(), (3, config.height, config.width)
    if not run.train_spatial:
        freeze_spatial(renderer)
    if run.lora is not None:
        adapt(renderer, run.lora, partial(_put_adapters, lora=run.lora))
    if renderer.pose_guider is not None:
        drawn = torch.zeros(run.batch, run.frames, 3, config.height, config.width)  # pictures of skeletons are drawn without torch
        renderer.pose_guider.forward = lambda pose, height, width, guider=renderer.pose_guider: guider.read(drawn)
    if run.frozen_bf16:
        shrink_frozen(renderer, torch.bfloat16)
    frozen = AUTOENCODER if isinstance(renderer.image_space, VAESpace) else 0
    if config.image_encoder:
        frozen += IMAGE_ENCODER
        renderer.appearance = _Projected(config.cross_attention_dim)
    if isinstance(renderer.image_space, VAESpace):
        renderer.image_space.posterior = _latents(config)  # type: ignore[method-assign]
    reference, pictures = torch.rand(run.batch, *size), torch.rand(run.batch, run.frames, *size)
    codes, pose = torch.rand(run.batch, config.window_frames, config.codes_width), random_poses(run.batch, config.window_frames)
    index = torch.arange(run.frames).expand(run.batch, -1)

    def loss() -> Tensor:
        portrait = renderer.encode_portrait(reference, pose.frames(slice(0, 1)))
        return diffusion_loss(renderer, portrait, renderer.encode_motion(portrait, codes, pose, frame_index=index), pictures).total

    return renderer, loss, frozen


def _added(adapter: nn.Module, _linear: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
    return out + adapter(inputs[0])


def _put_adapters(network: nn.Module, lora: LoRAConfig) -> None:
    """What peft's adapters compute and hold; peft itself cannot put them into fake weights."""
    wanted = [module for name, module in network.named_modules() if isinstance(module, nn.Linear) and name.endswith(lora.targets)]
    for linear in wanted:
        adapter = nn.Sequential(nn.Linear(linear.in_features, lora.rank, bias=False), nn.Linear(lora.rank, linear.out_features, bias=False))
        linear.add_module("adapter", adapter)
        linear.register_forward_hook(partial(_added, adapter))


class _Projected(nn.Module):
    """Stands for CLIP: one frozen token of the portrait."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, picture: Tensor, _pose: PoseBatch) -> Tensor:
        return picture.new_zeros(len(picture), 1, self.width)


def _latents(config: VideoDiffusionConfig) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Stands for the frozen autoencoder, which works on one picture at a time before the step's peak."""

    def posterior(pictures: Tensor) -> tuple[Tensor, Tensor]:
        mean = pictures.new_zeros(len(pictures), config.latent_channels, *config.latent_size)
        return mean, torch.zeros_like(mean)

    return posterior
