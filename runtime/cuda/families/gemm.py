"""Matrix products and convolutions."""

from __future__ import annotations

from typing import Any

from ...ops import Array
from .. import products
from ..device import Device, Launch
from ..family import Call, Family, Row
from ..packed import IntegerLayout
from ..source import Kernel


def _kernels(row: Row) -> list[Kernel]:
    return products.kernels()


def _launches(call: Call, device: Device) -> list[Launch]:
    return products.launches(call, device)


def _scratch_bytes(call: Call, device: Device) -> int:
    return products.scratch_bytes(call, device)


def _packed_bytes(row: Row, fields: Any) -> int:
    return IntegerLayout.of(fields).size


def _pack(row: Row, fields: Any, src: Array, out: Array) -> None:
    IntegerLayout.of(fields).pack(fields, src, out)


_TYPES = ("u8s8u8", "u8s8f32")

FAMILY = Family(
    "gemm", [("gemm", types) for types in _TYPES], _kernels, _launches, _scratch_bytes, _packed_bytes, _pack
)
