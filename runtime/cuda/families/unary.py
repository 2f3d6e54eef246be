"""Functions of single floats."""

from __future__ import annotations

from ..device import Device, Launch
from ..family import Call, Family, Row, over_elements, rows_of
from ..source import Kernel

_ELEMENTS = 4
"""Of a thread, where 16 bytes are read at once."""


def _kernels(row: Row) -> list[Kernel]:
    return [Kernel("unary", (("FUNCTION", row.op),))]


def _launches(call: Call, device: Device) -> list[Launch]:
    (kernel,) = _kernels(call.row)
    return over_elements(kernel, call, device, -(-int(call.fields["n"]) // _ELEMENTS))


FAMILY = Family("unary", rows_of("unary"), _kernels, _launches)
