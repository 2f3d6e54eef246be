"""Float matrix products and convolutions: a call of gemm's f32 rows as launches."""

from __future__ import annotations

from typing import Any

import numpy as np

from .device import Device, Launch
from .epilogue import batch, epilogue
from .family import Call, Row
from .geometry import checked, count, steps, window
from .packed import FloatLayout, weight_type
from .source import Kernel
from .tiles import FLOAT_TILES, FloatTile, ceil_div, choose_float_tile, load_bytes

_LOADS = (4, 1)
"""Floats of a copy of x."""


def layout(row: Row, fields: Any) -> FloatLayout:
    return FloatLayout.of(fields, np.float32 if weight_type(row) == "f32" else np.uint16)


def kernels(row: Row) -> list[Kernel]:
    """All that float products of this row may launch."""
    return [tile.kernel(weight_type(row), load) for tile in FLOAT_TILES for load in _LOADS]


def launches(call: Call, device: Device, tile: FloatTile | None = None) -> list[Launch]:
    """One, none where the result is empty. `tile`: another than the chosen one. Raises UnsupportedError."""
    fields, packed = call.fields, layout(call.row, call.fields)
    m = count(fields, "images", "oh", "ow")
    matrices = count(fields, "batch")
    if m * packed.n * matrices == 0:
        return []
    tile = tile or choose_float_tile(m, packed.n, matrices, device)
    kernel = tile.kernel(weight_type(call.row), 4 if _is_aligned(call) else 1)
    params = kernel.pack(
        x=call.operands[0],
        weight=call.operands[1],
        epilogue=epilogue(call, packed.n, ("residual_row", "dst_row")),
        batch=batch(fields),
        m=m,
        n=packed.n,
        pitch=packed.pitch,
        depth=packed.depth,
        channels=max(1, fields["k"]),
        window=window(fields),
        steps=steps(fields),
    )
    tiles = ceil_div(m, tile.block_m) * ceil_div(packed.n, tile.block_n)
    blocks = checked(tiles * matrices, "blocks")
    shared_bytes = tile.shared_bytes(packed.dtype.itemsize)
    return [Launch(kernel, (blocks, 1, 1), tile.threads, shared_bytes, params, (tile.block_m, tile.block_n))]


def ways(call: Call, device: Device) -> list[list[Launch]]:
    """The launches of every tile, first those of the chosen one. Raises UnsupportedError."""
    first = launches(call, device)
    others = [launches(call, device, tile) for tile in FLOAT_TILES] if first else []
    return [first, *(way for way in others if way[0].kernel != first[0].kernel)]


def _is_aligned(call: Call) -> bool:
    """Whether channels of x start and end at multiples of 16 bytes."""
    fields = call.fields
    distances = [fields[name] for name in ("k", "src_image", "src_row", "src_pixel")] + list(fields["src_batch"])
    return load_bytes(*(int(step) * 4 for step in distances), call.operands[0]) == 16
