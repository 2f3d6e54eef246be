"""When a convolution runs by Winograd's method, and with which tile (docs/adr/0003-winograd.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..types import DimLike

TILES = (4, 2)
"""Results in a row of a tile; a tile of 4 takes 36 products for 16 results, one of 2 takes 16 for 4."""

_TRANSFORM = 8
"""What a channel or column of one point of a tile costs in the transforms, in multiply-adds."""

_FETCH = 9
"""What it costs to fetch a weight from beyond the second-level cache, in multiply-adds: the layers of a model share
that cache, so none finds its weights there."""

_GAIN = 1.1
"""How much cheaper it must be: the transformed weights take 4 times (a tile of 2: 1.8 times) the memory."""

_UNKNOWN = 64
"""The height or width to reckon with where it is symbolic."""


def choose_tile(attrs: Mapping[str, Any], filters: tuple[int, ...], height: DimLike, width: DimLike) -> int | None:
    """The tile for a float convolution of weights `filters` to images of `height` x `width`, None for the direct sum.

    The answer changes the bits of the result, so it depends on the operator and the sizes of one image alone.
    """
    n, c, *kernel = filters
    if kernel != [3, 3] or attrs["groups"] != 1 or (*attrs["stride"], *attrs["dilation"]) != (1, 1, 1, 1):
        return None
    rows, columns = (size if isinstance(size, int) else _UNKNOWN for size in (height, width))
    n = -(-n // 16) * 16
    best, least = None, _cost(rows * columns, 9, c, n, 0) / _GAIN
    for tile in TILES:
        cost = _cost(-(-rows // tile) * -(-columns // tile), (tile + 2) ** 2, c, n, _TRANSFORM)
        if cost < least:
            best, least = tile, cost
    return best


def _cost(tiles: int, points: int, c: int, n: int, transform: int) -> int:
    """Multiply-adds of one image, or what takes as long."""
    return tiles * points * (c * n + transform * (c + n)) + _FETCH * points * c * n
