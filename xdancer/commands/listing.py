"""`xdancer shards list DIR`: the clips of shards with their figures of quality, sorted and chosen by them."""

import json as json_text
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import eq, ge, gt, le, lt, ne
from pathlib import Path
from typing import Any

from xdancer.errors import XDancerError

COLUMNS = ("seconds", "body_seen", "left_hand_seen", "right_hand_seen", "beats.f1", "beats.null", "beats.z", "sharpness", "camera_motion")
"""Figures that are printed, where clips have them; those that are asked for come first."""
COMPARE: dict[str, Callable[[float, float], bool]] = {"<=": le, ">=": ge, "!=": ne, "==": eq, "<": lt, ">": gt, "=": eq}
CONDITION = re.compile(r"\s*([A-Za-z]\w*(?:\.\w+)*)\s*(<=|>=|!=|==|<|>|=)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")
Condition = tuple[str, str, float]


def list_clips(dir: Path, *, sort: str | None = None, where: str | None = None, json: bool = False) -> None:
    """List the clips of shards with what was measured on them.

    Figures are named as in the clips' metadata: `left_hand_seen`, `confidence.head`, `beats.f1` (with `beats.null` and `beats.z`), the filters'
    `sharpness`, `box_share`, `camera_motion`, `people`, `short_side`, `person_pixels`, and `seconds`, `tempo`.

    Args:
        dir: one split, such as data/train, or a folder of splits, such as data.
        sort: figure by which the clips are sorted, the highest first; clips without it come last.
        where: conditions such as "beats.f1>0.3 and left_hand_seen>=0.5"; clips without such a figure do not meet them.
        json: print a JSON list of key, split, song and figures instead of a table.

    Raises:
        XDancerError: no such figure, or a condition that cannot be read.
        ShardError: shards are missing, of another schema, or damaged.
    """
    rows = list(_rows(dir))
    known = sorted({name for row in rows for name in row["figures"]})
    conditions = [] if where is None else parse_conditions(where)
    for flag, name in [("--where", name) for name, _, _ in conditions] + ([] if sort is None else [("--sort", sort)]):
        if name not in known:
            raise XDancerError(f"{flag} {name}: no clip of {dir} has that figure. Choose among {', '.join(known)}.")
    chosen = [row for row in rows if all(_meets(row["figures"], condition) for condition in conditions)]
    if sort is not None:
        chosen.sort(key=lambda row: -row["figures"].get(sort, -float("inf")))
    if json:
        print(json_text.dumps(chosen, indent=1, ensure_ascii=False))
        return
    asked = [sort] if sort is not None else []
    columns = dict.fromkeys((*asked, *(name for name, _, _ in conditions), *COLUMNS))
    for line in _table(chosen, [name for name in columns if name in known]):
        print(line)
    print(f"{len(chosen)} of {len(rows)} clips, {sum(row['figures']['seconds'] for row in chosen):.0f} s")


def parse_conditions(text: str) -> list[Condition]:
    """`figure>0.5 and other<=2` → (name, comparison, number) each; nothing else is understood.

    Raises:
        XDancerError: anything else.
    """
    found = []
    for part in re.split(r"\s+and\s+|,", text):
        match = CONDITION.fullmatch(part)
        if match is None:
            raise XDancerError(f"--where {part.strip()!r}: not a condition such as sharpness>=20 (joined by `and`).")
        found.append((match[1], match[2], float(match[3])))
    return found


def figures_of(meta: Mapping[str, Any], frames: int) -> dict[str, float]:
    """Every number that is known of a clip, nested ones as `beats.f1`, filters by their names."""
    quality = dict(meta.get("quality") or {})
    filters = quality.pop("filters", {})
    figures = {"seconds": round(frames / 30, 3), "tempo": float(meta["tempo"]), **dict(_numbers(quality))}
    for name, entry in filters.items() if isinstance(filters, dict) else ():
        if isinstance(entry, dict) and name not in figures:
            figures.update((name, value) for key, value in _numbers(entry) if key == "value")
    return figures


def _rows(folder: Path) -> Iterator[dict[str, Any]]:
    from xdancer.data.shards import ShardReader

    for split in sorted(path.parent for path in Path(folder).glob("*/manifest.json")) or [Path(folder)]:
        reader = ShardReader(split)
        for number, key in enumerate(reader.keys):
            meta = reader.meta(number)
            yield {"key": key, "split": reader.manifest.split, "song": meta["song"], "figures": figures_of(meta, int(reader.frames[number]))}


def _numbers(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{name}", float(value)


def _meets(figures: Mapping[str, float], condition: Condition) -> bool:
    name, comparison, number = condition
    return name in figures and COMPARE[comparison](figures[name], number)


def _table(rows: Sequence[Mapping[str, Any]], figures: Sequence[str]) -> Iterator[str]:
    cells = [["key", "split", "song", *figures]]
    for row in rows:
        cells.append(
            [row["key"], row["split"], row["song"], *(f"{row['figures'][name]:.4g}" if name in row["figures"] else "–" for name in figures)]
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        pairs = enumerate(zip(line, widths, strict=True))
        yield "  ".join(cell.ljust(width) if column < 3 else cell.rjust(width) for column, (cell, width) in pairs).rstrip()
