"""Photographs for the demo: scikit-image ships them in its wheel."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from importlib.resources import files

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from rushlight.demo.network import SIZE
from rushlight.runtime.errors import FormatError
from rushlight.runtime.ops import Array

SAMPLES = {
    "coffee": "coffee.png",
    "cat": "chelsea.png",
    "motorcycle": "motorcycle_left.png",
    "astronaut": "astronaut.png",
    "rocket": "rocket.jpg",
}
"""The natural photographs in colour."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""What is read of strangers. Pillow knows many more, and runs Ghostscript for one of them."""

MAX_PIXELS = 50_000_000
CENTRAL = 0.875
"""Share of the shorter side that a classified square covers."""
_CROPS = 14
_SMALLEST_CROP = 0.6


def read_sample(name: str) -> bytes:
    """The image file of a sample photograph."""
    return files("skimage").joinpath("data").joinpath(SAMPLES[name]).read_bytes()


def decode_image(data: bytes) -> Image.Image:
    """An RGB image, upright. Raises FormatError for what is no image, or has more than MAX_PIXELS pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > MAX_PIXELS:
                raise FormatError(f"an image of {image.width} x {image.height} pixels is too large")
            return ImageOps.exif_transpose(image).convert("RGB")
    except UnidentifiedImageError:
        raise FormatError("this is not an image that can be read") from None
    except FormatError:
        raise
    except Exception as error:  # decoders raise errors of every kind
        raise FormatError(f"this image cannot be read: {str(error)[:120]}") from None


def central_square(image: Image.Image) -> Array:
    """What the network sees of an image: [224, 224, 3] uint8."""
    side = CENTRAL * min(image.size)
    return _square(image, (image.width - side) / 2, (image.height - side) / 2, side)


def calibration_images() -> Array:
    """Crops of the samples, every second one mirrored, always the same: [70, 224, 224, 3] uint8."""
    return np.stack([crop for name in SAMPLES for crop in _crops(decode_image(read_sample(name)))])


def _crops(image: Image.Image) -> Iterator[Array]:
    """The central square, then squares of shrinking size at places spread by the golden ratio."""
    yield central_square(image)
    for index in range(1, _CROPS):
        share = 1 - (1 - _SMALLEST_CROP) * index / _CROPS
        side = share * min(image.size)
        left = (index * 0.6180339887498949 % 1) * (image.width - side)
        top = (index * 0.7548776662466927 % 1) * (image.height - side)
        crop = _square(image, left, top, side)
        yield crop[:, ::-1] if index % 2 else crop


def _square(image: Image.Image, left: float, top: float, side: float) -> Array:
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box))
