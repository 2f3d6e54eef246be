"""Pooling over windows of images."""

from __future__ import annotations

from ..device import Device, Launch
from ..family import Call, Family, Row, over_elements, rows_of
from ..source import Kernel

_OPERATIONS = {"max_pool": "Max", "avg_pool": "Avg"}
_ELEMENTS = {"f32": ("float", 4), "u8": ("uint8_t", 1)}
_WIDTHS = {"f32": (4, 1), "u8": (8, 4, 1)}
"""Neighbouring channels of a thread, which reads and writes them at once."""


def _kernel(row: Row, width: int) -> Kernel:
    operation = f"{_OPERATIONS[row.op]}{row.types.upper()}"
    return Kernel("pool", (("ELEMENT", _ELEMENTS[row.types][0]), ("OP", operation), ("WIDTH", width)))


def _kernels(row: Row) -> list[Kernel]:
    return [_kernel(row, width) for width in _WIDTHS[row.types]]


def _launches(call: Call, device: Device) -> list[Launch]:
    fields, (source, target) = call.fields, call.operands
    images, height, columns, channels = (int(fields[name]) for name in ("images", "oh", "ow", "c"))
    outputs = images * height * columns * channels
    size = _ELEMENTS[call.row.types][1]
    strides = channels | int(fields["src_pixel"]) | int(fields["dst_pixel"])
    enough = 256 * device.multiprocessors
    fitting = [
        width for width in _WIDTHS[call.row.types] if strides % width == 0 and (source | target) % (width * size) == 0
    ]
    width = next((width for width in fitting if outputs >= width * enough), fitting[-1])
    return over_elements(_kernel(call.row, width), call, device, outputs // width)


FAMILY = Family("pool", rows_of("pool"), _kernels, _launches)
