"""Fixed validation clips rendered during training, to be watched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray
from torch.nn import functional

from callbacks.generation import GenerationCallback, step_precision
from xdancer.checkpoint import fingerprint
from xdancer.media import made_by_model, read_audio, read_video, write_video
from xdancer.metrics.reconstruction import byte_pictures
from xdancer.pose.render import draw_skeleton
from xdancer.types import FPS, ClipSample, PoseBatch

SAMPLE_RATE = 44100
DRAWN_HEIGHT = 256
STRIP_FRAMES = 8
"""Pictures of a sample in TensorBoard, side by side."""
Pictures = NDArray[np.uint8]


class Samples(GenerationCallback):
    """Writes `<run folder>/samples/step=…_<clip>.mp4`, with the clip's sound, and a strip of pictures to TensorBoard, on rank 0.

    Stage 1: true and decoded skeleton side by side. Stage 2: true and generated skeleton. Stage 3: portrait, driving skeleton, result and true
    picture. The clips, starting poses and seeds are the same in all validations.

    Args:
        clips: how many, evenly spread over the split.
        seconds: length, at most the clip's.
        split: of the data module.
        every_n_validations: 1 = in each.
        steps: sampling steps of stage 3; None = the model's.
        seed: of what is drawn.
    """

    def __init__(
        self,
        clips: int = 2,
        *,
        seconds: float = 4.0,
        split: Literal["train", "val", "test"] = "val",
        every_n_validations: int = 1,
        steps: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(every_n_validations=every_n_validations)
        self.clips, self.seconds, self.split, self.steps, self.seed = clips, seconds, split, steps, seed
        self._samples: list[ClipSample] | None = None

    def measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_rank != 0:
            return
        stage = pl_module.hparams["stage"]
        if self._samples is None:
            drawn = trainer.datamodule.evaluation_clips(self.clips, split=self.split)  # type: ignore[attr-defined]
            self._samples = [clip for clip in drawn if stage != "video_diffusion" or clip.video is not None]
        render: Callable[[Any, ClipSample, int], Pictures] = {
            "vqvae": decoded, "motion_gpt": self._danced, "video_diffusion": self._filmed
        }[stage]  # fmt: skip
        made_by = {"model": fingerprint(pl_module)[:16], "seed": self.seed, "stage": stage, "step": trainer.global_step}
        for clip in self._samples:
            frames = min(clip.frames, round(self.seconds * FPS))
            with step_precision(trainer):
                pictures = render(pl_module, clip, frames)
            self._write(trainer, clip, pictures, made_by_model(made_by))

    def _write(self, trainer: Trainer, clip: ClipSample, pictures: Pictures, tags: dict[str, str]) -> None:
        folder = Path(trainer.default_root_dir) / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        audio = None if clip.audio is None else read_audio(clip.audio, sample_rate=SAMPLE_RATE)
        path = folder / f"step={trainer.global_step:08d}_{clip.key}.mp4"
        write_video(path, iter(pictures), audio=audio, sample_rate=SAMPLE_RATE, metadata=tags)
        chosen = np.linspace(0, len(pictures) - 1, STRIP_FRAMES).round().astype(int)
        strip = np.concatenate(list(pictures[chosen]), axis=1)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(f"samples/{clip.key}", strip, trainer.global_step, dataformats="HWC")

    def _danced(self, module: Any, clip: ClipSample, frames: int) -> Pictures:
        names = module.model.config.music_features
        music = {name: torch.from_numpy(clip.features[name].astype(np.float32))[None].to(module.device) for name in names}
        start = PoseBatch.from_array(clip.pose[:1]).to(module.device)
        sample = module.generate(music, start, frames=frames, seed=self.seed)
        return beside(skeletons(clip.pose[:frames], clip), skeletons(sample.pose.to_array(), clip))

    def _filmed(self, module: Any, clip: ClipSample, frames: int) -> Pictures:
        config = module.model.config
        assert clip.video is not None
        true = resized(read_video(clip.video, count=frames).frames, config.height, config.width)
        reference = (torch.from_numpy(true[0]).permute(2, 0, 1).float() / 127.5 - 1)[None].to(module.device)
        pose = PoseBatch.from_array(clip.pose[:frames]).to(module.device)
        sample = module.generate(reference, pose.frames(slice(0, 1)), pose=pose, steps=self.steps, seed=self.seed)
        result = byte_pictures(sample.frames[0])
        drawn = np.stack([draw_skeleton(frame, config.height, config.width) for frame in clip.pose[:frames]])
        return beside(np.broadcast_to(true[0], true.shape), drawn, result, true)


def decoded(module: Any, clip: ClipSample, frames: int) -> Pictures:
    """True skeleton and the one that the tokens decode to."""
    poses = PoseBatch.from_array(clip.pose[:frames]).to(module.device)
    with torch.no_grad():
        result = module.model.decode(module.model.encode(poses)).to_array()
    return beside(skeletons(clip.pose[:frames], clip), skeletons(result, clip))


def skeletons(poses: NDArray[np.float32], clip: ClipSample) -> Pictures:
    """Skeleton pictures in the clip's proportions, sides even."""
    width = max(2, round(DRAWN_HEIGHT * clip.meta.get("aspect", 1.0) / 2) * 2)
    return np.stack([draw_skeleton(pose, DRAWN_HEIGHT, width) for pose in poses])


def resized(frames: Pictures, height: int, width: int) -> Pictures:
    """Pictures at the renderer's size."""
    if frames.shape[1:3] == (height, width):
        return frames
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)
    return functional.interpolate(tensor, size=(height, width), mode="bilinear", antialias=True).permute(0, 2, 3, 1).numpy()


def beside(*videos: Pictures) -> Pictures:
    """Videos of one length and height side by side."""
    return np.concatenate(videos, axis=2)
