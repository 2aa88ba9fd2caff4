"""Fine-tuning with low-rank adapters (peft): everything stays frozen but two thin matrices beside each attention projection."""

from collections.abc import Callable
from dataclasses import dataclass

from lightning_utilities.core.imports import RequirementCache
from torch import nn

from xdancer.errors import XDancerError
from xdancer.video_diffusion.model import VideoDiffusion

REQUIREMENT = RequirementCache("peft>=0.17", module="peft")


@dataclass(frozen=True)
class LoRAConfig:
    """Adapters of a renderer."""

    rank: int = 16
    alpha: float = 16.0
    """Their output counts alpha / rank times."""
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Ends of the names of the layers that get one; these are all attention projections, those of the motion modules included."""
    reference: bool = True
    """Whether the ReferenceNet gets them, too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(self.targets))
        if self.rank < 1 or not self.targets:
            raise ValueError(f"lora needs rank ≥ 1 and targets, got rank {self.rank} and targets {self.targets}.")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


def add_adapters(model: VideoDiffusion, config: LoRAConfig) -> None:
    """Freeze a renderer and put adapters into it; at first they change nothing.

    Raises:
        XDancerError: peft is not installed, or no layer has such a name.
    """
    if not REQUIREMENT:
        raise XDancerError('model.init_args.lora needs peft: pip install "xdancer[lora]".')
    from peft import LoraConfig, inject_adapter_in_model

    wanted = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=list(config.targets))  # pyright: ignore[reportArgumentType]
    try:
        adapt(model, config, lambda network: inject_adapter_in_model(wanted, network, adapter_name="dancer"))
    except ValueError as error:
        raise XDancerError(f"model.init_args.lora.targets {list(config.targets)}: {' '.join(str(error).split())[:200]}") from error


def adapt(model: VideoDiffusion, config: LoRAConfig, inject: Callable[[nn.Module], object]) -> None:
    """Freeze a renderer and let `inject` put adapters into the networks that get them; those that nothing reads stay frozen."""
    model.requires_grad_(False)
    for network in model.spatial_unets.values() if config.reference else (model.unet,):
        inject(network)
    for parameter in [] if model.reference_net is None else model.reference_net.unread_parameters():
        parameter.requires_grad_(False)
