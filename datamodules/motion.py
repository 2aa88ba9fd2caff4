"""Poses for stage 1, and segments of dance with their music for stage 2."""

from typing import Literal

from datamodules.base import ShardDataModule
from xdancer.data.augment import PoseAugmentation
from xdancer.data.dances import DanceShape, DanceWindows
from xdancer.data.poses import PoseFrames
from xdancer.data.shards import ShardReader
from xdancer.data.windows import WindowSet
from xdancer.embedded.build import EmbeddedConfig
from xdancer.errors import ShardError
from xdancer.types import DanceBatch, PoseBatch


class MotionDataModule(ShardDataModule[PoseBatch | DanceBatch]):
    """Shards for the VQ-VAE (`stage="vqvae"`: random frames as `PoseBatch`) or the motion GPT (`stage="gpt"`: `DanceBatch`).

    Args:
        train: folder of training shards.
        val: folder of validation shards.
        test: folder of test shards.
        stage: which samples to cut.
        batch_size: samples per process and step.
        segment_frames: frames that stage 2 predicts at once.
        history_frames: frames before the segment: the previous segment plus the largest gap (segment_frames + overlap_frames of the model).
        context_frames: frames of the history that become motion context.
        lookahead_frames: further music rows behind the segment (the model's music_lookahead_frames).
        features: music features by name.
        styles: names of dance styles, in the order of the model's; a clip of another style or of none counts as unknown. Empty: not read.
        frame_range: share of every clip that is used, such as (0.0, 0.8); all splits alike.
        val_frame_range: share for validation and test, if another.
        mirror: mirror half of the training samples.
        augment: random changes to the training poses of stage 1, for data sets of a few clips.
        num_workers: processes that read ahead; 0 reads in the training process.
        seed: of order and augmentation.
        embedded: build the embedded data set if the folders are missing.
    """

    def __init__(
        self,
        train: str = "data/train",
        val: str = "data/val",
        test: str = "data/test",
        stage: Literal["vqvae", "gpt"] = "vqvae",
        batch_size: int = 24,
        segment_frames: int = 64,
        history_frames: int = 76,
        context_frames: int = 8,
        lookahead_frames: int = 0,
        features: tuple[str, ...] = ("jukebox", "librosa"),
        styles: tuple[str, ...] = (),
        frame_range: tuple[float, float] = (0.0, 1.0),
        val_frame_range: tuple[float, float] | None = None,
        mirror: bool = False,
        augment: PoseAugmentation | None = None,
        num_workers: int = 0,
        seed: int = 0,
        embedded: EmbeddedConfig | None = None,
    ) -> None:
        super().__init__(
            {"train": train, "val": val, "test": test}, batch_size=batch_size, num_workers=num_workers, seed=seed, embedded=embedded,
            frame_range=frame_range, val_frame_range=val_frame_range,
        )  # fmt: skip
        if augment is not None and stage != "vqvae":
            raise ShardError(f"data.augment changes single poses and belongs to stage vqvae, not {stage}: leave it out.")
        self.stage, self.mirror, self.augment, self.styles = stage, mirror, augment, tuple(styles)
        self.shape = DanceShape(segment_frames, history_frames, context_frames, lookahead_frames, tuple(features))

    def make_windows(
        self, reader: ShardReader, *, training: bool, frame_range: tuple[float, float]
    ) -> WindowSet[PoseBatch | DanceBatch]:  # fmt: skip
        mirror = self.mirror and training
        if self.stage == "vqvae":
            augment = self.augment if training else None
            return PoseFrames(reader, frame_range=frame_range, mirror=mirror, augment=augment, seed=self.seed)
        return DanceWindows(reader, self.shape, training=training, frame_range=frame_range, mirror=mirror, seed=self.seed, styles=self.styles)

    def check(self, reader: ShardReader) -> None:
        """Compare the samples with the model that is going to read them; linked arguments are no contract."""
        config = self.model_config
        if self.stage != "gpt" or config is None:
            return
        wanted = {"frames": self.shape.segment_frames, "context_frames": self.shape.context_frames}
        for name, value in wanted.items():
            if getattr(config, name, value) != value:
                key = "segment_frames" if name == "frames" else name
                raise ShardError(f"The model predicts {name} = {getattr(config, name)}, data.{key} is {value}. Give both the same value.")
        if getattr(config, "music_lookahead_frames", 0) > self.shape.lookahead_frames:
            raise ShardError(
                f"The model reads {config.music_lookahead_frames} frames of music ahead, data.lookahead_frames is "
                f"{self.shape.lookahead_frames}. Give both the same value."
            )
        for name, width in getattr(config, "music_features", {}).items():
            found = reader.manifest.features.get(name, {}).get("width") if name in self.shape.features else None
            if found != width:
                raise ShardError(
                    f"The model reads music feature {name!r} of width {width}, {reader.folder} gives "
                    f"{'none of that name' if found is None else f'width {found}'}. Set data.features and the model's music_features alike."
                )
