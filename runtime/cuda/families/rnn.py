"""LSTM and GRU layers, and recurrences whose inputs' products are made."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...cpu.params import pack_params
from ...errors import UnsupportedError
from ...lower.gemm import NEUTRAL
from ...ops import Array
from .. import float_products
from ..device import ALIGNMENT, Device, Launch
from ..family import Call, Family, Row, over_elements, rows_of
from ..geometry import checked
from ..packed import FloatLayout, RecurrentLayout
from ..source import Kernel
from ..tiles import ceil_div

_PRODUCTS = Row("gemm", "gemm", "f32f32f32")
_PRODUCTS_BYTES = 64 << 20
"""The products of a layer's inputs are made for as many steps at once as fit here, one at least."""
_ROWS = (1, 4)
"""Of the batch, of a warp: one where rows are few."""
_UNITS = 8
"""Hidden units of a warp."""
_ROWS_THREADS, _STEP_THREADS = 512, 128
_CACHED_BYTES = 1 << 18
"""Of weights that the caches of one multiprocessor hold, about: beyond, the whole device shares in every step."""
_MOST_STEPS = 1 << 12
"""That are launches of their own where one multiprocessor can do without help: beyond, they cost too much."""
_LARGE_BYTES = 8 * _CACHED_BYTES
"""Of weights that always take the whole device."""
_MOST_LAUNCHES = 1 << 17
"""Of a call."""
_WHOLE, _RESET_AND_UPDATE, _NEW = range(3)
"""Phases of a step (rnn.cuh)."""


def _gates(row: Row) -> int:
    return 4 if "lstm" in row.op else 3


def _is_integer(row: Row) -> bool:
    return row.op.startswith("q")


def _is_layer(row: Row) -> bool:
    return not row.op.endswith("_scan")


def _kernel(name: str, row: Row, rows: int) -> Kernel:
    defines = (("GATES", _gates(row)), ("WEIGHT", 8 if _is_integer(row) else 32), ("ROWS", rows))
    return Kernel(f"rnn_{name}", defines)


def _kernels(row: Row) -> list[Kernel]:
    own = [_kernel(name, row, rows) for name in ("rows", "step") for rows in _ROWS]
    products = float_products.kernels(_PRODUCTS) if _is_layer(row) else []
    return [*own, _kernel("start", row, _ROWS[0]), *products]


def _state_bytes(row: Row, rows: int, hidden: int) -> int:
    """Of States (rnn.cuh)."""
    numbers = rows * ceil_div(hidden, 16) * 16
    is_gru = _gates(row) == 3
    if _is_integer(row):
        return numbers * (4 + 4 + 2 + 2 + (4 + 2) * is_gru)
    return numbers * (4 + 4 + (4 + 4) * is_gru)


def _chunk(call: Call) -> int:
    """Steps whose inputs are multiplied together."""
    fields = call.fields
    a_step = int(fields["rows"] * fields["hidden"]) * _gates(call.row) * 4
    return max(1, min(int(fields["steps"]), _PRODUCTS_BYTES // max(1, a_step)))


def _scratch(call: Call) -> tuple[int, int]:
    """Bytes of all rows' states, and of the inputs' products behind them."""
    fields = call.fields
    rows, hidden = int(fields["rows"]), int(fields["hidden"])
    states = ceil_div(_state_bytes(call.row, rows, hidden), ALIGNMENT) * ALIGNMENT
    products = _chunk(call) * rows * hidden * _gates(call.row) * 4 if _is_layer(call.row) else 0
    return states, products


def _multiply_inputs(call: Call, device: Device, first: int, last: int, out: int) -> list[Launch]:
    """Products of the inputs of times `first` up to `last`, dense."""
    fields = call.fields
    x, weight, bias = call.operands[:3]
    columns = int(fields["hidden"]) * _gates(call.row)
    params: dict[str, Any] = {
        "images": last - first, "ow": fields["rows"], "iw": fields["rows"], "n": columns, "k": fields["inputs"],
        "src_image": fields["x_step"], "src_pixel": fields["x_row"], "dst_row": columns,
        "activation": 0, "alpha": 0.0, "beta": 0.0,
    }  # fmt: skip
    operands = [x + first * int(fields["x_step"]) * 4, weight, bias, 0, 0, out]
    product = Call(_PRODUCTS, pack_params("gemm", **{**NEUTRAL, **params}), operands)
    return float_products.launches(product, device)


def _group(rows: int, device: Device) -> int:
    """Rows of a warp."""
    return _ROWS[0] if rows < _ROWS[-1] * device.multiprocessors else _ROWS[-1]


def _recurrences(call: Call, device: Device, by_steps: bool) -> list[Launch]:
    """All steps: by blocks that each go through time with some rows, or by the whole device, launch by launch. Raises
    UnsupportedError where those are too many."""
    fields, row = call.fields, call.row
    steps, rows, hidden = (int(fields[name]) for name in ("steps", "rows", "hidden"))
    if rows * hidden == 0:
        return []
    x, _, _, weight, scale, bias, h, c, y, hn, cn = call.operands
    own: dict[str, Any] = {name: fields[name] for name in fields.dtype.names}
    common: dict[str, Any] = {
        "x": x, "weight": weight, "scale": scale, "bias": bias, "h": h, "c": c, "y": y, "hn": hn, "cn": cn,
        "states": call.scratch, "x_time": 0, "phase": _WHOLE,
    }  # fmt: skip
    group = _group(rows, device)
    groups, parts = ceil_div(rows, group), ceil_div(hidden, _UNITS)
    phases = [_WHOLE] if _gates(row) == 4 or fields["linear_before_reset"] else [_RESET_AND_UPDATE, _NEW]
    launches: list[Launch] = []
    if by_steps:
        if steps * len(phases) > _MOST_LAUNCHES:
            raise UnsupportedError(f"{row.op}: {steps} steps of {hidden} hidden units are too many for a GPU")
        start = _kernel("start", row, _ROWS[0])
        argument = start.pack(**common, first=0, last=steps, p=own)
        launches += over_elements(start, call, device, rows * ceil_div(hidden, 16) * 16, argument=argument)
    chunk = _chunk(call) if _is_layer(row) else max(1, steps)
    for first in range(0, max(1, steps), chunk):
        last = min(first + chunk, steps)
        if _is_layer(row):
            begin, end = (steps - last, steps - first) if fields["is_reverse"] else (first, last)
            products = call.scratch + _scratch(call)[0]
            launches += _multiply_inputs(call, device, begin, end, products)
            columns = hidden * _gates(row)
            common |= {"x": products, "x_time": begin}
            own |= {"x_step": rows * columns, "x_row": columns}
        if by_steps:
            step_kernel = _kernel("step", row, group)
            threads = _STEP_THREADS if groups * parts >= 4 * device.multiprocessors else 32
            blocks = checked(ceil_div(groups * parts * 32, threads), "blocks")
            argument = step_kernel.pack(**common, first=0, last=steps, p=own)
            for step in range(first, last):
                for phase in phases:
                    argument = argument.copy()
                    argument["first"], argument["phase"] = step, phase
                    launches.append(Launch(step_kernel, (blocks, 1, 1), threads, 0, argument))
        else:
            rows_kernel = _kernel("rows", row, group)
            argument = rows_kernel.pack(**common, first=first, last=last, p=own)
            threads = min(_ROWS_THREADS, parts * 32)
            shared_bytes = _state_bytes(row, group, hidden)
            launches.append(Launch(rows_kernel, (checked(groups, "blocks"), 1, 1), threads, shared_bytes, argument))
            common |= {"h": hn, "c": cn}  # where the next chunk begins
    return launches


def _ways(call: Call, device: Device) -> list[list[Launch]]:
    fields = call.fields
    steps, rows, hidden = (int(fields[name]) for name in ("steps", "rows", "hidden"))
    weight_bytes = _layout(call.row, fields).size
    if _state_bytes(call.row, _group(rows, device), hidden) > device.shared_bytes:
        return [_recurrences(call, device, True)]
    by_rows = _recurrences(call, device, False)
    most = _MOST_STEPS if weight_bytes <= _LARGE_BYTES else _MOST_LAUNCHES // 2
    if not by_rows or not 0 < steps <= most:
        return [by_rows]
    by_steps = _recurrences(call, device, True)
    return [by_rows, by_steps] if weight_bytes <= _CACHED_BYTES else [by_steps, by_rows]


def _launches(call: Call, device: Device) -> list[Launch]:
    return _ways(call, device)[0]


def _layout(row: Row, fields: Any) -> RecurrentLayout:
    dtype = np.dtype(np.int8 if _is_integer(row) else np.float32)
    return RecurrentLayout(_gates(row), int(fields["hidden"]), dtype)


def _packing(row: Row, fields: Any) -> RecurrentLayout | FloatLayout:
    """Of the inputs' weights where `inputs` is given, else of the state's."""
    if not fields["inputs"]:
        return _layout(row, fields)
    return FloatLayout(1, _gates(row) * int(fields["hidden"]), int(fields["inputs"]), np.dtype(np.float32))


def _packed_bytes(row: Row, fields: Any) -> int:
    return _packing(row, fields).size


def _pack(row: Row, fields: Any, src: Array, out: Array) -> None:
    layout = _packing(row, fields)
    if isinstance(layout, RecurrentLayout):
        layout.pack(src, out)
    else:
        rows = {"n": layout.n, "k": layout.depth, "kh": 1, "kw": 1, "weights": 1, "weight_is_kn": 0}
        layout.pack(rows, src, out)


FAMILY = Family(
    "rnn", rows_of("rnn"), _kernels, _launches, lambda call, device: sum(_scratch(call)), _packed_bytes, _pack, _ways
)
