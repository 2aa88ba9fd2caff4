"""The page: sections of prose, figures, videos and tables; one file, no script from elsewhere, no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

SENTENCE = 40
"""Letters from which on a cell of a table is broken into lines."""


@dataclass(frozen=True)
class Section:
    """A heading and the HTML under it."""

    title: str
    body: str


@dataclass(frozen=True)
class Row:
    """One figure of the metric table."""

    name: str
    value: float | None
    """None = not measurable here; `note` says why."""
    digits: int = 2
    references: Mapping[str, float | None] | None = None
    """Figures to read it against: null rows, chance, the ground truth."""
    count: int | None = None
    """n: how many clips, frames or pairs the figure is taken over."""
    target: str = ""
    reached: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Group:
    """Rows about one stage."""

    title: str
    rows: Sequence[Row]


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole document."""
    style = files("xdancer.report").joinpath("style.css").read_text(encoding="utf-8")
    body = "\n".join(f"<section><h2>{escape(section.title)}</h2>\n{section.body}</section>" for section in sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f'<body><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>\n{body}\n</body></html>\n'
    )


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>\n"


def picture(uri: str, caption: str, *, width: int | None = None) -> str:
    """An image by its address."""
    size = f' style="width:{width}px;image-rendering:auto"' if width else ""
    return f'<figure><img src="{uri}" alt="{escape(caption)}"{size}><figcaption>{escape(caption)}</figcaption></figure>\n'


def video(uri: str, caption: str, *, width: int = 384, loop: bool = False) -> str:
    """A player; silent comparison clips loop by themselves, clips with sound wait for a click."""
    mode = "muted loop autoplay playsinline" if loop else "controls playsinline"
    return (
        f'<figure><video {mode} style="width:{width}px" preload="auto" src="{uri}"></video>'
        f'<figcaption style="max-width:{max(width, 160)}px">{escape(caption)}</figcaption></figure>\n'
    )


def chart(svg: str, caption: str) -> str:
    """An inline drawing."""
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>\n"


def row(*parts: str) -> str:
    """Figures beside one another."""
    return '<div class="row">' + "".join(parts) + "</div>\n"


def commands(lines: Sequence[str]) -> str:
    """Command lines to copy."""
    return "<pre>" + "\n".join(escape(line) for line in lines) + "</pre>\n"


def metric_table(groups: Sequence[Group]) -> str:
    """Figures with what they are read against, n and target."""
    head = "<tr><th>figure</th><th>value</th><th>read against</th><th>n</th><th>target</th><th>what it is</th></tr>"
    lines = []
    for group in groups:
        lines.append(f'<tr class="group"><td colspan="6">{escape(group.title)}</td></tr>')
        lines.extend(_table_row(entry) for entry in group.rows)
    return f'<div class="scroll"><table class="figures"><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table></div>\n'


def plain_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Any table of texts, the first column to the left; sentences too, and broken into lines."""
    top = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "".join("<tr>" + "".join(_plain_cell(text) for text in cells) + "</tr>" for cells in rows)
    return f'<div class="scroll"><table class="plain"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>\n'


def _plain_cell(text: str) -> str:
    return ('<td class="text">' if len(text) > SENTENCE else "<td>") + escape(text) + "</td>"


def number(value: float | None, digits: int) -> str:
    """A figure with fixed decimals; a dash for what could not be measured."""
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def _table_row(entry: Row) -> str:
    beside = (f"{escape(name)} {number(value, entry.digits)}" for name, value in (entry.references or {}).items())
    references = "<br>".join(beside)
    mark = "" if entry.reached is None else (' <span class="yes">✓</span>' if entry.reached else ' <span class="no">✗</span>')
    count = "" if entry.count is None else str(entry.count)
    cells = (escape(entry.name), number(entry.value, entry.digits), references, count, escape(entry.target) + mark, escape(entry.note))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
