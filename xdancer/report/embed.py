"""Pictures, videos and matplotlib figures as text that stands inside an HTML page."""

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Picture = NDArray[np.uint8]
"""(height, width, 3), RGB."""


def data_uri(content: bytes, kind: str) -> str:
    """`data:` address of some bytes; `kind` is their media type, such as `video/mp4`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def picture_uri(picture: Picture) -> str:
    """PNG of a picture as an address."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG", optimize=True)
    return data_uri(stream.getvalue(), "image/png")


def video_uri(video: Path | bytes) -> str:
    """An mp4 file as an address."""
    return data_uri(video if isinstance(video, bytes) else video.read_bytes(), "video/mp4")


def inline_svg(figure: "Figure") -> str:
    """The `<svg>` element of a matplotlib figure, equal for equal figures (no date, fixed ids)."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "xdancer", "font.family": "sans-serif"}):
        FigureCanvasSVG(figure)
        figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    text = stream.getvalue()
    return text[text.index("<svg") :]
