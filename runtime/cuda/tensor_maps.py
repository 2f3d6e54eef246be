"""What tensor memory access (Hopper) reads: layouts of bytes in global memory that a device makes tensor maps of.

Limits are those of cuTensorMapEncodeTiled and cuTensorMapEncodeIm2col (CUDA driver API, "Tensor Map Object Management")
and of the offsets of cp.async.bulk.tensor in im2col mode (PTX ISA).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Pair = tuple[int, int]
"""Of width and height."""

TILE_WIDTHS = (128, 64, 32)
"""Bytes of a tile's rows, which lie swizzled in shared memory."""

_DIMENSION = 1 << 32
_STEP = 1 << 40
_CORNER = range(-128, 128)
_OFFSET = range(256)
_TRAVERSAL = range(1, 9)


def _are_steps(address: int, *steps: int) -> bool:
    return address % 16 == 0 and all(step % 16 == 0 and 0 < step < _STEP for step in steps)


def _are_sizes(*sizes: int) -> bool:
    return all(0 < size <= _DIMENSION for size in sizes)


@dataclass(frozen=True)
class MatrixMap:
    """Rows of bytes, `pitch` apart; zeros outside of the matrix. `element`: 1, or the 4 bytes of floats, which loads
    round to TF32."""

    address: int
    columns: int
    rows: int
    pitch: int
    tile_columns: int
    tile_rows: int
    element: int = 1

    @property
    def is_encodable(self) -> bool:
        """Whether the driver makes a tensor map of it."""
        return (
            _are_sizes(self.columns, self.rows)
            and _are_steps(self.address, self.pitch)
            and self.pitch >= self.columns
            and self.columns % self.element == 0
            and self.tile_columns in TILE_WIDTHS
            and 0 < self.tile_rows <= 256
        )


@dataclass(frozen=True)
class PixelMap:
    """Images of bytes: pixel after pixel of them, row after row, at which a convolution's window rests its first tap; a
    load moves them all by another tap's offset. Zeros outside of an image.

    `pixel`, `row`, `image`: bytes from one to the next. `lower`: the window's first place, from the image's first
    pixel; `upper`: the end of its places, from the image's end; `steps`: between its places; `reach`: the offset of its
    last tap. A tile is `tile_channels` bytes of `tile_pixels` pixels. `element`: as of `MatrixMap`.
    """

    address: int
    channels: int
    size: Pair
    images: int
    pixel: int
    row: int
    image: int
    lower: Pair
    upper: Pair
    steps: Pair
    reach: Pair
    tile_channels: int
    tile_pixels: int
    element: int = 1

    @staticmethod
    def of(fields: Any, address: int, tile_channels: int, tile_pixels: int, element: int = 1) -> PixelMap:
        """Of x of the convolution that these parameters of gemm describe."""

        def axis(a: str) -> tuple[int, int, int, int, int]:
            names = (f"i{a}", f"o{a}", f"s{a}", f"p{a}", f"k{a}", f"d{a}")
            size, places, step, padding, taps, dilation = (int(fields[name]) for name in names)
            return size, -padding, (places - 1) * step - padding + 1 - size, step, (taps - 1) * dilation

        size, lower, upper, steps, reach = zip(axis("w"), axis("h"), strict=True)
        sizes = (int(fields[name]) * element for name in ("k", "src_pixel", "src_row", "src_image"))
        channels, pixel, row, image = sizes
        return PixelMap(
            address, channels, size, int(fields["images"]), pixel, row, image, lower, upper, steps, reach,
            tile_channels, tile_pixels, element,
        )  # fmt: skip

    @property
    def is_padded(self) -> bool:
        """Whether some tap lies outside of an image."""
        ends = zip(self.lower, self.upper, self.reach, strict=True)
        return any(lower < 0 or upper + reach > 0 for lower, upper, reach in ends)

    @property
    def is_encodable(self) -> bool:
        """Whether the driver makes a tensor map of it, and loads can name every tap."""
        width, height = self.size
        apart = self.pixel >= self.channels and self.row >= width * self.pixel and self.image >= height * self.row
        return (
            _are_sizes(self.channels, width, height, self.images)
            and _are_steps(self.address, self.pixel, self.row, self.image)
            and apart
            and self.channels % self.element == 0
            and all(corner in _CORNER for corner in (*self.lower, *self.upper))
            and all(step in _TRAVERSAL for step in self.steps)
            and all(offset in _OFFSET for offset in self.reach)
            and self.tile_channels in TILE_WIDTHS
            and 0 < self.tile_pixels <= 1024
        )
