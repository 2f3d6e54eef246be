"""Functions of single floats."""

from __future__ import annotations

from ..device import Device, Launch
from ..family import Call, Family, over_elements, rows_of
from ..source import Kernel

_ELEMENTS = 4
"""Of a thread, where 16 bytes are read at once."""


def _launches(call: Call, device: Device) -> list[Launch]:
    kernel = Kernel("unary", (("FUNCTION", call.row.op),))
    return over_elements(kernel, call, device, -(-int(call.fields["n"]) // _ELEMENTS))


FAMILY = Family("unary", rows_of("unary"), _launches)
