"""Functions of two operands, element by element."""

from __future__ import annotations

from ..axes import Strided, broadcast, map_widths, over_axes, vector_of
from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..source import Kernel

_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_REMAINDERS = ("fmod", "remainder", "floor_divide")
_FLOAT = ("add", "sub", "mul", "div", "maximum", "minimum", "prelu")
_INTEGER = ("add", "sub", "mul", "div", "maximum", "minimum", *_REMAINDERS)
_LOGIC = ("eq", "ne", "logical_and", "logical_or", "logical_xor")

_GROUPS = {
    "f32f32f32": (_FLOAT, ("pow",), _REMAINDERS),
    "f32f32b8": (_COMPARISONS,),
    "s64s64s64": (_INTEGER,),
    "s64s64b8": (_COMPARISONS,),
    "s32s32s32": (_INTEGER,),
    "s32s32b8": (_COMPARISONS,),
    "b8b8b8": (_LOGIC,),
}
"""Functions that share a kernel, by types: which of them is nothing beside the loads, unless its code is long."""
_READ = {"f32": ("float", 4), "s64": ("int64_t", 8), "s32": ("int32_t", 4), "b8": ("bool", 1)}


def _group(row: Row) -> tuple[str, ...]:
    return next(group for group in _GROUPS[row.types] if row.op in group)


def _read(row: Row) -> str:
    return next(name for name in _READ if row.types.startswith(name))


def _widest(row: Row) -> int:
    """Elements of a thread. Float remainders, much code each, are more work than their loads."""
    return 1 if row.types == "f32f32f32" and row.op in _REMAINDERS else 16 // _READ[_read(row)][1]


def _kernels(row: Row) -> list[Kernel]:
    group, read = _group(row), _READ[_read(row)][0]
    defines: dict[str, int | str] = {
        "OPS": "".join(f"OP({op})" for op in group),
        "OPERAND": read,
        "RESULT": "uint8_t" if row.types.endswith("b8") else read,
        "WIDEST": _widest(row),
        "IS_FLOAT": int(read == "float" and group is not _REMAINDERS),
    }
    return [Kernel("binary_map", tuple(defines.items()))]


def _launches(call: Call, device: Device) -> list[Launch]:
    (kernel,) = _kernels(call.row)
    read = _READ[_read(call.row)][1]
    a, b, out = call.operands
    axes = broadcast(call, "a_strides", "b_strides")
    operands = [
        Strided("a", a, read, 0),
        Strided("b", b, read, 1),
        Strided("out", out, 1 if call.row.types.endswith("b8") else read, 2),
    ]
    vector = vector_of(axes, operands, map_widths(_widest(call.row)))
    return over_axes(kernel, device, axes, operands, vector, op=_group(call.row).index(call.row.op))


FAMILY = Family("binary", rows_of("binary"), _kernels, _launches)
