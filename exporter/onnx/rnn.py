"""Recurrent layers: ONNX's gate order and axes in terms of PyTorch's."""

from __future__ import annotations

from typing import Any

from rushlight.exporter.emitter import Emitter, Term
from rushlight.exporter.onnx.model import OnnxNode
from rushlight.runtime.errors import ShapeError, UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import DimLike

_DIRECTIONS = {"forward": (1, False), "reverse": (1, True), "bidirectional": (2, False)}


def LSTM(b: Emitter, n: OnnxNode) -> Any:
    if n.attr("input_forget", 0) or n.optional(7) is not None:
        raise UnsupportedError("with peepholes or coupled gates")
    return _recurrent(b, n, "lstm", (0, 2, 3, 1), ("sigmoid", "tanh", "tanh"))


def GRU(b: Emitter, n: OnnxNode) -> Any:
    return _recurrent(b, n, "gru", (1, 0, 2), ("sigmoid", "tanh"))


def _recurrent(
    b: Emitter, n: OnnxNode, op: str, gates: tuple[int, ...], functions: tuple[str, ...]
) -> tuple[Value, ...]:
    """`gates`: for each of PyTorch's gates its place in ONNX's order."""
    directions, reverse = _DIRECTIONS[n.attr("direction", "forward")]
    hidden = n.attr("hidden_size")
    given = [name.lower() for name in n.attr("activations", functions * directions)]
    if given != list(functions * directions):
        raise UnsupportedError(f"activations {', '.join(given)}")
    if n.attr("clip") is not None:
        raise UnsupportedError("with clip")
    x = b.constant(n.input(0))
    if n.attr("layout", 0):
        x = b.permute(x, (1, 0, 2))
    if n.optional(4) is not None:
        _check_lengths(b, n.input(4), x.shape[0])
    batch = x.shape[1]
    w_ih, w_hh = (_reorder(b, b.constant(n.input(i)), gates, hidden) for i in (1, 2))
    biases: list[Value | None] = [None, None]
    if n.optional(3) is not None:
        both = b.constant(n.input(3))
        rows = len(gates) * hidden
        biases = [_reorder(b, _part(b, both, at, at + rows), gates, hidden) for at in (0, rows)]
    states = []
    for index in (5, 6) if op == "lstm" else (5,):
        term = n.optional(index)
        if term is None:
            states.append(b.full(shape=(directions, batch, hidden), value=0.0, dtype=x.dtype.name))
            continue
        state = b.constant(term)
        if n.attr("layout", 0):
            state = b.permute(state, (1, 0, 2))
        if state.type.rank != 3 or x.type.rank != 3:
            raise ShapeError(f"x {x.type} and state {state.type} must have 3 axes")
        for have, wanted in zip(state.shape, (directions, batch, hidden), strict=True):
            b.unify(wanted, have)
        states.append(state)
    attrs: dict[str, Any] = {"bidirectional": directions == 2, "reverse": reverse}
    if op == "gru":
        attrs["linear_before_reset"] = bool(n.attr("linear_before_reset", 0))
    y, *last = b.add_node(op, [x, *states, w_ih, w_hh, *biases], attrs)
    apart = b.reshape(y, (y.shape[0], batch, directions, hidden))
    if n.attr("layout", 0):
        return (b.permute(apart, (1, 0, 2, 3)), *(b.permute(state, (1, 0, 2)) for state in last))
    return (b.permute(apart, (0, 2, 1, 3)), *last)


def _check_lengths(b: Emitter, term: Term, steps: DimLike) -> None:
    lengths = b.elements(term)
    if lengths is None or any(length != steps for length in lengths.reshape(-1)):
        raise UnsupportedError("with sequences of several lengths")


def _part(b: Emitter, x: Value, start: int, end: int) -> Value:
    out: Value = b.slice(x, axes=[1], starts=[start], ends=[end], steps=[1])
    return out


def _reorder(b: Emitter, x: Value, gates: tuple[int, ...], hidden: int) -> Value:
    parts = [_part(b, x, gate * hidden, (gate + 1) * hidden) for gate in gates]
    out: Value = b.concat(*parts, dim=1)
    return out
