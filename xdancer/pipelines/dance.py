"""DancePipeline: the pose of the portrait → tokens over the whole song → frames."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from xdancer.checkpoint import fingerprint, load_model
from xdancer.device import Precision, autocast
from xdancer.motion_gpt.model import MotionGPT
from xdancer.motion_gpt.sampling import SamplingConfig
from xdancer.pipelines.folder import name_of, read_folder, require_one_tokenizer, write_folder
from xdancer.pipelines.letterbox import Letterbox
from xdancer.pipelines.motion import MotionPipeline, Progress, Wishes, frames_of
from xdancer.types import MotionSample, MotionTokens, PoseBatch
from xdancer.video_diffusion.model import VideoDiffusion
from xdancer.video_diffusion.sampling import decode_windows, stream_latents
from xdancer.vqvae.model import VQVAE


@dataclass(frozen=True)
class DanceVideo:
    """What `DancePipeline` makes of one portrait and one song."""

    frames: UInt8[NDArray, "frame height width 3"]
    """RGB at 30 fps, in the portrait's proportions."""
    pose: Float[NDArray, "frame 60 3"]
    """The dance in the portrait's coordinates: origin at the centre, unit = half the height."""
    tokens: MotionTokens


@dataclass(frozen=True)
class DanceStream:
    """The same with pictures that are decoded while they are read, once: a long song does not fill the memory."""

    frames: Iterator[UInt8[NDArray, "height width 3"]]
    pose: Float[NDArray, "frame 60 3"]
    """The dance in the portrait's coordinates: origin at the centre, unit = half the height."""
    tokens: MotionTokens


class DancePipeline:
    """The three stages over one token language.

    Args:
        tokenizer: stage 1.
        gpt: stage 2, trained on the tokens of this tokenizer.
        renderer: stage 3, likewise.
    """

    def __init__(self, tokenizer: VQVAE, gpt: MotionGPT, renderer: VideoDiffusion, *, precision: Precision = "fp32") -> None:
        self.motion = MotionPipeline(tokenizer, gpt, precision=precision)
        self.tokenizer, self.gpt, self.renderer = tokenizer, gpt, renderer.eval()
        self.precision: Precision = precision

    @classmethod
    def from_pretrained(cls, folder: Path | str, *, device: torch.device | str = "cpu", precision: Precision = "fp32") -> "DancePipeline":
        """The pipeline of a model folder.

        Raises:
            CheckpointError: missing, damaged, of another version; StageMismatchError: its parts were not exported together.
        """
        models, _ = read_folder(Path(folder))
        return cls._of(models, precision).to(device)

    @classmethod
    def from_checkpoints(cls, vqvae: Path, gpt: Path, video: Path, *, precision: Precision = "fp32") -> "DancePipeline":
        """The pipeline of three training checkpoints; `shipped` stands for those of the package.

        Raises:
            CheckpointError: missing, damaged or of another stage; StageMismatchError: stages 2 or 3 were trained on another tokenizer.
        """
        tokenizer, motion_gpt, renderer = load_model(vqvae, VQVAE), load_model(gpt, MotionGPT), load_model(video, VideoDiffusion)
        require_one_tokenizer(tokenizer, vqvae, {"motion_gpt": gpt, "video_diffusion": video})
        return cls(tokenizer, motion_gpt, renderer, precision=precision)

    @classmethod
    def _of(cls, models: Mapping[str, nn.Module], precision: Precision) -> "DancePipeline":
        return cls(
            cast(VQVAE, models["vqvae"]),
            cast(MotionGPT, models["motion_gpt"]),
            cast(VideoDiffusion, models["video_diffusion"]),
            precision=precision,
        )

    def save_pretrained(self, folder: Path | str, *, notes: Mapping[str, Any] | None = None, half: bool = False) -> None:
        """Write the model folder: safetensors and config.json per stage, model_index.json with the fingerprints and `notes`.

        Raises:
            CheckpointError: the name is taken by something else, or the folder cannot be written.
        """
        write_folder(Path(folder), self.models, notes=notes, half=half)

    @property
    def models(self) -> dict[str, nn.Module]:
        """The stages' models by name."""
        return {"vqvae": self.tokenizer, "motion_gpt": self.gpt, "video_diffusion": self.renderer}

    @property
    def name(self) -> str:
        """What videos of this model are tagged with: `model_hash` of its folder, computed from the weights."""
        return name_of({stage: fingerprint(model) for stage, model in self.models.items()})

    @property
    def device(self) -> torch.device:
        return next(self.gpt.parameters()).device

    def to(self, device: torch.device | str) -> "DancePipeline":
        """Move all stages."""
        for model in self.models.values():
            model.to(device)
        return self

    def __call__(
        self,
        image: UInt8[NDArray, "height width 3"],
        music: Float[NDArray, " sample"],
        *,
        sample_rate: int,
        pose: Float[NDArray, "60 3"],
        seconds: float | None = None,
        seed: int = 0,
        sampling: SamplingConfig = SamplingConfig(),
        steps: int | None = None,
        guidance: float | None = None,
        progress: Progress | None = None,
    ) -> DanceVideo:
        """A dance of the person in `image` to `music`, all pictures in memory; arguments as in `stream`."""
        dance = self.stream(
            image, music, sample_rate=sample_rate, pose=pose, seconds=seconds, seed=seed, sampling=sampling, steps=steps, guidance=guidance,
            progress=progress,
        )  # fmt: skip
        return DanceVideo(np.stack(list(dance.frames)), dance.pose, dance.tokens)

    def stream(
        self,
        image: UInt8[NDArray, "height width 3"],
        music: Float[NDArray, " sample"],
        *,
        sample_rate: int,
        pose: Float[NDArray, "60 3"],
        seconds: float | None = None,
        seed: int = 0,
        sampling: SamplingConfig = SamplingConfig(),
        steps: int | None = None,
        guidance: float | None = None,
        progress: Progress | None = None,
    ) -> DanceStream:
        """A dance of the person in `image` to `music`, pictures to be read one by one.

        Args:
            image: the portrait, any size.
            music: mono waveform, full scale ±1.
            sample_rate: of the music, Hz.
            pose: the portrait's pose, from which the dance starts; origin at the image centre, unit = half its height.
            seconds: length; the whole song where None.
            seed: equal seeds give equal dances.
            sampling: how motion tokens are drawn.
            steps: denoising steps; the model's own number where None.
            guidance: guidance scale of the renderer; the model's own where None.
            progress: told how far the work is.
        """
        frames = frames_of(music, sample_rate=sample_rate, seconds=seconds)
        features = self.motion.encode(music, sample_rate=sample_rate, frames=frames)
        start = self.start(image, pose)
        motion = self.motion.dance(features, start, frames=frames, seed=seed, wishes=Wishes(sampling), progress=progress)
        return self.show(image, start, motion, steps=steps, guidance=guidance, seed=seed, progress=progress)

    def start(self, image: UInt8[NDArray, "height width 3"], pose: Float[NDArray, "60 3"]) -> PoseBatch:
        """The portrait's pose in the renderer's coordinates: what the dance starts from."""
        return PoseBatch.from_array(self.box(image).pose_inside(pose[None])).to(self.motion.device)

    def show(
        self, image: UInt8[NDArray, "height width 3"], start: PoseBatch, motion: MotionSample, *, steps: int | None = None,
        guidance: float | None = None, seed: int = 0, progress: Progress | None = None,
    ) -> DanceStream:  # fmt: skip
        """The person in `image`, whose pose is `start`, in a dance that is known; arguments as in `stream`."""
        box = self.box(image)
        reference = to_tensor(box.place(image)[None]).to(self.device)
        windows = self.render(reference, start, motion, steps=steps, guidance=guidance, seed=seed, progress=progress)
        frames = (frame for window in windows for frame in box.cut(to_pictures(window[0])))
        return DanceStream(frames, box.pose_outside(motion.pose.to_array()), motion.tokens)

    def box(self, image: UInt8[NDArray, "height width 3"]) -> Letterbox:
        """Where the portrait lies in the renderer's pictures."""
        return Letterbox.fit((image.shape[0], image.shape[1]), (self.renderer.config.height, self.renderer.config.width))

    def render(
        self, reference: Float[Tensor, "batch 3 height width"], reference_pose: PoseBatch, motion: MotionSample, *, steps: int | None = None,
        guidance: float | None = None, seed: int = 0, progress: Progress | None = None,
    ) -> Iterator[Float[Tensor, "batch frame 3 height width"]]:  # fmt: skip
        """Stage 3: the person of `reference` (RGB in [-1, 1]) in the dance's poses; pictures window by window, in [-1, 1]."""
        report = None if progress is None else lambda done, total: progress("render", done, total)
        generator = torch.Generator(self.device).manual_seed(seed)
        with torch.no_grad():
            latents = stream_latents(
                self.renderer, reference=reference, reference_pose=reference_pose, codes=self.tokenizer.codes(motion.tokens), pose=motion.pose,
                steps=steps, guidance=guidance, generator=generator, progress=report,
            )  # fmt: skip
        return self._decoded(decode_windows(self.renderer, latents))

    @torch.no_grad()
    def _decoded(self, windows: Iterator[Tensor]) -> Iterator[Tensor]:
        while True:
            with autocast(self.device, self.precision):  # not held while the reader works
                window = next(windows, None)
            if window is None:
                return
            yield window.float().clamp(-1, 1)


def to_tensor(frames: UInt8[NDArray, "frame height width 3"]) -> Float[Tensor, "frame 3 height width"]:
    """Pictures as RGB in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pictures(frames: Float[Tensor, "frame 3 height width"]) -> UInt8[NDArray, "frame height width 3"]:
    """RGB in [-1, 1] as pictures."""
    return ((frames.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
