"""Reading still pictures, as people have them."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from xdancer.errors import MediaError
from xdancer.media.reading import Picture


def read_image(path: Path | str) -> Picture:
    """A picture as (height, width, 3): upright by its EXIF tag, transparent parts on white, 16-bit grey reduced to 8.

    Raises:
        MediaError: missing, damaged or of an unknown kind.
    """
    if not Path(path).is_file():
        raise MediaError(f"{path}: no such file. Check the path.")
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image) / 256).clip(0, 255).astype(np.uint8))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"{path}: cannot be read as a picture ({error}). Give an intact jpg, png or webp.") from error
