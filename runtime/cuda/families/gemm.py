"""Matrix products and convolutions."""

from __future__ import annotations

from typing import Any

from ...ops import Array
from .. import float_products, products
from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..packed import FloatLayout, IntegerLayout
from ..source import Kernel


def _is_integer(row: Row) -> bool:
    return row.types.startswith("u8s8")


def _kernels(row: Row) -> list[Kernel]:
    return products.kernels() if _is_integer(row) else float_products.kernels(row)


def _launches(call: Call, device: Device) -> list[Launch]:
    return products.launches(call, device) if _is_integer(call.row) else float_products.launches(call, device)


def _scratch_bytes(call: Call, device: Device) -> int:
    return products.scratch_bytes(call, device) if _is_integer(call.row) else 0


def _ways(call: Call, device: Device) -> list[list[Launch]]:
    return products.ways(call, device) if _is_integer(call.row) else float_products.ways(call, device)


def _layout(row: Row, fields: Any) -> IntegerLayout | FloatLayout:
    return IntegerLayout.of(fields) if _is_integer(row) else float_products.layout(row, fields)


def _packed_bytes(row: Row, fields: Any) -> int:
    return _layout(row, fields).size


def _pack(row: Row, fields: Any, src: Array, out: Array) -> None:
    _layout(row, fields).pack(fields, src, out)


FAMILY = Family("gemm", rows_of("gemm"), _kernels, _launches, _scratch_bytes, _packed_bytes, _pack, _ways)
