"""Launches of kernels that reduce rows or columns (cuda/kernels/reduction.cuh, long_row.cuh, columns.cuh)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .device import Device, Launch
from .family import BLOCKS_A_MULTIPROCESSOR
from .source import Kernel

_Argument = np.ndarray[Any, Any]

ROW_PAIRS = (2, 4, 8, 16)
"""Pairs of elements that a lane of a warp keeps in registers: rows of up to 64 times as many elements."""
COLUMN_WIDTHS = (8, 32, 64)
"""Columns of a block: fewer for few columns, so that more blocks share them out, more for short ones."""

_ROW_THREADS, _LONG_ROW_THREADS, _COLUMN_THREADS = 128, 512, 512
_RING = 4 * 2048
"""Elements of the ring of tiles through which rows pass that shared memory does not hold."""
_EXCHANGE_BYTES = _LONG_ROW_THREADS // 32 * 4
_LARGEST_SHARED = 96 << 10
"""Of a block that keeps a row: two of them, or more, share a multiprocessor of most devices."""
_SHORT_COLUMN = 8


def pairs_of(n: int) -> int | None:
    """The least of ROW_PAIRS for rows of n elements, None for longer ones."""
    return next((pairs for pairs in ROW_PAIRS if n <= 64 * pairs), None)


def over_rows(kernel: Kernel, rows: int, device: Device, argument: _Argument) -> list[Launch]:
    """A warp a row."""
    if rows <= 0:
        return []
    blocks = min(-(-rows * 32 // _ROW_THREADS), BLOCKS_A_MULTIPROCESSOR * device.multiprocessors)
    return [Launch(kernel, (blocks, 1, 1), _ROW_THREADS, 0, argument)]


def over_long_rows(
    kernel: Kernel, rows: int, n: int, device: Device, argument: Callable[[int], _Argument], passes: int = 2
) -> list[Launch]:
    """A block a row; `argument` takes the elements that shared memory has room for: a whole row where that is little
    and it is read in more than one pass."""
    if rows <= 0:
        return []
    most = (min(device.shared_bytes, _LARGEST_SHARED) - _EXCHANGE_BYTES) // 4
    room = n if passes > 1 and _RING < n <= most else _RING
    blocks = min(rows, BLOCKS_A_MULTIPROCESSOR * device.multiprocessors)
    return [Launch(kernel, (blocks, 1, 1), _LONG_ROW_THREADS, room * 4 + _EXCHANGE_BYTES, argument(room))]


def over_columns(
    kernel: Callable[[int], Kernel], columns: int, n: int, device: Device, argument: _Argument
) -> list[Launch]:
    """A block for some of the columns, of n elements each; `kernel` takes how many."""
    if columns <= 0:
        return []
    few, some, many = COLUMN_WIDTHS
    width = many if n <= _SHORT_COLUMN else some if columns >= 2 * some * device.multiprocessors else few
    return [Launch(kernel(width), (-(-columns // width), 1, 1), _COLUMN_THREADS, _COLUMN_THREADS * 4, argument)]
