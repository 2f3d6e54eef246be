"""Scaled dot product attention on floats."""

from __future__ import annotations

from ..device import Device, Launch
from ..family import Call, Family, Row, Tf32Row, rows_of
from ..geometry import checked
from ..source import Kernel

_QUERIES = (32, 16)
"""Of a block: fewer where there are few, so that more blocks share them out."""
_DEPTH, _COLUMNS = 32, 64
_LARGEST_SHARED = 96 << 10
"""Of a block that keeps its scores in shared memory."""
_BLOCKS_A_MULTIPROCESSOR = 4
"""Of those that keep them in memory of their own."""


def _kernel(row: Row, queries: int) -> Kernel:
    return Kernel("attention", (("QUERIES", queries), ("TF32", int(isinstance(row, Tf32Row)))))


def _kernels(row: Row) -> list[Kernel]:
    return [_kernel(row, queries) for queries in _QUERIES]


def _pitch(call: Call) -> int:
    """Elements from a query's scores to the next one's."""
    return -(-int(call.fields["lk"]) // _COLUMNS) * _COLUMNS + 4


def _plan(call: Call, device: Device) -> tuple[int, int, int, int]:
    """Queries of a block, blocks, bytes of shared memory, and of scores outside of it."""
    heads = int(call.fields["images"]) * int(call.fields["windows"]) * int(call.fields["q_heads"])
    length = int(call.fields["lq"])
    parts = {queries: heads * -(-length // queries) for queries in _QUERIES}
    many, few = _QUERIES
    queries = many if parts[many] >= 2 * device.multiprocessors else few
    gap = 8 if isinstance(call.row, Tf32Row) else 4
    staging = (_DEPTH * (queries + gap + _COLUMNS + gap) + queries) * 4
    scores = queries * _pitch(call) * 4
    if staging + scores <= min(device.shared_bytes, _LARGEST_SHARED):
        return queries, parts[queries], staging + scores, 0
    blocks = min(parts[queries], _BLOCKS_A_MULTIPROCESSOR * device.multiprocessors)
    return queries, blocks, staging, blocks * scores


def _scratch_bytes(call: Call, device: Device) -> int:
    return _plan(call, device)[3]


def _launches(call: Call, device: Device) -> list[Launch]:
    for name in ("lq", "lk", "d", "dv"):
        checked(int(call.fields[name]), name)
    queries, blocks, shared_bytes, outside = _plan(call, device)
    checked(blocks, "blocks")
    if blocks == 0 or call.fields["dv"] == 0:
        return []
    argument = call.argument(call.scratch if outside else 0, _pitch(call))
    return [Launch(_kernel(call.row, queries), (blocks, 1, 1), 4 * queries, shared_bytes, argument)]


_ROWS = rows_of("attention")
FAMILY = Family("attention", _ROWS, _kernels, _launches, _scratch_bytes, tf32_rows=_ROWS)
