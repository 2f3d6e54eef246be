"""From one dtype to another."""

from __future__ import annotations

import re

from ..axes import Axis, Strided, map_widths, over_axes, vector_of
from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..source import Kernel

_TYPES = {
    "f32": ("float", 4), "f64": ("double", 8), "f16": ("Half", 2), "bf16": ("BHalf", 2), "s64": ("int64_t", 8),
    "s32": ("int32_t", 4), "s16": ("int16_t", 2), "s8": ("int8_t", 1), "u8": ("uint8_t", 1), "b8": ("Bool", 1),
}  # fmt: skip
"""Of the kernels, and bytes of an element."""
_ROWS = rows_of("cast")


def _split(types: str) -> tuple[str, str]:
    """What is read and what is written."""
    x, out = re.findall(r"[a-z]+\d+", types)
    return x, out


def _group(row: Row) -> list[tuple[str, str]]:
    """The maps that share the row's kernel, those to its type: operator and what they read."""
    split = [(op, *_split(types)) for op, types in _ROWS]
    return [(op, x) for op, x, out in split if out == _split(row.types)[1]]


def _kernels(row: Row) -> list[Kernel]:
    maps = "".join(f"MAP({op}, {_TYPES[x][0]})" for op, x in _group(row))
    return [Kernel("cast_map", (("TO", _TYPES[_split(row.types)[1]][0]), ("MAPS", maps)))]


def _launches(call: Call, device: Device) -> list[Launch]:
    (kernel,) = _kernels(call.row)
    types = _split(call.row.types)
    sizes = [_TYPES[name][1] for name in types]
    axes = [Axis(int(call.fields["n"]), (1,))]
    operands = [Strided(name, at, size, 0) for name, at, size in zip(("x", "out"), call.operands, sizes, strict=True)]
    vector = vector_of(axes, operands, map_widths(16 // max(sizes)))
    return over_axes(kernel, device, axes, operands, vector, map=_group(call.row).index((call.row.op, types[0])))


FAMILY = Family("cast", _ROWS, _kernels, _launches)
