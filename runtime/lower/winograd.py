"""When a convolution runs by Winograd's method, and with which tile (docs/adr/0003-winograd.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir import Lazy
from ..ops import Array
from ..types import DimLike

TILES = (4, 2)
"""Results in a row of a tile; a tile of 4 takes 36 products for 16 results, one of 2 takes 16 for 4."""


@dataclass(frozen=True)
class _Costs:
    """In multiply-adds of the direct sum."""

    product: int
    """Of one channel and column at one point of a tile."""
    transform: int
    """Of a channel or column of one point of a tile in the transforms."""
    fetch: int
    """Of a transformed weight from beyond the second-level cache: the layers of a model share that cache, so none finds
    its weights there."""
    fetch_direct: int
    """Of a weight of the direct sum."""
    gain: float
    """How much cheaper it must be: the transformed weights take 1.8 (a tile of 2) to 8 times the memory."""
    memory: int
    """What a transformed weight beyond `_CHEAP` may cost in time if a smaller tile saves it: a price, not measured."""


_FLOAT = _Costs(product=1, transform=8, fetch=9, fetch_direct=9, gain=1.1, memory=20)
_WORDS = _Costs(product=1, transform=13, fetch=9, fetch_direct=9, gain=1.1, memory=0)
"""Where 8-bit operands are widened to 16 bits for the direct sum too."""
_BYTES = _Costs(product=2, transform=50, fetch=20, fetch_direct=10, gain=1.1, memory=0)
"""Where the direct sum takes 8-bit operands as they are: four of them in the time of two of 16 bits."""

_TILED = {"amxint8"}
"""Instruction sets that multiply bytes 8 times as fast as VNNI: nothing is left to save."""

_CHEAP = 5 << 19
"""Transformed weights of a group whose memory has no price: 10 MiB of floats."""

_MOST_SUM = {4: 2**25, 2: 2**29}
"""The direct sum of integers must stay below, for any bytes (kernels/winograd/winograd.h)."""

_PARTS = (1, 2, 3, 4)
"""Into so many parts the channels are cut where the sum over all would pass that."""

_UNKNOWN = 64
"""The height or width to reckon with where it is symbolic."""


def choose_tile(attrs: Mapping[str, Any], filters: tuple[int, ...], height: DimLike, width: DimLike) -> int | None:
    """The tile for a float convolution of weights `filters` to images of `height` x `width`, None for the direct sum.

    The answer changes the bits of the result, so it depends on the operator and the sizes of one image alone.
    """
    return _choose(attrs, filters, height, width, dict.fromkeys(TILES, 1), _FLOAT)


def choose_exact_tile(
    attrs: Mapping[str, Any], filters: Array, height: DimLike, width: DimLike, isa: str
) -> tuple[int, int] | None:
    """The tile, and in how many parts the channels are summed, for a convolution of u8 by the int8 weights `filters`.
    Integers are exact either way: the answer changes no bits, so it may depend on `isa`, the instruction set of the
    direct sum."""
    if isa in _TILED or not _applies(attrs, filters.shape):
        return None
    tiles = _exact_tiles(filters)
    tile = _choose(attrs, filters.shape, height, width, tiles, _exact_costs(isa))
    return None if tile is None else (tile, tiles[tile])


def why_direct(attrs: Mapping[str, Any], filters: Array | Lazy, height: DimLike, width: DimLike, isa: str) -> str:
    """Why the choice for 3 x 3 filters, float or int8, was the direct sum; `isa` as above. One clause."""
    if not _applies(attrs, filters.shape):
        return "Winograd's method needs stride and dilation 1"
    if filters.dtype != np.float32:
        if isa in _TILED:
            return "tile registers multiply bytes so fast that Winograd's method has nothing to save"
        if _choose(attrs, filters.shape, height, width, dict.fromkeys(TILES, 1), _exact_costs(isa)):
            return "with these weights, sums of Winograd tiles that would pay may leave 32 bits"
    return "Winograd's transforms and weights would cost more than they save"


def _exact_costs(isa: str) -> _Costs:
    return _BYTES if isa.endswith("vnni") else _WORDS


def _exact_tiles(filters: Array) -> dict[int, int]:
    """In how many parts the channels are summed, by the tiles that hold such sums."""
    parts = {tile: next((n for n in _PARTS if _fits(filters, tile, n)), None) for tile in TILES}
    return {tile: n for tile, n in parts.items() if n is not None}


def _applies(attrs: Mapping[str, Any], filters: tuple[int, ...]) -> bool:
    return filters[2:] == (3, 3) and (*attrs["stride"], *attrs["dilation"]) == (1, 1, 1, 1)


def _fits(filters: Array, tile: int, parts: int) -> bool:
    """Whether sums over any bytes of each part of the channels stay where the division in the end is exact."""
    channels = filters.shape[1]
    size = max(-(-channels // (2 * parts)) * 2, 1)
    return all(_most_sum(filters[:, at : at + size]) < _MOST_SUM[tile] for at in range(0, channels, size))


def _most_sum(filters: Array) -> int:
    """The largest magnitude of a sum of any bytes."""
    axes = tuple(range(1, filters.ndim))
    positive = np.maximum(filters, 0).sum(axis=axes, dtype=np.int64).max(initial=0)
    negative = np.minimum(filters, 0).sum(axis=axes, dtype=np.int64).min(initial=0)
    return 255 * max(int(positive), -int(negative))


def _choose(
    attrs: Mapping[str, Any],
    filters: tuple[int, ...],
    height: DimLike,
    width: DimLike,
    parts: Mapping[int, int],
    costs: _Costs,
) -> int | None:
    if not _applies(attrs, filters):
        return None
    n, c = -(-filters[0] // attrs["groups"] // 16) * 16, filters[1]  # of a group
    rows, columns = (size if isinstance(size, int) else _UNKNOWN for size in (height, width))
    most = 9 * c * n * (rows * columns + costs.fetch_direct) / costs.gain
    prices: dict[int, int] = {}
    for tile in parts:
        places, points = -(-rows // tile) * -(-columns // tile), (tile + 2) ** 2
        one_place = costs.product * c * n + costs.transform * (-(-c // 16) * 16 + parts[tile] * n)
        cost = points * (places * one_place + costs.fetch * c * n)
        if cost < most:
            prices[tile] = cost + costs.memory * max(points * c * n - _CHEAP, 0)
    return min(prices, key=prices.__getitem__, default=None)
