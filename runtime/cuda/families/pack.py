"""Matrices computed at run time, packed for gemm."""

from __future__ import annotations

from ..device import Device, Launch
from ..family import BLOCKS_A_MULTIPROCESSOR, Call, Family, Row, rows_of
from ..packed import COLUMNS
from ..source import Kernel
from ..tiles import ceil_div

_SIDE = 32
"""Of the tiles that a block moves."""
_THREADS = 256
_SHARED_BYTES = _SIDE * (_SIDE + 1) * 4


def _kernels(row: Row) -> list[Kernel]:
    return [Kernel("pack")]


def _launches(call: Call, device: Device) -> list[Launch]:
    fields = call.fields
    outer, inner = (int(size) for size in fields["batch"])
    pitch = ceil_div(int(fields["n"]), COLUMNS) * COLUMNS
    tiles = outer * inner * ceil_div(int(fields["k"]), _SIDE) * ceil_div(pitch, _SIDE)
    if tiles == 0:
        return []
    (kernel,) = _kernels(call.row)
    blocks = min(tiles, BLOCKS_A_MULTIPROCESSOR * device.multiprocessors)
    return [Launch(kernel, (blocks, 1, 1), _THREADS, _SHARED_BYTES, call.argument())]


FAMILY = Family("pack", rows_of("pack"), _kernels, _launches)
