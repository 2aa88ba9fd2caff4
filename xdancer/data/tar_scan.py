"""Which members a tar has: plain files alone, the only kind that shards hold."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xdancer.errors import ShardError

BLOCK = tarfile.BLOCKSIZE
KINDS = {
    tarfile.SYMTYPE: "a symbolic link", tarfile.LNKTYPE: "a link", tarfile.DIRTYPE: "a folder",
    tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a pipe",
}  # fmt: skip


@dataclass(frozen=True)
class TarMember:
    """One file of a tar."""

    name: str
    offset: int
    """Of its first byte."""
    size: int


def tar_members(path: Path) -> Iterator[TarMember]:
    """The files of a tar in order; headers alone are read, and nothing is ever unpacked.

    The headers are followed here, not by `tarfile`, whose extensions (long names, sparse files, sizes in further headers) shards do not need:
    so a size cannot lead backwards or beyond the file.

    Raises:
        ShardError: a link, device, folder or any other kind than a plain file, a damaged header, or an end before its time.
    """
    length, position = path.stat().st_size, 0
    with path.open("rb") as file:
        while position < length:
            file.seek(position)
            head = file.read(BLOCK)
            if not head.strip(b"\0"):
                return
            try:
                entry = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
            except tarfile.TarError as error:
                raise ShardError(f"{path}: not a readable tar ({error} at byte {position}). Copy or make the shards again.") from error
            if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                kind = KINDS.get(entry.type, f"of kind {entry.type!r}")
                raise ShardError(f"{path}: member {entry.name[:80]!a} is {kind}, only plain files are accepted. Make the shards again.")
            position += BLOCK
            if not 0 <= entry.size <= length - position:
                raise ShardError(f"{path}: member {entry.name[:80]!a} has {entry.size:,} bytes in a file of {length:,}. Copy the shards again.")
            yield TarMember(entry.name, position, entry.size)
            position += -(-entry.size // BLOCK) * BLOCK
    raise ShardError(f"{path}: not a readable tar (it has no end). Copy or make the shards again.")
