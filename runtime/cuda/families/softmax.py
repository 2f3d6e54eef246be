"""Softmax and relatives."""

from __future__ import annotations

from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..reductions import COLUMN_WIDTHS, ROW_PAIRS, over_columns, over_long_rows, over_rows, pairs_of
from ..source import Kernel


def _rows(row: Row, pairs: int) -> Kernel:
    return Kernel("softmax_rows", (("FUNCTION", row.op), ("PAIRS", pairs)))


def _long_rows(row: Row) -> Kernel:
    return Kernel("softmax_long_rows", (("FUNCTION", row.op),))


def _columns(row: Row, width: int) -> Kernel:
    return Kernel("softmax_columns", (("FUNCTION", row.op), ("COLUMNS", width)))


def _kernels(row: Row) -> list[Kernel]:
    rows = [_rows(row, pairs) for pairs in ROW_PAIRS]
    return [*rows, _long_rows(row), *(_columns(row, width) for width in COLUMN_WIDTHS)]


def _launches(call: Call, device: Device) -> list[Launch]:
    outer, n, inner = (int(call.fields[name]) for name in ("outer", "n", "inner"))
    row = call.row
    if inner != 1:
        return over_columns(lambda width: _columns(row, width), outer * inner, n, device, call.argument(0))
    pairs = pairs_of(n)
    if pairs:
        return over_rows(_rows(row, pairs), outer, device, call.argument(0))
    return over_long_rows(_long_rows(row), outer, n, device, call.argument)


FAMILY = Family("softmax", rows_of("softmax"), _kernels, _launches)
