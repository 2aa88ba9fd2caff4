"""A part of a training split."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from xdancer.data.reader import ShardReader
from xdancer.errors import ShardError
from xdancer.reproduce.subset import write_subset


def test_every_nth_clip_is_kept_without_its_pictures(tiny: ModuleType, tmp_path: Path) -> None:
    train = tiny.write_split(tmp_path / "train", [tiny.make_clip(number, 16, video=number == 0) for number in range(8)])
    for _ in range(2):  # one that is there is replaced
        write_subset(data=train, out=tmp_path / "part", share=0.25)
    part, whole = ShardReader(tmp_path / "part"), ShardReader(train)
    assert list(part.keys) == ["clip-000", "clip-004"]
    assert not part.has(0, "video.mp4")
    np.testing.assert_array_equal(part.pose(1), whole.pose(4))
    np.testing.assert_array_equal(part.feature(1, "librosa"), whole.feature(4, "librosa"))
    write_subset(data=train, out=tmp_path / "least", share=0.01)
    assert len(ShardReader(tmp_path / "least")) == 1


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_impossible_shares_are_refused(share: float, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=f"--share {share}: a share of the clips lies above 0"):
        write_subset(data=tmp_path, out=tmp_path / "part", share=share)
