"""Recurrent layers, stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rushlight.exporter.emitter import Emitter
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value


def lstm(
    b: Emitter,
    x: Value,
    states: Any,
    weights: Sequence[Value],
    has_biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    if not isinstance(states, (list, tuple)):
        raise UnsupportedError("of packed sequences")
    return _stack(b, "lstm", x, states, weights, has_biases, layers, train and dropout > 0, bidirectional, batch_first)


def gru(
    b: Emitter,
    x: Value,
    state: Any,
    weights: Any,
    has_biases: bool,
    layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    if isinstance(weights, Value):
        raise UnsupportedError("of packed sequences")
    return _stack(b, "gru", x, [state], weights, has_biases, layers, train and dropout > 0, bidirectional, batch_first)


def _stack(
    b: Emitter,
    op: str,
    x: Value,
    states: Sequence[Value],
    weights: Sequence[Value],
    has_biases: bool,
    layers: int,
    is_training: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    if is_training:
        raise UnsupportedError("in training mode")
    directions, parts = (2 if bidirectional else 1), (4 if has_biases else 2)
    if len(weights) != layers * directions * parts:
        raise UnsupportedError("with projections")
    finals: list[list[Value]] = [[] for _ in states]
    for layer in range(layers):
        at = layer * directions
        own = [_rows(b, state, at, directions) for state in states]
        joined = []
        for part in range(parts):
            each = [weights[(at + direction) * parts + part] for direction in range(directions)]
            stacked = [b.reshape(w, (1, *w.shape)) for w in each]
            joined.append(stacked[0] if directions == 1 else b.concat(*stacked, dim=0))
        attrs = {"batch_first": batch_first, "bidirectional": bidirectional}
        x, *last = b.add_node(op, [x, *own, *joined], attrs)
        for store, value in zip(finals, last, strict=True):
            store.append(value)
    ends = [values[0] if layers == 1 else b.concat(*values, dim=0) for values in finals]
    return (x, *ends)


def _rows(b: Emitter, state: Value, start: int, count: int) -> Value:
    if state.shape[0] == count:
        return state
    return b.slice(state, axes=[0], starts=[start], ends=[start + count], steps=[1])  # type: ignore[no-any-return]
