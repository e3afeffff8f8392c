"""Encoded images into pixels, with a bound on their size."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from harness.storage import IntegrityError

if TYPE_CHECKING:
    import numpy as np

MAX_PIXELS = 100_000_000
"""A small file can ask for any amount of memory; the largest images of the field's sets have some 40 million pixels."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")


def decode_file(path: Path, grey: bool = False) -> np.ndarray:
    """(h, w, 3) uint8, or (h, w) of a `grey` image that is to stay one. Raises IntegrityError for a file that is missing,
    no image, damaged or too large."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"the image {path} cannot be read: {error.strerror}.") from error
    return decode(data, str(path), grey)


def decode(data: bytes, where: str, grey: bool = False) -> np.ndarray:
    """As `decode_file`. All images become RGB, because releases mix them with grey ones; 16-bit ones are refused."""
    import warnings

    import numpy as np
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound below is the lower one
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise IntegrityError(
                        f"{where} has {image.width} x {image.height} pixels, more than the {MAX_PIXELS} allowed."
                    )
                if image.mode.startswith(("I", "F")):
                    raise IntegrityError(f"{where} is no 8-bit image (mode {image.mode}); convert it.")
                return np.asarray(image if grey and image.mode == "L" else image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        raise IntegrityError(f"{where} is no readable image: {error}.") from error
