"""Reductions along an axis, and running sums."""

from __future__ import annotations

from ..device import Device, Launch
from ..family import BLOCKS_A_MULTIPROCESSOR, Call, Family, Row, over_elements, rows_of
from ..reductions import COLUMN_WIDTHS, over_columns, over_long_rows, over_rows
from ..source import Kernel

_OPERATIONS = {"sum": "Sum", "mean": "Sum", "prod": "Product", "amax": "Maximum", "amin": "Minimum", "any": "Any",
               "all": "All"}  # fmt: skip
_TYPES = {"f32": "float", "s64": "int64_t", "s32": "int32_t", "b8": "uint8_t"}
_LONGEST_ROW = 2048
"""Elements of a row that a warp reduces alone."""
_LINE_THREADS, _LINE_BYTES = 256, 16
"""Of a block that reduces lines in any order, and at most of what one thread keeps in shared memory."""
_SCAN_ROWS, _SCAN_PITCH = 32, 65


def _types(row: Row) -> tuple[tuple[str, str], tuple[str, str]]:
    source = next(name for name in _TYPES if row.types.startswith(name))
    return ("INPUT", _TYPES[source]), ("OUTPUT", _TYPES[row.types.removeprefix(source)])


def _canonical(row: Row, layout: str, *more: tuple[str, int]) -> Kernel:
    return Kernel(f"reduce_{layout}", (*_types(row), ("OP", _OPERATIONS[row.op]), *more))


def _of_lines(row: Row) -> Kernel:
    if row.op in ("argmax", "argmin"):
        return Kernel("reduce_position", (*_types(row), ("IS_MAXIMUM", int(row.op == "argmax"))))
    return _canonical(row, "exact")


def _kernels(row: Row) -> list[Kernel]:
    if row.op == "cumsum":
        return [Kernel(f"reduce_scan_{layout}", _types(row)) for layout in ("rows", "columns")]
    if row.types != "f32f32":
        return [_of_lines(row)]
    columns = [_canonical(row, "columns", ("COLUMNS", width)) for width in COLUMN_WIDTHS]
    return [_canonical(row, "rows"), _canonical(row, "long_rows"), *columns]


def _launches(call: Call, device: Device) -> list[Launch]:
    row = call.row
    outer, n, inner = (int(call.fields[name]) for name in ("outer", "n", "inner"))
    if row.op == "cumsum":
        return _scan(call, device, outer, n, inner)
    if row.types != "f32f32":
        return _over_lines(call, device, outer * inner, n, inner == 1)
    is_mean = int(row.op == "mean")
    if inner != 1:
        return over_columns(
            lambda width: _canonical(row, "columns", ("COLUMNS", width)),
            outer * inner, n, device, call.argument(is_mean),
        )  # fmt: skip
    if n <= _LONGEST_ROW:
        return over_rows(_canonical(row, "rows"), outer, device, call.argument(is_mean))
    argument = call.argument(is_mean)
    return over_long_rows(_canonical(row, "long_rows"), outer, n, device, lambda room: argument, passes=1)


def _scan(call: Call, device: Device, outer: int, n: int, inner: int) -> list[Launch]:
    if outer * n * inner == 0:
        return []
    rows, columns = _kernels(call.row)
    if inner != 1:
        return over_elements(columns, call, device, outer * inner, argument=call.argument(0))
    blocks = min(-(-outer // _SCAN_ROWS), BLOCKS_A_MULTIPROCESSOR * device.multiprocessors)
    tile_bytes = _SCAN_ROWS * _SCAN_PITCH * (8 if "s64" in call.row.types else 4)
    return [Launch(rows, (blocks, 1, 1), 256, tile_bytes, call.argument(0))]


def _over_lines(call: Call, device: Device, lines: int, n: int, are_rows: bool) -> list[Launch]:
    """As many threads a line, a power of two, as have some elements each, but of columns no more than fill the device:
    then neighbouring threads read what lies side by side."""
    if lines <= 0:
        return []
    wanted = min(_LINE_THREADS, n // 8)
    if not are_rows:
        wanted = min(wanted, 32, 512 * device.multiprocessors // lines)
    bits = max(wanted, 1).bit_length() - 1
    blocks = -(-lines * 2**bits // _LINE_THREADS)
    argument = call.argument(bits)
    return [Launch(_of_lines(call.row), (blocks, 1, 1), _LINE_THREADS, _LINE_THREADS * _LINE_BYTES, argument)]


FAMILY = Family("reduce", rows_of("reduce"), _kernels, _launches)
