"""Stage 2 reads any mix of music features from shards, and says which one is missing."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datamodules.motion import MotionDataModule
from xdancer.audio.encoder import FEATURE_WIDTHS
from xdancer.data.shards import ShardWriter
from xdancer.errors import ShardError
from xdancer.motion_gpt.model import MotionGPT, MotionGPTConfig, Segment

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def root(tiny, tmp_path_factory) -> Path:
    """Clips with every feature, those of jukebox drawn at random."""
    folder = tmp_path_factory.mktemp("mixed")
    features = {name: {"width": width, "version": "test"} for name, width in FEATURE_WIDTHS.items()}
    for seed, split in enumerate(SPLITS):
        random = np.random.default_rng(seed)
        clip = tiny.make_clip(seed, 40)
        music = {name: random.normal(size=(40, width)).astype(np.float32) for name, width in FEATURE_WIDTHS.items()}
        with ShardWriter(folder / split, split=split, features=features, licence="test") as writer:
            writer.write(replace(clip, features=music))
    return folder


def data(root: Path, features: tuple[str, ...], widths: dict[str, int]) -> MotionDataModule:
    """The data module beside a model that reads those widths."""
    module = MotionDataModule(
        **{split: str(root / split) for split in SPLITS}, stage="gpt", batch_size=2, segment_frames=8, history_frames=10, context_frames=2,
        features=features,
    )  # fmt: skip
    config = MotionGPTConfig(layers=1, heads=1, width=8, frames=8, context_frames=2, overlap_frames=2, slots=1, codes=4, music_features=widths)
    module.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(model=MotionGPT(config)), world_size=1, global_rank=0, limit_val_batches=1
    )  # pyright: ignore
    return module


@pytest.mark.parametrize(
    "names", [("librosa",), ("beat_phase", "librosa"), ("musicnn", "librosa"), ("jukebox", "librosa"), tuple(FEATURE_WIDTHS)]
)
def test_stage_two_reads_every_mix(root, names):
    module = data(root, names, {name: FEATURE_WIDTHS[name] for name in names})
    module.setup("fit")
    batch = next(iter(module.train_dataloader()))
    batch = getattr(batch, "batch", batch)
    assert {name: value.shape for name, value in batch.music.features.items()} == {name: (2, 18, FEATURE_WIDTHS[name]) for name in names}
    model = module.trainer.lightning_module.model
    stacked = model.stack_music(batch.music.features)
    assert stacked.shape == (2, 18, sum(FEATURE_WIDTHS[name] for name in names))
    none = torch.zeros(2, 0, 5, 1, dtype=torch.long)
    segment = Segment(
        torch.zeros(2, 8, 5, 1, dtype=torch.long), torch.zeros(2, 2, 5, 1, dtype=torch.long), none, stacked[:, 10:], stacked[:, :2],
        torch.ones(2, dtype=torch.bool),
    )  # fmt: skip
    logits = model(segment)
    assert torch.isfinite(logits).all()
    changed = model(replace(segment, music=segment.music.flip(-1)))
    assert not torch.equal(logits, changed)


def test_a_feature_that_is_not_there_is_named(root, tiny, tmp_path):
    with pytest.raises(ShardError, match=r"reads music feature 'musicnn' of width 753, .* gives none of that name"):
        data(root, ("librosa",), {"musicnn": 753, "librosa": 35}).setup("fit")
    with pytest.raises(ShardError, match=r"reads music feature 'jukebox' of width 48, .* gives width 4800"):
        data(root, ("jukebox",), {"jukebox": 48}).setup("fit")
    for split in SPLITS:
        tiny.write_split(tmp_path / split, [tiny.make_clip(0, 40)])
    with pytest.raises(ShardError, match=r"has the music features librosa, musicnn, but jukebox is asked for"):
        data(tmp_path, ("jukebox", "librosa"), {"librosa": 35}).setup("fit")
    with pytest.raises(ShardError, match=r"reads music feature 'jukebox' of width 4800, .* gives none of that name"):
        data(tmp_path, ("jukebox", "librosa"), {"jukebox": 4800, "librosa": 35}).setup("fit")
