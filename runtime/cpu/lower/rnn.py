"""LSTM and GRU layers whose inputs' products are made: the recurrence, direction by direction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...ir import Node, Value
from ...ops import Array
from ...plan.lowering import At, KernelRow, Lowering, Operand, Param, Rule


def lower_rnn(node: Node, lower: Lowering) -> bool:
    inputs = list(node.inputs) + [None] * (len(node.op.inputs) - len(node.inputs))
    given = {name.rstrip("?"): value for name, value in zip(node.op.inputs, inputs, strict=True)}
    is_integer = node.op.name.startswith("q")
    row = lower.find("rnn", node.op.name, "f32s8f32" if is_integer else "f32")
    x, w_hh, scale, bias = given["x"], given["w_hh"], given.get("scale"), given.get("bias")
    if row is None or x is None or x.dtype != np.float32 or w_hh is None or w_hh.data is None:
        return False
    vectors = {"scale": scale, "bias": bias}
    if any(value is not None and value.data is None for value in vectors.values()):
        return False
    for direction, weight in enumerate(w_hh.data):
        own = {
            name: value.data[direction]
            for name, value in vectors.items()
            if value is not None and value.data is not None
        }
        _lower_direction(node, lower, row, direction, weight, own, given)
    return True


def _lower_direction(
    node: Node,
    lower: Lowering,
    row: KernelRow,
    direction: int,
    weight: Array,
    vectors: Mapping[str, Array],
    given: Mapping[str, Value | None],
) -> None:
    outputs, hidden = weight.shape
    x = given["x"]
    assert x is not None
    first, second, products = x.shape
    batch_first = node.attrs["batch_first"]
    steps, batch = (second, first) if batch_first else (first, second)
    directions = node.outputs[0].shape[2] // hidden
    params: dict[str, Param] = {
        "steps": steps, "rows": batch, "hidden": hidden, "is_reverse": int(node.attrs["reverse"] or direction == 1),
        "linear_before_reset": int(node.attrs.get("linear_before_reset", True)),
        "levels": float(node.attrs.get("levels", 0)),
    }  # fmt: skip
    for name, size in (("x", products), ("y", hidden * directions)):
        inner, outer = size, second * size
        params[f"{name}_step"], params[f"{name}_row"] = (inner, outer) if batch_first else (outer, inner)
    packed = lower.packed(row, {"hidden": hidden}, np.ascontiguousarray(weight))
    operands: dict[str, Operand] = {
        "x": At(x, direction * outputs * 4), "weight": packed, "y": At(node.outputs[0], direction * hidden * 4)
    }  # fmt: skip
    operands |= {name: lower.constant(np.ascontiguousarray(vector)) for name, vector in vectors.items()}
    offset = direction * batch * hidden * 4
    for name, value in zip(("hn", "cn"), node.outputs[1:], strict=False):
        operands[name] = At(value, offset)
    for name in ("h0", "c0"):
        state = given.get(name)
        if state is not None:
            operands[name] = At(state, offset)
    compute = "f32" if weight.dtype == np.float32 else "int8"
    lower.step(node, row, operands, params, macs=steps * batch * outputs * hidden, compute=compute)


RULES: Mapping[str, Rule] = dict.fromkeys(("lstm_scan", "gru_scan", "qlstm_scan", "qgru_scan"), lower_rnn)
