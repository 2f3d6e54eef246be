"""Sums and products of bytes."""

from __future__ import annotations

from ..axes import Strided, broadcast, map_widths, over_axes, vector_of
from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..source import Kernel


def _kernels(row: Row) -> list[Kernel]:
    return [Kernel("qbinary_map", (("OP", row.op),))]


def _launches(call: Call, device: Device) -> list[Launch]:
    (kernel,) = _kernels(call.row)
    axes = broadcast(call, "a_strides", "b_strides")
    operands = [
        Strided(name, at, 1, k) for k, (name, at) in enumerate(zip(("a", "b", "out"), call.operands, strict=True))
    ]
    return over_axes(kernel, device, axes, operands, vector_of(axes, operands, map_widths(16)), p=call.fields)


FAMILY = Family("qbinary", rows_of("qbinary"), _kernels, _launches)
