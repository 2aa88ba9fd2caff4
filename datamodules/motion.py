"""Poses for stage 1, and segments of dance with their music for stage 2."""

from typing import Literal

from datamodules.base import ShardDataModule, Split
from xdancer.data.augment import PoseAugmentation
from xdancer.data.dances import DanceShape, DanceWindows
from xdancer.data.derived import derived_of
from xdancer.data.joined import JoinedPoses
from xdancer.data.loader import EvaluationLoader
from xdancer.data.members import TOKENS
from xdancer.data.poses import PoseFrames
from xdancer.data.shards import ShardReader
from xdancer.data.windows import WindowSet
from xdancer.embedded.build import EmbeddedConfig
from xdancer.errors import ShardError, StageMismatchError
from xdancer.types import DanceBatch, PoseBatch


class MotionDataModule(ShardDataModule[PoseBatch | DanceBatch]):
    """Shards for the VQ-VAE (`stage="vqvae"`: random frames as `PoseBatch`) or the motion GPT (`stage="gpt"`: `DanceBatch`).

    Args:
        train: folder of training shards, or several whose poses stage 1 reads together.
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
        tokens: read stage 2's dances as the motion tokens that `xdancer tokenize` wrote, not as poses: the ending of their folders (`.tokens`
            stands for data/train.tokens), or a folder that holds one for each split.
        frame_range: share of every clip that is used, such as (0.0, 0.8); all splits alike.
        val_frame_range: share for validation and test, if another.
        mirror: mirror half of the training samples.
        augment: random changes to the training poses of stage 1, for data sets of a few clips.
        num_workers: threads that read ahead; 0 reads when a batch is needed.
        seed: of order and augmentation.
        embedded: build the embedded data set if the folders are missing.
    """

    def __init__(
        self,
        train: str | tuple[str, ...] = "data/train",
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
        tokens: str | None = None,
        frame_range: tuple[float, float] = (0.0, 1.0),
        val_frame_range: tuple[float, float] | None = None,
        mirror: bool = False,
        augment: PoseAugmentation | None = None,
        num_workers: int = 0,
        seed: int = 0,
        embedded: EmbeddedConfig | None = None,
    ) -> None:
        first, *further = (train,) if isinstance(train, str) else train
        super().__init__(
            {"train": first, "val": val, "test": test}, batch_size=batch_size, num_workers=num_workers, seed=seed, embedded=embedded,
            frame_range=frame_range, val_frame_range=val_frame_range,
        )  # fmt: skip
        if augment is not None and stage != "vqvae":
            raise ShardError(f"data.augment changes single poses and belongs to stage vqvae, not {stage}: leave it out.")
        if further and stage != "vqvae":
            raise ShardError(f"data.train {[first, *further]}: only stage vqvae reads several folders together, stage {stage} one. Name one.")
        self.further = tuple(further)
        if tokens is not None and stage != "gpt":
            raise ShardError(f"data.tokens {tokens} is read by stage gpt, not by {stage}: leave it out.")
        if tokens is not None and mirror:
            raise ShardError(
                f"data.mirror cannot be used with data.tokens {tokens}: a mirrored pose has other tokens, which only the tokenizer can tell. "
                "Leave one of them out."
            )
        self.tokens = tokens
        self.stage, self.mirror, self.augment, self.styles = stage, mirror, augment, tuple(styles)
        self.shape = DanceShape(segment_frames, history_frames, context_frames, lookahead_frames, tuple(features))

    def make_windows(
        self, reader: ShardReader, *, training: bool, frame_range: tuple[float, float]
    ) -> WindowSet[PoseBatch | DanceBatch]:  # fmt: skip
        if self.stage == "vqvae":
            augment, mirror = (self.augment, self.mirror) if training else (None, False)
            readers = [reader, *(ShardReader(folder) for folder in self.further if training)]
            sets = [PoseFrames(one, frame_range=frame_range, mirror=mirror, augment=augment, seed=self.seed) for one in readers]
            return sets[0] if len(sets) == 1 else JoinedPoses(sets)
        return self._dances(reader, training=training, frame_range=frame_range, tokens=self.tokens is not None)

    def _dances(self, reader: ShardReader, *, training: bool, frame_range: tuple[float, float], tokens: bool) -> DanceWindows:
        return DanceWindows(
            reader, self.shape, training=training, frame_range=frame_range, mirror=self.mirror and training, seed=self.seed, styles=self.styles,
            tokens=tokens,
        )  # fmt: skip

    def predict_dataloader(self) -> EvaluationLoader[PoseBatch | DanceBatch]:
        """Predicted dances start from a pose, so poses are read even where there are tokens."""
        if self.tokens is None:
            return super().predict_dataloader()
        windows = self._dances(self.reader("test"), training=False, frame_range=self.val_frame_range, tokens=False)
        return self._evaluation_loader("test", windows)

    def open_split(self, split: Split) -> ShardReader:
        return ShardReader(self.folders[split], tokens=None if self.tokens is None else derived_of(self.folders[split], self.tokens))

    def check(self, reader: ShardReader) -> None:
        """Compare the samples with the model that is going to read them; linked arguments are no contract."""
        config = self.model_config
        if self.stage != "gpt" or config is None:
            return
        self._check_tokens(reader)
        wanted = {"frames": self.shape.segment_frames, "context_frames": self.shape.context_frames}
        for name, value in wanted.items():
            if getattr(config, name, value) != value:
                key = "segment_frames" if name == "frames" else name
                raise ShardError(f"The model predicts {name} = {getattr(config, name)}, data.{key} is {value}. Give both the same value.")
        history = getattr(config, "frames", 0) + getattr(config, "overlap_frames", 0)
        if self.shape.history_frames < history:
            raise ShardError(
                f"A segment's context reaches back {history} frames (the model's frames + overlap_frames), data.history_frames is "
                f"{self.shape.history_frames}. Set it to {history}."
            )
        if tuple(getattr(config, "styles", ())) != self.styles:
            names = " and ".join("none" if not styles else ", ".join(styles) for styles in (config.styles, self.styles))
            raise ShardError(f"The model and data.styles name different styles: {names}. Give both the same names in the same order.")
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

    def _check_tokens(self, reader: ShardReader) -> None:
        """Tokens of another tokenizer than the model's would be read without any other error."""
        wanted = getattr(getattr(self.trainer, "lightning_module", None), "hparams", {}).get("tokenizer_fingerprint")
        if self.tokens is None or wanted is None:
            return
        folder, found = reader.derived[TOKENS].folder, reader.derived[TOKENS].manifest.maker["fingerprint"]
        if found != wanted:
            raise StageMismatchError(
                f"{folder} holds tokens of tokenizer {found[:12]}, the model has tokenizer {wanted[:12]}. "
                f"Run `xdancer tokenize {reader.folder} --vqvae CKPT --overwrite` with the model's, or give the model the other one."
            )
