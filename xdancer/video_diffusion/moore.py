"""Moore-AnimateAnyone's four files as a renderer: real pictures of our dances without training (AnimateAnyone, Hu et al. 2023).

config = moore_config(autoencoder="sd-vae-ft-mse", image_encoder="image_encoder", height=768, width=512)
renderer = VideoDiffusion(config)
for report in load_moore(renderer, Path("pretrained_weights")):
print(report)
"""

from pathlib import Path

from torch import Tensor

from xdancer.errors import CheckpointError
from xdancer.tensors import read_tensors
from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig
from xdancer.video_diffusion.motion_weights import load_motion_weights
from xdancer.video_diffusion.pretrained import LoadReport, copy_weights, is_motion_module

FILES = ("denoising_unet.pth", "reference_unet.pth", "pose_guider.pth", "motion_module.pth")


def moore_config(*, autoencoder: str, image_encoder: str, height: int, width: int) -> VideoDiffusionConfig:
    """The renderer that these weights were trained as: SD1.5's sizes, a pose guider, motion modules, their noise schedule.

    Args:
        autoencoder: folder of a diffusers AutoencoderKL (`stabilityai/sd-vae-ft-mse`).
        image_encoder: folder of a CLIP vision model with projection (`lambdalabs/sd-image-variations-diffusers`, `image_encoder`).
        height: of the pictures, a multiple of 64.
        width: likewise.
    """
    return VideoDiffusionConfig(
        height=height, width=width, autoencoder=autoencoder, image_encoder=image_encoder, temporal=True, motion_decoder=False,
        pose_guider=True, beta_schedule="linear", dropped_reference="absent", window_frames=24, window_overlap=4,
    )  # fmt: skip


def load_moore(model: VideoDiffusion, folder: str | Path) -> list[LoadReport]:
    """Copy the four files of a folder into a renderer, every weight accounted for.

    Raises:
        CheckpointError: a file is missing or damaged, or holds other weights than the renderer has.
    """
    folder = Path(folder)
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}. Moore-AnimateAnyone's weights are {', '.join(FILES)}.")
    if model.pose_guider is None or model.reference_net is None:
        raise CheckpointError(
            f"{folder}: this config has no pose guider or no ReferenceNet. Load these weights with `pose_guider: true`, `reference_net: true`."
        )
    reference = model.reference_net
    unread = {id(parameter) for parameter in reference.unread_parameters()}
    tail = {name for name, parameter in reference.unet.named_parameters() if id(parameter) in unread}
    denoising = {name: value for name, value in _read(folder, FILES[0]).items() if not is_motion_module(name)}  # they come from their own file
    return [
        copy_weights(model.unet, denoising, source=str(folder / FILES[0]), may_be_new=is_motion_module),
        copy_weights(reference.unet, _read(folder, FILES[1]), source=str(folder / FILES[1]), may_be_new=lambda name: name in tail),
        copy_weights(model.pose_guider, _read(folder, FILES[2]), source=str(folder / FILES[2]), may_be_new=lambda _: False),
        load_motion_weights(model, folder / FILES[3]),
    ]


def _read(folder: Path, name: str) -> dict[str, Tensor]:
    return read_tensors(folder / name, folder_of="Moore-AnimateAnyone")
