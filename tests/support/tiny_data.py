"""Small data modules for tests of the command line; on sys.path through the fixture `support`."""

from collections.abc import Iterator

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from xdancer.types import ClipSample, PoseBatch


class Poses(Dataset):
    """Random poses with random holes, the same at every index of every process."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        return torch.rand(1, 60, 2, generator=generator) - 0.5, torch.rand(1, 60, generator=generator)


def collate(items: list[tuple[torch.Tensor, torch.Tensor]]) -> PoseBatch:
    return PoseBatch(torch.stack([item[0] for item in items]), torch.stack([item[1] for item in items]))


class ResumableLoader(DataLoader):
    """Goes on inside an epoch."""

    position = 0

    def __iter__(self) -> Iterator[PoseBatch]:
        for number, batch in enumerate(super().__iter__()):
            if number >= self.position:
                self.position = number + 1
                yield batch
        self.position = 0

    def state_dict(self) -> dict[str, int]:
        return {"batches": self.position % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["batches"]


class TinyPoses(LightningDataModule):
    """Stage 1's batches without shards."""

    def __init__(self, count: int = 32, batch_size: int = 8) -> None:
        super().__init__()
        self.count, self.batch_size = count, batch_size

    def train_dataloader(self) -> DataLoader:
        return ResumableLoader(
            Poses(self.count), batch_size=self.batch_size, collate_fn=collate, drop_last=True, generator=torch.Generator().manual_seed(0)
        )

    def val_dataloader(self) -> DataLoader:
        return DataLoader(Poses(self.count), batch_size=self.batch_size, collate_fn=collate)

    test_dataloader = predict_dataloader = val_dataloader

    def evaluation_clips(self, count: int, split: str = "val") -> list[ClipSample]:
        pose = np.concatenate([np.random.default_rng(0).uniform(-0.5, 0.5, (12, 60, 2)), np.ones((12, 60, 1))], axis=-1).astype(np.float32)
        return [ClipSample(key="clip", pose=pose, features={}, meta={})] * count
