"""Pictures, poses and portraits for stage 3."""

from datamodules.base import ShardDataModule
from xdancer.data.members import VIDEO
from xdancer.data.shards import ShardReader
from xdancer.data.videos import VideoShape, VideoWindows
from xdancer.data.windows import WindowSet
from xdancer.embedded.build import EmbeddedConfig
from xdancer.errors import ShardError
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
        reference_frame: evaluation's portrait, counted inside the usable range.
        cache_frames: keep decoded clips in memory.
        cache_gigabytes: bound of that memory for the training split.
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
        reference_frame: int = 0,
        cache_frames: bool = False,
        cache_gigabytes: float = 2.0,
        num_workers: int = 0,
        seed: int = 0,
        embedded: EmbeddedConfig | None = None,
    ) -> None:
        super().__init__(
            {"train": train, "val": val, "test": test}, batch_size=batch_size, num_workers=num_workers, seed=seed, embedded=embedded,
            frame_range=frame_range, val_frame_range=val_frame_range,
        )  # fmt: skip
        self.shape = VideoShape(frames, consecutive, pose_window, None if size is None else (size[0], size[1]), reference_frame)
        self.cache_bytes = int(cache_gigabytes * 1e9) if cache_frames else 0

    def usable_clips(self, reader: ShardReader) -> list[int]:
        return [clip for clip in range(len(reader)) if reader.has(clip, VIDEO)]

    def check(self, reader: ShardReader) -> None:
        """Compare pictures and windows with the model that is going to read them; linked arguments are no contract."""
        config = self.model_config
        if config is None:
            return
        wanted = (config.height, config.width)
        for source, size in self._sizes(reader):
            if size != wanted:
                raise ShardError(
                    f"The model draws pictures of {wanted[0]}×{wanted[1]} (model.init_args.config.height × width), {source} gives "
                    f"{size[0]}×{size[1]}. Give data.init_args.size and the model's config the same height and width."
                )
        for name in ("temporal_positions", "window_frames") if config.temporal else ():
            if self.shape.frames > getattr(config, name):
                raise ShardError(
                    f"data.init_args.frames is {self.shape.frames}, but model.init_args.config.{name} is {getattr(config, name)}: the temporal "
                    "modules see no more at once. Lower the first or raise the second."
                )

    def _sizes(self, reader: ShardReader) -> list[tuple[str, tuple[int, int]]]:
        """Picture sizes that the windows will have, and what says so."""
        if self.shape.size is not None:
            return [("data.init_args.size", self.shape.size)]
        metas = [reader.meta(clip) for clip in self.usable_clips(reader)[:1]]  # a mixture is refused where windows are cut
        return [(f"{reader.folder} (data.init_args.size is null)", (meta["height"], meta["width"])) for meta in metas]

    def make_windows(self, reader: ShardReader, *, training: bool, frame_range: tuple[float, float]) -> WindowSet[VideoBatch]:
        return VideoWindows(
            reader, self.shape, training=training, frame_range=frame_range, seed=self.seed, cache_bytes=self.cache_bytes if training else 0
        )
