"""LSTM and GRU layers: the products of all inputs at once, then the recurrence, direction by direction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...ir import Node, Value
from ...ops import Array
from ...plan.lowering import At, KernelRow, Lowering, Operand, Param, Rule, Temporary
from ...types import DimLike
from ..activation import activation_params
from .gemm import NEUTRAL


def _constant(value: Value | None) -> Array | None:
    return None if value is None else value.data


def lower_rnn(node: Node, lower: Lowering) -> bool:
    inputs = list(node.inputs) + [None] * (len(node.op.inputs) - len(node.inputs))
    given = {name.rstrip("?"): value for name, value in zip(node.op.inputs, inputs, strict=True)}
    x = given["x"]
    assert x is not None
    row, gemm = lower.find("rnn", node.op.name, "f32"), lower.find("gemm", "gemm", "f32f32f32")
    w_ih, w_hh, b_ih, b_hh = (given[name] for name in ("w_ih", "w_hh", "b_ih", "b_hh"))
    constants = all(value is None or value.data is not None for value in (w_ih, w_hh, b_ih, b_hh))
    if row is None or gemm is None or x.dtype != np.float32 or not constants:
        return False
    weights, recurrent = _constant(w_ih), _constant(w_hh)
    assert weights is not None
    assert recurrent is not None
    for direction in range(len(weights)):
        biases = [None if bias is None or bias.data is None else bias.data[direction] for bias in (b_ih, b_hh)]
        _lower_direction(node, lower, (row, gemm), direction, (weights[direction], recurrent[direction]), biases, given)
    return True


def _lower_direction(
    node: Node,
    lower: Lowering,
    rows: tuple[KernelRow, KernelRow],
    direction: int,
    weights: tuple[Array, Array],
    biases: list[Array | None],
    given: Mapping[str, Value | None],
) -> None:
    row, gemm = rows
    w_ih, w_hh = weights
    outputs, hidden = w_hh.shape
    x = given["x"]
    assert x is not None
    first, second, _ = x.shape
    gates = lower.temporary(first * second * outputs * 4)
    bias, state_bias = _split_biases(node.op.name, biases, outputs, hidden)
    _multiply_inputs(node, lower, gemm, x, gates, w_ih, bias)

    batch_first = node.attrs["batch_first"]
    steps, batch = (second, first) if batch_first else (first, second)
    directions = node.outputs[0].shape[2] // hidden
    params: dict[str, Param] = {
        "steps": steps, "rows": batch, "hidden": hidden, "is_reverse": int(node.attrs["reverse"] or direction == 1),
        "linear_before_reset": int(node.attrs.get("linear_before_reset", True)),
    }  # fmt: skip
    for name, size in (("x", outputs), ("y", hidden * directions)):
        inner, outer = size, second * size
        params[f"{name}_step"], params[f"{name}_row"] = (inner, outer) if batch_first else (outer, inner)
    packed = lower.packed(row, {"hidden": hidden}, np.ascontiguousarray(w_hh))
    operands: dict[str, Operand] = {"x": gates, "weight": packed, "y": At(node.outputs[0], direction * hidden * 4)}
    if state_bias is not None:
        operands["bias"] = lower.constant(state_bias)
    offset = direction * batch * hidden * 4
    for name, value in zip(("hn", "cn"), node.outputs[1:], strict=False):
        operands[name] = At(value, offset)
    for name in ("h0", "c0"):
        state = given.get(name)
        if state is not None:
            operands[name] = At(state, offset)
    lower.step(node, row, operands, params, macs=steps * batch * outputs * hidden, compute="f32")


def _split_biases(op: str, biases: list[Array | None], outputs: int, hidden: int) -> tuple[Array, Array | None]:
    """What the products of the inputs start from, and what a GRU's product of the state starts from."""
    b_ih, b_hh = (np.zeros(outputs, np.float32) if bias is None else bias for bias in biases)
    if op == "lstm":
        return b_ih + b_hh, None
    gates = 2 * hidden
    return np.concatenate([b_ih[:gates] + b_hh[:gates], b_ih[gates:]]), b_hh[gates:]


def _multiply_inputs(
    node: Node, lower: Lowering, row: KernelRow, x: Value, gates: Temporary, weight: Array, bias: Array
) -> None:
    n, k = weight.shape
    m: DimLike = x.shape[0] * x.shape[1]
    static = {**NEUTRAL, "n": n, "k": k}
    params = {
        **static, "images": m, "src_image": k, "dst_row": n, **activation_params({"activation": "none"}),
    }  # fmt: skip
    packed = lower.packed(row, static, np.ascontiguousarray(weight))
    operands: dict[str, Operand] = {"src": x, "weight": packed, "bias": lower.constant(bias), "dst": gates}
    lower.step(node, row, operands, params, macs=m * n * k, compute="f32")


RULES: Mapping[str, Rule] = {"lstm": lower_rnn, "gru": lower_rnn}
