"""Pictures, poses and portraits for stage 3."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from datamodules.base import ShardDataModule, Split
from xdancer.data.derived import derived_of
from xdancer.data.latents import weights_name
from xdancer.data.members import EMBEDDING, LATENTS, VIDEO
from xdancer.data.shards import ShardReader
from xdancer.data.videos import FrameSource, VideoShape, VideoWindows
from xdancer.data.windows import WindowSet, usable_frames
from xdancer.embedded.build import EmbeddedConfig
from xdancer.errors import ShardError, StageMismatchError
from xdancer.types import VideoBatch


class VideoDataModule(ShardDataModule[VideoBatch]):
    """Shards with video for the renderer. The portrait is another random frame of the same clip.

    Args:
        train: folder of training shards.
        val: folder of validation shards.
        test: folder of test shards.
        batch_size: samples per process and step.
        frames: pictures per sample beside the portrait (1 in phase a, 16 in phase b).
        consecutive: consecutive pictures from the middle of the pose window, or any of it.
        pose_window: consecutive poses per sample, at least `frames`.
        size: (height, width) of the pictures; None keeps the videos' own.
        frame_range: share of every clip that is used, such as (0.0, 0.8); all splits alike.
        val_frame_range: share for validation and test, if another.
        evaluation_frames: consecutive pictures per sample in validation and test, up to all of the `pose_window`; None = `frames`.
        reference_frame: evaluation's portrait, counted inside the usable range.
        nearest_portrait: portraits whose body stands near the window's, from the frames that are trained on (for clips whose later frames are
            held out): what a dancer's renderer has to add is smaller.
        cache_frames: keep decoded clips in memory.
        cache_gigabytes: bound of that memory for the training split.
        latents: train on what `xdancer cache-latents` wrote, not on the videos: the ending of the folder beside the training split (`.latents`
            stands for data/train.latents), or a folder that holds one for each split. Validation and test read pictures all the same.
        num_workers: threads that read ahead; 0 reads when a batch is needed.
        seed: of order and draws.
        embedded: build the embedded data set if the folders are missing.
    """

    pictures = True

    def __init__(
        self,
        train: str = "data/train",
        val: str = "data/val",
        test: str = "data/test",
        batch_size: int = 16,
        frames: int = 16,
        consecutive: bool = True,
        pose_window: int = 16,
        size: tuple[int, int] | None = None,
        frame_range: tuple[float, float] = (0.0, 1.0),
        val_frame_range: tuple[float, float] | None = None,
        evaluation_frames: int | None = None,
        reference_frame: int = 0,
        nearest_portrait: bool = False,
        cache_frames: bool = False,
        cache_gigabytes: float = 2.0,
        latents: str | None = None,
        num_workers: int = 0,
        seed: int = 0,
        embedded: EmbeddedConfig | None = None,
    ) -> None:
        super().__init__(
            {"train": train, "val": val, "test": test}, batch_size=batch_size, num_workers=num_workers, seed=seed, embedded=embedded,
            frame_range=frame_range, val_frame_range=val_frame_range,
        )  # fmt: skip
        self.shape = VideoShape(
            frames, consecutive, pose_window, None if size is None else (size[0], size[1]), reference_frame, nearest_portrait
        )
        self.evaluation_shape = self.shape
        if evaluation_frames is not None:
            self.evaluation_shape = replace(self.shape, frames=evaluation_frames, consecutive=True)
        self.cache_bytes = int(cache_gigabytes * 1e9) if cache_frames else 0
        self.latents = latents

    def open_split(self, split: Split) -> ShardReader:
        if self.latents is None or split != "train":
            return super().open_split(split)
        return ShardReader(self.folders[split], latents=Path(derived_of(self.folders[split], self.latents)))

    def usable_clips(self, reader: ShardReader) -> list[int]:
        return [clip for clip in range(len(reader)) if reader.has(clip, VIDEO)]

    def check(self, reader: ShardReader) -> None:
        """Compare pictures and windows with the model that is going to read them; linked arguments are no contract."""
        config = self.model_config
        if config is None:
            return
        wanted = (config.height, config.width)
        if LATENTS in reader.derived:
            self._check_latents(reader, config)
        for source, size in self._sizes(reader):
            if size != wanted:
                raise ShardError(
                    f"The model draws pictures of {wanted[0]}×{wanted[1]} (model.init_args.config.height × width), {source} gives "
                    f"{size[0]}×{size[1]}. Give data.init_args.size and the model's config the same height and width."
                )
        asked = {"frames": self.shape.frames, "evaluation_frames": self.evaluation_shape.frames}
        limits = ("temporal_positions", "window_frames") if config.temporal else ()
        for name, (key, frames) in product(limits, asked.items()):
            if frames > getattr(config, name):
                raise ShardError(
                    f"data.init_args.{key} is {frames}, but model.init_args.config.{name} is {getattr(config, name)}: the temporal "
                    "modules see no more at once. Lower the first or raise the second."
                )

    def _check_latents(self, reader: ShardReader, config: Any) -> None:
        """Latents of another network or size than the model's would be read without any other error."""
        again = f"Run `xdancer cache-latents {reader.folder} --config CONFIG --overwrite` with this run's configs."
        wants = [name for name in ("limb_warp", "portrait_colours", "l1_weight") if getattr(config, name)]
        if not config.autoencoder or wants:
            reason = f"{' and '.join(wants)} need them" if wants else "it has no autoencoder"
            raise ShardError(
                f"data.latents {self.latents} leaves out the pictures, which this model wants ({reason}). Do without data.latents."
            )
        networks = {LATENTS: config.autoencoder, EMBEDDING: config.image_encoder}
        for member, folder in {member: folder for member, folder in networks.items() if folder}.items():
            if member not in reader.derived:
                raise ShardError(f"{reader.derived[LATENTS].folder.parent} has no image embeddings, which this model reads. {again}")
            maker = reader.derived[member].manifest.maker
            if tuple(maker["size"]) != (config.height, config.width) or maker["network"] != weights_name(folder):
                raise StageMismatchError(
                    f"{reader.derived[member].folder} comes from another network than {folder}, or from pictures of another size "
                    f"({maker['size'][0]}×{maker['size'][1]}). {again}"
                )

    def _sizes(self, reader: ShardReader) -> list[tuple[str, tuple[int, int]]]:
        """Picture sizes that the windows will have, and what says so."""
        if self.shape.size is not None:
            return [("data.init_args.size", self.shape.size)]
        metas = [reader.meta(clip) for clip in self.usable_clips(reader)[:1]]  # a mixture is refused where windows are cut
        return [(f"{reader.folder} (data.init_args.size is null)", (meta["height"], meta["width"])) for meta in metas]

    def training_poses(self, clip: int) -> Float[NDArray, "frame 60 3"]:
        """Poses of the frames of a validation clip that are trained on.

        Raises:
            ShardError: the training split has no clip of that key.
        """
        return self.reader("train").pose(*self._training_frames(clip))

    def training_pictures(self, clip: int, frames: NDArray[np.int64]) -> Float[Tensor, "frame 3 height width"]:
        """The pictures of those of `training_poses`, in [-1, 1]."""
        number, first, _ = self._training_frames(clip)
        pictures = FrameSource(self.reader("train"), size=self.shape.size).read(number, VIDEO, first + frames)
        return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1

    def _training_frames(self, clip: int) -> tuple[int, int, int]:
        """Number in the training split, first and behind-last frame."""
        reader = self.reader("train")
        number = reader.position(self.reader("val").keys[clip])
        first, stop = (int(limit[number]) for limit in usable_frames(reader, self.frame_range))
        return number, first, stop

    def make_windows(self, reader: ShardReader, *, training: bool, frame_range: tuple[float, float]) -> WindowSet[VideoBatch]:
        return VideoWindows(
            reader, self.shape if training else self.evaluation_shape, training=training, frame_range=frame_range, seed=self.seed,
            cache_bytes=self.cache_bytes if training else 0,
            latents=training and LATENTS in reader.derived, portrait_range=self.frame_range if self.shape.nearest_portrait else None,
        )  # fmt: skip
