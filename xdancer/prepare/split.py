"""Which clips train, validate and test."""

import hashlib
from collections.abc import Iterable

from xdancer.errors import XDancerError
from xdancer.prepare.settings import SplitMode

SPLITS = ("train", "val", "test")


def split_songs(songs: Iterable[str], *, val: float = 0.1, test: float = 0.1) -> dict[str, str]:
    """Split by song, never sharing one: songs in the order of their hash, so that the same songs always fall alike.

    Train is never empty; from two songs on validation gets one, from three on test, too (unless their share is 0).

    Raises:
        XDancerError: shares that leave nothing for training.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise XDancerError(f"--val {val:g} --test {test:g}: shares of the songs, together below 1.")
    ordered = sorted(set(songs), key=lambda song: hashlib.sha256(song.encode()).hexdigest())
    for_val = min(max(1, round(val * len(ordered))), max(len(ordered) - 1, 0)) if val else 0
    for_test = min(max(1, round(test * len(ordered))), max(len(ordered) - 1 - for_val, 0)) if test else 0
    names = ["val"] * for_val + ["test"] * for_test
    return dict(zip(ordered, names + ["train"] * (len(ordered) - len(names)), strict=True))


def assign_splits(song_by_key: dict[str, str], mode: SplitMode, *, val: float = 0.1, test: float = 0.1) -> dict[str, list[str]]:
    """Keys of each split that has any.

    `song` splits by song. `frames` puts every clip into all three: `frame_range` of the data modules then holds out a share of every clip.
    """
    if mode == "frames":
        return {split: list(song_by_key) for split in SPLITS}
    by_song = split_songs(song_by_key.values(), val=val, test=test)
    keys = {split: [key for key, song in song_by_key.items() if by_song[song] == split] for split in SPLITS}
    return {split: members for split, members in keys.items() if members}
