"""Resampling of images: a first kernel finds where rows and columns take their values, a second one takes them."""

from __future__ import annotations

from ..device import ALIGNMENT, Device, Launch
from ..family import Call, Family, Row, over_elements, rows_of
from ..source import Kernel

_TAPS = {"nearest": 1, "linear": 2, "cubic": 4}
_PLACE_BYTES = {"nearest": 8, "linear": 24, "cubic": 48}
"""Of int64_t, Taps<2> and Taps<4>."""
_WIDTHS = {"f32": (4, 1), "x8": (16, 4, 1)}
"""Neighbouring elements of a pixel that a thread writes at once."""


def _types(row: Row) -> tuple[tuple[str, int | str], ...]:
    return ("ELEMENT", "float" if row.types == "f32" else "uint8_t"), ("TAPS", _TAPS[row.op])


def _taps(row: Row) -> Kernel:
    return Kernel("resize_taps", _types(row))


def _kernel(row: Row, width: int) -> Kernel:
    name = "resize_nearest" if row.op == "nearest" else "resize_interpolate"
    return Kernel(name, (*_types(row), ("WIDTH", width)))


def _kernels(row: Row) -> list[Kernel]:
    return [_taps(row), *(_kernel(row, width) for width in _WIDTHS[row.types])]


def _row_bytes(call: Call) -> int:
    """Of the places of rows; those of columns lie behind."""
    return -(-int(call.fields["oh"]) * _PLACE_BYTES[call.row.op] // ALIGNMENT) * ALIGNMENT


def _scratch_bytes(call: Call, device: Device) -> int:
    return _row_bytes(call) + int(call.fields["ow"]) * _PLACE_BYTES[call.row.op]


def _launches(call: Call, device: Device) -> list[Launch]:
    fields, (source, target) = call.fields, call.operands
    images, height, columns, channels = (int(fields[name]) for name in ("images", "oh", "ow", "c"))
    outputs = images * height * columns * channels
    if outputs == 0:
        return []
    places = [call.scratch, call.scratch + _row_bytes(call)]
    find = Call(call.row, call.params, places)
    size = 4 if call.row.types == "f32" else 1
    width = next(
        width for width in _WIDTHS[call.row.types] if channels % width == 0 and (source | target) % (width * size) == 0
    )
    argument = call.argument(*places)
    return [
        *over_elements(_taps(call.row), find, device, height + columns),
        *over_elements(_kernel(call.row, width), call, device, outputs // width, argument=argument),
    ]


FAMILY = Family("resize", rows_of("resize"), _kernels, _launches, _scratch_bytes)
