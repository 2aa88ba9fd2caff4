"""Reading still pictures, as people have them."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from xdancer.errors import MediaError
from xdancer.media.reading import Picture

LARGEST_PIXELS = 100_000_000
"""Of a picture; a file of a few kB can declare as many as it likes."""
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM", "TGA")
"""What is read where Pillow has it. It knows more, among them PostScript, which it hands to a program."""


def _opened(path: Path | str) -> Image.Image:
    """The picture's header; pixels are not decoded yet, and how many are allowed is for the caller to say."""
    Image.init()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])


def read_image(path: Path | str) -> Picture:
    """A picture as (height, width, 3): upright by its EXIF tag, transparent parts on white, 16-bit grey reduced to 8.

    Raises:
        MediaError: missing, damaged, of an unknown kind, or of more than `LARGEST_PIXELS`.
    """
    if not Path(path).is_file():
        raise MediaError(f"{path}: no such file. Check the path.")
    try:
        with _opened(path) as opened:
            if (pixels := opened.width * opened.height) > LARGEST_PIXELS:
                size = f"{opened.width}×{opened.height} are {pixels / 1e6:.0f} million pixels"
                raise MediaError(f"{path}: {size}, at most {LARGEST_PIXELS / 1e6:.0f} are read. Make the picture smaller.")
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image) / 256).clip(0, 255).astype(np.uint8))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return np.array(image.convert("RGB"))
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(f"{path}: {error} Make the picture smaller.") from error
    except Exception as error:  # Pillow's parsers of damaged files raise a dozen kinds
        raise MediaError(f"{path}: cannot be read as a picture ({error}). Give an intact jpg, png or webp.") from error
