"""Choices between two operands."""

from __future__ import annotations

from ..axes import Strided, broadcast, map_widths, over_axes, vector_of
from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..source import Kernel

_ELEMENTS = {
    "f32": ("uint32_t", 4),
    "s32": ("uint32_t", 4),
    "s64": ("uint64_t", 8),
    "u8": ("uint8_t", 1),
    "b8": ("uint8_t", 1),
}


def _element(row: Row) -> tuple[str, int]:
    return next(element for name, element in _ELEMENTS.items() if row.types.endswith(name))


def _kernels(row: Row) -> list[Kernel]:
    return [Kernel("where_map", (("ELEMENT", _element(row)[0]),))]


def _launches(call: Call, device: Device) -> list[Launch]:
    (kernel,) = _kernels(call.row)
    size = _element(call.row)[1]
    condition, a, b, out = call.operands
    axes = broadcast(call, "condition_strides", "a_strides", "b_strides")
    operands = [
        Strided("condition", condition, 1, 0),
        Strided("a", a, size, 1),
        Strided("b", b, size, 2),
        Strided("out", out, size, 3),
    ]
    return over_axes(kernel, device, axes, operands, vector_of(axes, operands, map_widths(16 // size)))


FAMILY = Family("where", rows_of("where"), _kernels, _launches)
