"""A part of a training split, for rows that learn from less."""

from dataclasses import replace
from pathlib import Path

from xdancer.data.reader import ShardReader
from xdancer.data.writer import ShardWriter
from xdancer.errors import ShardError


def write_subset(*, data: Path, out: Path, share: float) -> None:
    """Every n-th clip of a split without its pictures, so that styles and dancers stay mixed as they are.

    Args:
        data: training shards.
        out: folder of the new split; one that is there is replaced.
        share: of the clips, above 0 and at most 1; at least one clip.

    Raises:
        ShardError: a share outside these bounds.
    """
    if not 0 < share <= 1:
        raise ShardError(f"--share {share}: a share of the clips lies above 0 and is at most 1.")
    reader = ShardReader(data)
    count = max(1, round(share * len(reader)))
    licence, notes = reader.manifest.licence, {"subset_of": data.name, "share": share}
    with ShardWriter(out, split="train", features=reader.manifest.features, licence=licence, overwrite=True, notes=notes) as writer:
        for number in range(count):
            writer.write(replace(reader.clip(number * len(reader) // count), video=None, mask=None, audio=None))
