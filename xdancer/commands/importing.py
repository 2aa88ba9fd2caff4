"""`xdancer import`: motion of other kinds → shards."""

from pathlib import Path

from xdancer.errors import XDancerError


def mocap(
    file: Path, *, out: Path, cameras: int = 4, seed: int = 0, held_out: float = 0.15, style: str | None = None,
    licence: str = "terms of the source",
) -> None:  # fmt: skip
    """Show 3D motion capture to several cameras and write what they see as shards for stage 1: bodies without hands, music or pictures.

    Args:
        file: .npz of joints in OpenPose-18 order, metres, y up. Either arrays (frames, 18, 3) named SUBJECT_RECORDING, so that dancers of one
            recording stay in one split, and optionally a number fps (30 if absent); or positions (frames, 18, 3), fps, starts and names.
        out: folder of the splits train, val and test.
        cameras: around every take.
        seed: of the cameras and the splits.
        held_out: share of the recordings in val, and again in test.
        style: name kept with every clip.
        licence: terms of the source, kept in the manifest.

    Raises:
        XDancerError: a file of another layout, too few recordings, or folders that hold something else.
    """
    from xdancer.importers.mocap import import_takes

    if cameras < 1 or not 0 < held_out < 0.5:
        raise XDancerError(f"--cameras {cameras} --held-out {held_out:g}: at least one camera, and a share between 0 and 0.5.")
    written = import_takes(file, out, count=cameras, seed=seed, held_out=held_out, style=style, licence=licence)
    counts = " + ".join(f"{count} {split}" for split, count in written.items())
    print(f"{out}: {counts} clips. Train stage 1 on it and on others together: --data.init_args.train '[data/train, {out}/train]'")


IMPORT = {"mocap": mocap}
