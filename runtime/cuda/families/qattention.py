"""Attention of bytes."""

from __future__ import annotations

from typing import Any

from ...errors import UnsupportedError
from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..source import Kernel

_TILE = 32
"""Keys that pass together."""
_COLUMNS = 64
"""Of the results, of a block."""
_WARP = 16
"""Queries of a warp."""
_DEPTH = 128
"""The widest rows that stay in shared memory as a whole."""
_PAD = 16
_BLOCK_KEYS = 1 << 15
"""Over which sums stay whole numbers."""
_HELD_BYTES = 128 * 32 * 4
"""For the floats that threads keep of earlier blocks of keys."""
_BLOCKS = 2
"""Of a multiprocessor, at least, before blocks take more queries."""

_KEPT = {tiles: Kernel("qattention", (("KEPT", tiles),)) for tiles in (0, 2)}
"""By how many tiles of scores stay in registers."""


def _kernels(row: Row) -> list[Kernel]:
    return list(_KEPT.values())


def _launches(call: Call, device: Device) -> list[Launch]:
    fields = call.fields
    queries, keys = int(fields["lq"]), int(fields["lk"])
    heads = int(fields["images"]) * int(fields["windows"]) * int(fields["q_heads"]) * -(-int(fields["dv"]) // _COLUMNS)
    if heads * queries == 0:
        return []
    warps = _warps(queries, heads, device)
    blocks = heads * -(-queries // (warps * _WARP))
    if max(blocks, keys, queries) >= 1 << 31:
        raise UnsupportedError(f"attention: {queries} queries, {keys} keys, {heads} heads are too many for a GPU")
    kernel = _KEPT[2 if keys <= 2 * _TILE else 0]
    return [Launch(kernel, (blocks, 1, 1), warps * 32, _shared_bytes(fields, warps), call.argument())]


def _warps(queries: int, heads: int, device: Device) -> int:
    """Of a block: so few that blocks fill the device."""
    for warps in (4, 2):
        blocks = -(-queries // (warps * _WARP))
        if queries > warps // 2 * _WARP and heads * blocks >= _BLOCKS * device.multiprocessors:
            return warps
    return 1


def _shared_bytes(fields: Any, warps: int) -> int:
    width = int(fields["d"])
    pitch = min(max(-(-width // 32) * 32, 32), _DEPTH) + _PAD
    rows = warps * _WARP * (2 if width > _DEPTH else 1) + 2 * _TILE
    held = _HELD_BYTES if int(fields["lk"]) > _BLOCK_KEYS else 0
    return rows * pitch + 2 * _TILE * (_COLUMNS + _PAD) + held


FAMILY = Family("qattention", rows_of("qattention"), _kernels, _launches)
