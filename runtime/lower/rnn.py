"""LSTM and GRU layers, and recurrences whose inputs' products are made, direction by direction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..ir import Lazy, Node, Value
from ..ops import Array
from ..plan.lowering import At, KernelRow, Lowering, Operand, Param, Recurrence, Rule
from ..types import DimLike, floordiv

_WEIGHTS: Mapping[str, str] = {"w_ih": "input_weight", "w_hh": "weight"}
"""The kernel's names of an operator's weights."""


def lower_rnn(node: Node, lower: Lowering) -> bool:
    inputs = list(node.inputs) + [None] * (len(node.op.inputs) - len(node.inputs))
    given = {name.rstrip("?"): value for name, value in zip(node.op.inputs, inputs, strict=True)}
    is_integer = node.op.name.startswith("q")
    row = lower.find("rnn", node.op.name, "f32s8f32" if is_integer else "f32")
    x = given["x"]
    if row is None or x is None or x.dtype != np.float32 or x.shape[2] == 0:
        return False
    values = {name: value for name, value in given.items() if name not in ("x", "h0", "c0") and value is not None}
    if not all(value.is_constant for value in values.values()):
        return False
    weights = {
        _WEIGHTS[name]: value.stored for name, value in values.items() if name in _WEIGHTS and value.stored is not None
    }
    vectors = _vectors(
        node.op.name,
        {name: value.data for name, value in values.items() if name not in _WEIGHTS and value.data is not None},
    )
    for direction in range(values["w_hh"].shape[0]):
        own_weights = {name: stored[direction] for name, stored in weights.items()}
        own_vectors = {name: np.ascontiguousarray(array[direction]) for name, array in vectors.items()}
        _lower_direction(node, lower, row, direction, own_weights, own_vectors, given)
    return True


def _vectors(op: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The kernel's constant vectors, of all directions. A layer's biases join where the arithmetic allows it: that of
    the state's product in a GRU's last gate stays, the reset gate multiplies it."""
    constants = {name: arrays[name] for name in ("scale", "bias") if name in arrays}
    b_ih, b_hh = arrays.get("b_ih"), arrays.get("b_hh")
    if b_hh is not None and op == "gru":
        shared = b_hh.shape[1] // 3 * 2
        constants["bias"] = b_hh[:, shared:]
        b_hh = np.concatenate([b_hh[:, :shared], np.zeros_like(b_hh[:, shared:])], axis=1)
    biases = [bias for bias in (b_ih, b_hh) if bias is not None]
    if biases:
        constants["input_bias"] = sum(biases[1:], start=biases[0])
    return constants


def _lower_direction(
    node: Node,
    lower: Lowering,
    row: KernelRow,
    direction: int,
    weights: Mapping[str, Array | Lazy],
    vectors: Mapping[str, Array],
    given: Mapping[str, Value | None],
) -> None:
    weight = weights["weight"]
    outputs, hidden = weight.shape
    x = given["x"]
    assert x is not None
    first, second, width = x.shape
    batch_first = node.attrs["batch_first"]
    steps, batch = (second, first) if batch_first else (first, second)
    directions = node.outputs[0].shape[2] // hidden
    is_layer = "input_weight" in weights
    inputs = width if is_layer else 0
    params: dict[str, Param] = {
        "steps": steps, "rows": batch, "hidden": hidden, "is_reverse": int(node.attrs["reverse"] or direction == 1),
        "linear_before_reset": int(node.attrs.get("linear_before_reset", True)), "inputs": inputs,
        "levels": float(node.attrs.get("levels", 0)),
    }  # fmt: skip
    pitches: dict[str, DimLike] = {}
    for name, size in (("x", width), ("y", hidden * directions)):
        step, one = (size, second * size) if batch_first else (second * size, size)
        params |= {f"{name}_step": step, f"{name}_row": one}
        pitches[name] = step * 4
    y = node.outputs[0]
    operands: dict[str, Operand] = {
        "x": x if is_layer else At(x, direction * outputs * 4), "y": At(y, direction * hidden * 4)
    }  # fmt: skip
    for name, stored in weights.items():
        depth = {"inputs": inputs} if name == "input_weight" else {}
        operands[name] = lower.packed(row, {"hidden": hidden, **depth}, stored)
    operands |= {name: lower.constant(array) for name, array in vectors.items()}
    offset = direction * batch * hidden * 4
    for name, value in zip(("hn", "cn"), node.outputs[1:], strict=False):
        operands[name] = At(value, offset)
    for name in ("h0", "c0"):
        state = given.get(name)
        if state is not None:
            operands[name] = At(state, offset)
    time = None
    if is_layer and directions == 1 and row.mr:
        states = {name: last for name, last in (("h0", "hn"), ("c0", "cn")) if name in operands}
        tasks = floordiv(batch + row.mr - 1, row.mr)
        time = Recurrence(steps, tasks, bool(params["is_reverse"]), pitches, states)
    compute = "f32" if weight.dtype == np.float32 else "int8"
    macs = steps * batch * outputs * (hidden + inputs)
    lower.step(node, row, operands, params, macs=macs, compute=compute, time=time)


RULES: Mapping[str, Rule] = dict.fromkeys(
    ("lstm", "gru", "lstm_scan", "gru_scan", "qlstm_scan", "qgru_scan"), lower_rnn
)
