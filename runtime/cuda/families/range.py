"""Numbers at equal distances."""

from __future__ import annotations

from typing import Any

from ..axes import Axis, Part, Strided, map_widths, over_axes, vector_of
from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..source import Kernel

_ELEMENTS = {"s64": ("int64_t", 8), "s32": ("int32_t", 4), "f32": ("float", 4)}


def _kernels(row: Row) -> list[Kernel]:
    return [Kernel("range_fill", (("ELEMENT", _ELEMENTS[row.types][0]),))]


def _launches(call: Call, device: Device) -> list[Launch]:
    (kernel,) = _kernels(call.row)
    start, step = int(call.fields["start"]), int(call.fields["step"])
    size = _ELEMENTS[call.row.types][1]
    axes, operands = [Axis(int(call.fields["n"]), (1,))], [Strided("out", call.operands[0], size, 0)]

    def begin(part: Part) -> dict[str, Any]:
        return {"start": start + part.offsets[0] * step}

    return over_axes(
        kernel, device, axes, operands, vector_of(axes, operands, map_widths(16 // size)), of_part=begin, step=step
    )


FAMILY = Family("range", rows_of("range"), _kernels, _launches)
