"""`xdancer weights`: pretrained weights that people have: which there are, do they fit, and where the configs look for them."""

from pathlib import Path
from typing import TYPE_CHECKING

from xdancer.errors import CheckpointError, XDancerError

if TYPE_CHECKING:
    from xdancer.video_diffusion.model import VideoDiffusion


def listed() -> None:
    """List the weights that are not shipped: model id, licence, size, what they are for, and the command that takes them in."""
    from xdancer.weights.catalogue import CATALOGUE

    for entry in CATALOGUE:
        print(f"{entry.name} ({entry.licence}, about {entry.size})\n  {entry.model_id}\n  {entry.use}\n  {entry.command}\n")


def sd15(folder: Path, *, out: Path = Path("weights/stable-diffusion-v1-5")) -> None:
    """Check a Stable Diffusion 1.5 folder of diffusers (unet, vae) against the paper's renderer, and put it where the configs look.

    Args:
        folder: with the sub-folders unet and vae.
        out: link that is made; configs/video_image.yaml names the default.

    Raises:
        CheckpointError: a part is missing, damaged or of another size, or OUT is taken.
    """
    from xdancer.video_diffusion.pretrained import load_autoencoder, load_pretrained

    model = _meta("video_image.yaml")
    for report in load_pretrained(model, folder):
        print(report)
    channels = load_autoencoder(folder / "vae").config.latent_channels
    if channels != model.config.latent_channels:
        raise CheckpointError(f"{folder}/vae has {channels} latent channels, the renderer {model.config.latent_channels}.")
    print(f"{folder}/vae: AutoencoderKL, {channels} latent channels")
    _link(folder, out)


def clip(folder: Path, *, out: Path = Path("weights/clip-vit-large-patch14")) -> None:
    """Check the folder of a CLIP vision model with projection, and put it where the configs look.

    Args:
        folder: as transformers' save_pretrained writes it.
        out: link that is made; configs/video_image.yaml names the default.

    Raises:
        CheckpointError: missing, damaged, or another width than the renderer's; or OUT is taken.
    """
    from xdancer.video_diffusion.model import VideoDiffusionConfig
    from xdancer.video_diffusion.pretrained import load_image_encoder

    width = VideoDiffusionConfig().cross_attention_dim
    load_image_encoder(folder, width=width)
    print(f"{folder}: CLIP vision model, projects to {width}")
    _link(folder, out)


def animatediff(path: Path, *, allow_new: list[str] | str | None = None) -> None:
    """Check AnimateDiff's motion modules against the paper's renderer, and say which key takes them.

    Args:
        path: the original checkpoint (.ckpt, .safetensors) or the folder of a diffusers MotionAdapter.
        allow_new: groups that may be missing and start new: down_blocks, mid_block, up_blocks.

    Raises:
        CheckpointError: missing, damaged, without motion modules, lacking a group that was not allowed, or of another size.
    """
    from xdancer.video_diffusion.motion_weights import load_motion_weights

    groups = [allow_new] if isinstance(allow_new, str) else allow_new or []
    print(load_motion_weights(_meta("video_temporal.yaml"), path, allow_new=groups))
    new = f" --model.init_args.allow_new '[{', '.join(groups)}]'" if groups else ""
    print(f"python train.py fit --config configs/video_temporal.yaml --model.init_args.temporal_weights {path}{new}")


def moore(folder: Path, *, vae: Path, image_encoder: Path, out: Path, motion: Path | None = None, height: int = 768, width: int = 512) -> None:
    """Make a model folder of Moore-AnimateAnyone's weights and a motion model: pictures of our dances without training a renderer.

    Args:
        folder: with denoising_unet.pth, reference_unet.pth, pose_guider.pth and motion_module.pth.
        vae: folder of a diffusers AutoencoderKL, such as sd-vae-ft-mse.
        image_encoder: folder of the CLIP vision model of sd-image-variations.
        out: model folder to write; autoencoder and image encoder stay where they are.
        motion: model folder whose stages 1 and 2 dance; those of the package by default.
        height: of the pictures, a multiple of 64.
        width: likewise.

    Raises:
        CheckpointError: a file is missing, damaged or of another size, or OUT cannot be written.
        XDancerError: a size that does not work.
    """
    from xdancer.pipelines.dance import DancePipeline
    from xdancer.pipelines.motion import MotionPipeline
    from xdancer.video_diffusion.model import VideoDiffusion
    from xdancer.video_diffusion.moore import load_moore, moore_config
    from xdancer.weights import shipped_model

    dancer = MotionPipeline.from_pretrained(shipped_model() if motion is None else motion)
    try:
        config = moore_config(autoencoder=str(vae.absolute()), image_encoder=str(image_encoder.absolute()), height=height, width=width)
    except ValueError as error:
        raise XDancerError(f"--height {height} --width {width}: {error}") from error
    renderer = VideoDiffusion(config)
    renderer.load_files()
    for report in load_moore(renderer, folder):
        print(report)
    DancePipeline(dancer.tokenizer, dancer.gpt, renderer).save_pretrained(out, half=True, notes={"renderer": "Moore-AnimateAnyone"})
    print(f"{out}: model folder. xdancer generate --image portrait.jpg --music song.mp3 --model {out} --out dance.mp4")


def _meta(config: str) -> "VideoDiffusion":
    """The renderer of a run's config without memory for its weights: shapes and names only."""
    import torch
    import yaml

    from xdancer.application import config_path
    from xdancer.video_diffusion.model import VideoDiffusion, VideoDiffusionConfig

    run = yaml.safe_load(config_path(config).read_text(encoding="utf-8"))
    with torch.device("meta"):
        return VideoDiffusion(VideoDiffusionConfig(**run["model"]["init_args"]["config"]))


def _link(folder: Path, out: Path) -> None:
    """OUT leads to FOLDER.

    Raises:
        CheckpointError: OUT is something else.
    """
    target = folder.absolute()
    if out.absolute() != target:
        if out.is_symlink() and out.resolve() != target.resolve():
            raise CheckpointError(f"--out {out}: leads to {out.resolve()} already. Remove it first, or choose another.")
        if out.exists() and not out.is_symlink():
            raise CheckpointError(f"--out {out}: exists. Remove it first, or choose another.")
        out.parent.mkdir(parents=True, exist_ok=True)
        if not out.is_symlink():
            out.symlink_to(target, target_is_directory=True)
    print(f"{out} → {target}")


WEIGHTS = {"list": listed, "import": {"sd15": sd15, "clip": clip, "animatediff": animatediff, "moore": moore}}
