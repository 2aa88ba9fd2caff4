"""`xdancer features SHARDS --add NAME`: one more music feature for shards that exist, from their own sound."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from xdancer.device import DeviceName
from xdancer.errors import MediaError, ShardError, XDancerError

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    import numpy as np
    from numpy.typing import NDArray

    from xdancer.data.derive import ClipSource
    from xdancer.data.manifest import FeatureInfo
    from xdancer.data.shards import ShardReader

SAMPLE_RATE = 44100
AHEAD = 2
"""Clips that wait for each worker."""


def features(shards: Path, *, add: str = "", device: DeviceName = "auto", workers: int = 1, overwrite: bool = False) -> None:
    """Add a music feature to shards, computed from the sound of their clips; poses, video and other features are not touched.

    Writes features/NAME into every split, and last its entry in the manifest. Interrupted, the same command continues.

    Args:
        shards: one split, such as data/train, or a folder of splits, such as data.
        add: the music feature: librosa, beat_phase, musicnn or jukebox.
        device: where jukebox computes; the others compute on the CPU.
        workers: clips encoded at the same time; each worker of jukebox holds the whole model.
        overwrite: replace a feature of that name that an earlier version added.

    Raises:
        XDancerError: an unknown feature, one whose package or weights are missing, or a device that is not there or not used.
        ShardError: no shards, clips without sound or with damaged sound, or the feature is there in another version.
    """
    from xdancer.audio.encoder import FEATURE_WIDTHS, HEAVY, feature_table
    from xdancer.data.derive import add_feature
    from xdancer.data.shards import ShardReader
    from xdancer.progress import Steps
    from xdancer.workers import worker_pool

    if not add:
        raise XDancerError(f"Which music feature? Give --add NAME, one of {', '.join(FEATURE_WIDTHS)}.")
    if workers < 1:
        raise XDancerError(f"--workers {workers}: at least 1.")
    if add in FEATURE_WIDTHS and add not in HEAVY and device not in ("auto", "cpu"):
        raise XDancerError(f"--device {device}: {add} computes on the CPU. Use --device auto.")
    table = feature_table([add], device=device)[add]
    info: FeatureInfo = {"width": table["width"], "version": table["version"]}
    splits = sorted(path.parent for path in Path(shards).glob("*/manifest.json")) or [Path(shards)]
    readers = {split: ShardReader(split) for split in splits}
    for split, reader in readers.items():
        _check_sound(split, reader)
    lines = []
    with Steps() as steps, nullcontext() if workers == 1 else worker_pool(workers) as pool:
        for split, reader in readers.items():

            def told(done: int, total: int, what: str = f"{add} {split.name}") -> None:
                steps(what, done, total)

            made = add_feature(split, add, info, _encoder(reader, add, device, pool, AHEAD * workers), progress=told, overwrite=overwrite)
            lines.append(f"{split}: {add} ({info['version']}) {f'added to {len(reader)} clips' if made else 'is there already'}.")
    print("\n".join(lines))


def _check_sound(split: Path, reader: "ShardReader") -> None:
    """Refuse clips that cannot be heard before any work is done."""
    from xdancer.data.members import AUDIO

    mute = [key for key in reader.keys if not reader.has(key, AUDIO)]
    if mute:
        raise ShardError(
            f"{split}: {len(mute)} of {len(reader)} clips have no sound, such as {mute[0]!r}, and features are computed from it. Make the "
            "shards again with sound, or with this feature."
        )


def _encoder(
    reader: "ShardReader", name: str, device: DeviceName, pool: "Executor | None", ahead: int
) -> "Callable[[ClipSource], NDArray[np.float32]]":
    """What computes a clip's rows: here, or in a pool that works ahead."""
    if pool is None:
        return lambda clip: encode_clip(clip.key, clip.audio, clip.frames, name, device)
    return _Ahead(reader, lambda clip: pool.submit(encode_clip, clip.key, clip.audio, clip.frames, name, device), ahead)


class _Ahead:
    """Rows of the clips as they are asked for, tar by tar, while the next ones are computed.

    Args:
        reader: the split.
        submit: starts the computation of a clip.
        ahead: clips that are computed before they are asked for.
    """

    def __init__(self, reader: "ShardReader", submit: "Callable[[ClipSource], Future[NDArray[np.float32]]]", ahead: int) -> None:
        self.reader, self.submit, self.ahead = reader, submit, ahead
        self.order: list[int] = reader.shard_of.argsort(kind="stable").tolist()
        self.turn = {clip: turn for turn, clip in enumerate(self.order)}
        self.waiting: dict[int, Future[NDArray[np.float32]]] = {}

    def __call__(self, clip: "ClipSource") -> "NDArray[np.float32]":
        from concurrent.futures.process import BrokenProcessPool

        from xdancer.data.derive import ClipSource

        turn = self.turn[clip.number]
        try:
            for number in self.order[turn : turn + self.ahead + 1]:
                if number not in self.waiting:
                    self.waiting[number] = self.submit(ClipSource(self.reader, number))
            return self.waiting.pop(clip.number).result()
        except BrokenProcessPool as error:
            raise XDancerError(
                "A worker process was killed (out of memory?). Finished clips are kept: start again with fewer --workers."
            ) from error


def encode_clip(key: str, sound: bytes, frames: int, name: str, device: DeviceName) -> "NDArray[np.float32]":
    """Rows of one clip from its compressed sound; also in worker processes.

    Raises:
        ShardError: the sound is damaged; names the clip.
    """
    from xdancer.audio.encoder import make_encoder
    from xdancer.media import read_audio

    try:
        waveform = read_audio(sound, sample_rate=SAMPLE_RATE)
    except MediaError as error:
        raise ShardError(f"Clip {key!r}: its sound cannot be read ({error}). Make or copy its shards again.") from error
    return make_encoder(name, device=device)(waveform, SAMPLE_RATE, frames)
