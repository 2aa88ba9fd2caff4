"""What the data modules of all stages share: splits, order, position, damage, and clips for callbacks."""

from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from lightning import LightningDataModule

from datamodules.clips import read_clip
from xdancer.data.loader import EvaluationLoader, Position, Share, TrainLoader
from xdancer.data.members import DamagedSampleError
from xdancer.data.order import BlockOrder
from xdancer.data.remote import is_remote
from xdancer.data.shards import ShardReader
from xdancer.data.windows import DamageLog, WindowSet, usable_frames
from xdancer.embedded.build import EmbeddedConfig, build_embedded
from xdancer.errors import ShardError
from xdancer.types import ClipSample

BatchT = TypeVar("BatchT")
Split = Literal["train", "val", "test"]


class ShardDataModule(LightningDataModule, Generic[BatchT]):
    """Base of the data modules. Its state is the number of training samples consumed: a resumed run continues at the right sample."""

    pictures = False
    """Whether the stage's clips carry video and mask."""

    def __init__(
        self, folders: dict[Split, str], *, batch_size: int, num_workers: int, seed: int, embedded: EmbeddedConfig | None,
        frame_range: tuple[float, float], val_frame_range: tuple[float, float] | None,
    ) -> None:  # fmt: skip
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise ShardError(f"data.batch_size must be at least 1 and data.num_workers at least 0, got {batch_size} and {num_workers}.")
        self.folders: dict[Split, str | Path] = {split: folder if is_remote(folder) else Path(folder) for split, folder in folders.items()}
        self.batch_size, self.num_workers, self.seed, self.embedded = batch_size, num_workers, seed, embedded
        self.frame_range, self.val_frame_range = frame_range, val_frame_range or frame_range
        self.prepare_data_per_node = False  # data lie where every node sees them
        self.allow_zero_length_dataloader_with_multiple_devices = True  # the finite split may leave a rank without a batch
        self.position = Position()
        self._readers: dict[str, ShardReader] = {}
        self._windows: dict[str, WindowSet[BatchT]] = {}
        self._train_loader: TrainLoader[BatchT] | None = None

    def make_windows(self, reader: ShardReader, *, training: bool, frame_range: tuple[float, float]) -> WindowSet[BatchT]:
        """The stage's samples of a split."""
        raise TypeError(f"{type(self).__name__} must say how its samples are cut.")

    def check(self, reader: ShardReader) -> None:
        """Refuse a split that does not fit the stage's model."""

    @property
    def model_config(self) -> Any:
        """The config of the model that is going to read the samples, or None."""
        return getattr(getattr(getattr(self.trainer, "lightning_module", None), "model", None), "config", None)

    def prepare_data(self) -> None:
        """Build the embedded data set if it is wanted and missing (Lightning calls this on rank 0 only)."""
        folders = {split: Path(folder) for split, folder in self.folders.items() if not is_remote(folder)}
        if self.embedded is None or all((folder / "manifest.json").is_file() for folder in folders.values()):
            return
        roots = {folder.parent for folder in folders.values()}
        if len(folders) < 3 or len(roots) != 1 or any(folder.name != split for split, folder in folders.items()):
            named = ", ".join(str(folder) for folder in self.folders.values())
            raise ShardError(
                f"The embedded data set is built as OUT/train, OUT/val and OUT/test; data names {named}. Use one folder OUT for all."
            )
        build_embedded(roots.pop(), self.embedded)

    def setup(self, stage: str) -> None:
        splits: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}
        for split in splits.get(stage, ()):
            if split == "val" and self.trainer is not None and self.trainer.limit_val_batches == 0:
                continue
            reader = self._existing(split)
            self.check(reader)
            windows = self._windows_of(split)
            total, world = int(windows.shard_sizes.sum()), self._share.world
            if split != "train" and total < world:
                raise ShardError(f"{self.folders[split]} has {total} windows for {world} processes. Use fewer processes or more clips.")

    def _existing(self, split: Split) -> ShardReader:
        """The reader of a split; where only the training split exists, the message says how to hold out frames instead."""
        train, folder = self.folders["train"], self.folders[split]
        if split != "train" and not is_remote(folder) and not Path(folder).is_dir() and not is_remote(train) and Path(train).is_dir():
            raise ShardError(
                f"No shards in {folder}, but {train} is there. Set data.{split} to {train} and hold out frames with "
                "data.frame_range [0.0, 0.8] and data.val_frame_range [0.8, 1.0], or prepare more songs."
            )
        return self.reader(split)

    def teardown(self, stage: str) -> None:
        """Let the reading threads go."""
        if self._train_loader is not None:
            self._train_loader.close()

    def train_dataloader(self) -> TrainLoader[BatchT]:
        windows = self._windows_of("train")
        self._train_loader = TrainLoader(
            windows, BlockOrder(windows.shard_sizes, self.seed), batch_size=self.batch_size, share=self._share, workers=self.num_workers,
            position=self.position, damage=DamageLog(self.reader("train")),
        )  # fmt: skip
        return self._train_loader

    def val_dataloader(self) -> EvaluationLoader[BatchT]:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> EvaluationLoader[BatchT]:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> EvaluationLoader[BatchT]:
        return self._evaluation_loader("test")

    def state_dict(self) -> dict[str, Any]:
        """Samples consumed by all ranks together, and the seed of their order."""
        return {"samples": self.position.samples, "seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue behind the samples of a checkpoint.

        Raises:
            ShardError: the checkpoint's order has another seed.
        """
        trains = self.trainer is None or self.trainer.state.fn == "fit"
        if trains and state_dict["seed"] != self.seed:
            raise ShardError(
                f"The checkpoint read the data in the order of seed {state_dict['seed']}, data.seed is {self.seed}. "
                f"Resume with --data.init_args.seed {state_dict['seed']}."
            )
        self.position.samples = int(state_dict["samples"])

    def evaluation_clips(self, count: int, split: Split = "val") -> list[ClipSample]:
        """Up to `count` clips, evenly spread over a split, cut to the share of frames that the split uses: the same ones every time.

        Damaged ones are left out and logged.
        """
        reader = self.reader(split)
        first, stop = usable_frames(reader, self._range_of(split))
        usable = [clip for clip in self.usable_clips(reader) if first[clip] < stop[clip]]
        chosen = np.unique(np.linspace(0, len(usable) - 1, min(count, len(usable))).round().astype(int))
        clips, damage = [], DamageLog(reader)
        for number in (usable[rank] for rank in chosen.tolist()):
            try:
                clips.append(read_clip(reader, number, int(first[number]), int(stop[number]), pictures=self.pictures))
            except DamagedSampleError as error:
                damage.add({error.key: error.reason})
        return clips

    def usable_clips(self, reader: ShardReader) -> list[int]:
        """Numbers of the clips that the stage can use."""
        return list(range(len(reader)))

    def reader(self, split: Split) -> ShardReader:
        """The shards of a split."""
        if split not in self._readers:
            self._readers[split] = self.open_split(split)
        return self._readers[split]

    def open_split(self, split: Split) -> ShardReader:
        """Open the shards of a split."""
        return ShardReader(self.folders[split])

    @property
    def _share(self) -> Share:
        trainer = self.trainer
        return Share() if trainer is None else Share(trainer.global_rank, trainer.world_size)

    def _range_of(self, split: Split) -> tuple[float, float]:
        return self.frame_range if split == "train" else self.val_frame_range

    def _windows_of(self, split: Split) -> WindowSet[BatchT]:
        if split not in self._windows:
            self._windows[split] = self.make_windows(self.reader(split), training=split == "train", frame_range=self._range_of(split))
        return self._windows[split]

    def _evaluation_loader(self, split: Split, windows: WindowSet[BatchT] | None = None) -> EvaluationLoader[BatchT]:
        windows = windows or self._windows_of(split)
        return EvaluationLoader(
            windows, BlockOrder(windows.shard_sizes, self.seed), batch_size=self.batch_size, share=self._share, workers=self.num_workers,
            damage=DamageLog(self.reader(split)),
        )  # fmt: skip
