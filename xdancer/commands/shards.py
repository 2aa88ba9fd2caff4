"""`xdancer shards verify DIR`, `show DIR KEY`, `list DIR` and `merge PARTS…`: are shards sound, what is in them, and joining parts of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xdancer.commands.listing import list_clips
from xdancer.errors import ShardError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xdancer.data.shards import ShardReader, VerifyReport
    from xdancer.prepare import PrepareReport

LISTED = 20
"""Problems that are printed; the rest is counted."""
HEIGHT = 384
"""Pixels of the shown skeleton where there is no video; smaller videos are enlarged by a whole factor up to about this."""
FLASH_FRAMES = 3
"""Frames that the bar under the picture lights up at a beat."""
SOUND_RATE = 44100


def verify(dir: Path) -> "VerifyReport":
    """Check checksums, index, members, arrays, videos and sound of shards.

    Args:
        dir: one split, such as data/train, or a folder of splits, such as data.

    Raises:
        ShardError: shards are missing, of another schema, or damaged.
    """
    from xdancer.data.shards import verify as verify_shards

    report = verify_shards(dir)
    for split in report.splits:
        print(split)
    for warning in report.warnings:
        print(f"warning: {warning}; held-out figures will look better than they are")
    for problem in report.problems[:LISTED]:
        print(f"problem: {problem}")
    if report.problems:
        listed = f", the first {LISTED} are listed" if len(report.problems) > LISTED else ""
        raise ShardError(f"{dir}: {len(report.problems)} problems{listed}: {report.problems[0]}. Make or copy the shards again.")
    return report


def show(dir: Path, key: str, out: Path | None = None) -> Path:
    """Show a clip: its skeleton, the video beside it, a bar that flashes on the beats, and its sound.

    Args:
        dir: one split, such as data/train, or a folder of splits that is searched.
        key: the clip's key; `first` takes the first clip.
        out: an .mp4 (with sound) or a .png (six frames side by side); KEY.mp4 in the current folder by default.

    Raises:
        ShardError: no such shards or clip, or an unknown kind of file.
    """
    from xdancer.media import read_audio, write_video

    reader, clip = _find(dir, key)
    out = Path(f"{reader.keys[clip]}.mp4") if out is None else out
    if out.suffix.lower() not in (".mp4", ".png"):
        raise ShardError(f"--out {out}: unknown kind of file. Use .mp4 or .png.")
    sample = reader.clip(clip)
    if out.suffix.lower() == ".png":
        import numpy as np

        chosen = {int(frame) for frame in np.linspace(0, sample.frames - 1, 6)}
        strip = np.concatenate([picture for frame, picture in enumerate(_pictures(reader, clip)) if frame in chosen], axis=1)
        _save_picture(strip, out)
    else:
        sound = None if sample.audio is None else read_audio(sample.audio, sample_rate=SOUND_RATE)
        write_video(out, _pictures(reader, clip), audio=sound, sample_rate=SOUND_RATE)
    meta = sample.meta
    print(
        f"{out}: {sample.frames / 30:.1f} s, song {meta['song']!r} at {meta['tempo']:.1f} BPM with {len(meta['beats'])} beats, "
        f"style {meta.get('style')}, source {meta['source']!r}"
    )
    return out


def merge(parts: list[Path], *, out: Path = Path("data"), overwrite: bool = False) -> "PrepareReport":
    """Join what `xdancer prepare … --part I/N` made on several machines into OUT/train, OUT/val and OUT/test, equal to what one machine writes.

    Args:
        parts: folders of the parts, or a folder that holds them.
        out: folder for the shards; may be the one that holds the parts.
        overwrite: replace shards that are in OUT; other files there are refused.

    Raises:
        XDancerError: a part is missing, unfinished, there twice or of another job.
    """
    from xdancer.commands.prepare import show_report
    from xdancer.prepare import merge_parts
    from xdancer.progress import Steps

    with Steps() as steps:
        report = merge_parts(parts, out, overwrite=overwrite, progress=steps)
    show_report(report, out)
    return report


shards = {"verify": verify, "show": show, "list": list_clips, "merge": merge}


def _find(folder: Path, key: str) -> "tuple[ShardReader, int]":
    """The clip of that key in a split or in one of a folder's splits."""
    from xdancer.data.shards import ShardReader

    splits = sorted(path.parent for path in Path(folder).glob("*/manifest.json")) or [Path(folder)]
    readers = [ShardReader(split) for split in splits]
    if key == "first":
        return readers[0], 0
    for reader in readers:
        if key in reader.keys:
            return reader, reader.position(key)
    known = ", ".join(readers[0].keys[:3])
    raise ShardError(f"No clip {key!r} in {folder}. Its {sum(map(len, readers))} clips are named like {known}; `first` takes the first.")


def _pictures(reader: "ShardReader", clip: int) -> "Iterator[NDArray[np.uint8]]":
    """[skeleton | video] over a bar that is white on beats; sides are even, as H.264 wants them."""
    import numpy as np

    from xdancer.data.dances import beat_frames
    from xdancer.media import stream_video
    from xdancer.pose.render import draw_skeleton

    sample = reader.clip(clip)
    marks = beat_frames(sample.meta["beats"])
    video = None if sample.video is None else (picture for _, picture in stream_video(sample.video))
    scale = 1 if video is None else max(1, HEIGHT // sample.meta["height"])
    height = HEIGHT if video is None else scale * sample.meta["height"]
    width = max(2, round(height * sample.meta["aspect"]))
    bar = max(4, height // 32)
    for frame in range(sample.frames):
        parts = [draw_skeleton(sample.pose[frame], height, width)]
        if video is not None and (picture := next(video, None)) is not None:
            parts.append(picture.repeat(scale, axis=0).repeat(scale, axis=1))
        lit = bool(((marks <= frame) & (frame < marks + FLASH_FRAMES)).any())
        row = np.concatenate(parts, axis=1)
        flash = np.full((bar, row.shape[1], 3), 255 if lit else 32, dtype=np.uint8)
        whole = np.concatenate([row, flash])
        yield np.pad(whole, ((0, whole.shape[0] % 2), (0, whole.shape[1] % 2), (0, 0)))


def _save_picture(picture: "NDArray[np.uint8]", out: Path) -> None:
    """Write a PNG atomically."""
    from PIL import Image

    from xdancer.files import whole

    try:
        with whole(out) as temporary:
            Image.fromarray(picture).save(temporary, format="PNG")
    except OSError as error:
        raise ShardError(f"Cannot write {out}: {error.strerror or error}. Choose another --out.") from error
