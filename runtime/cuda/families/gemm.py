"""Matrix products and convolutions."""

from __future__ import annotations

from typing import Any

from ...ops import Array
from .. import float_products, products
from ..device import Device, Launch
from ..family import Call, Family, Row, Tf32Row, rows_of
from ..packed import FloatLayout, TensorLayout
from ..source import Kernel


def _has_tensor_cores(row: Row) -> bool:
    return isinstance(row, Tf32Row) or row.types.startswith("u8s8")


def _kernels(row: Row) -> list[Kernel]:
    return products.kernels(row) if _has_tensor_cores(row) else float_products.kernels(row)


def _launches(call: Call, device: Device) -> list[Launch]:
    return products.launches(call, device) if _has_tensor_cores(call.row) else float_products.launches(call, device)


def _scratch_bytes(call: Call, device: Device) -> int:
    return products.scratch_bytes(call, device) if _has_tensor_cores(call.row) else 0


def _ways(call: Call, device: Device) -> list[list[Launch]]:
    return products.ways(call, device) if _has_tensor_cores(call.row) else float_products.ways(call, device)


def _layout(row: Row, fields: Any) -> TensorLayout | FloatLayout:
    return products.layout_of(row, fields) if _has_tensor_cores(row) else float_products.layout(row, fields)


def _packed_bytes(row: Row, fields: Any) -> int:
    return _layout(row, fields).size


def _pack(row: Row, fields: Any, src: Array, out: Array) -> None:
    _layout(row, fields).pack(fields, src, out)


_ROWS = rows_of("gemm")
FAMILY = Family(
    "gemm", _ROWS, _kernels, _launches, _scratch_bytes, _packed_bytes, _pack, _ways,
    [(op, types) for op, types in _ROWS if types.startswith("f32")],
)  # fmt: skip
