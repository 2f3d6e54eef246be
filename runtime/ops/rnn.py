"""Recurrent layers: one layer, one or both directions. Gates are ordered as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .opdef import Array, Attr, Case, define, get
from .samples import sample
from .shapes import FLOAT, check_kind, check_same_dtype

_ATTRS = {
    "batch_first": Attr("bool", False, "x and y are [N, T, ...] instead of [T, N, ...]"),
    "bidirectional": Attr("bool", False),
    "reverse": Attr("bool", False, "the only direction runs from the last step to the first"),
}


def _sigmoid(x: Array) -> Array:
    return get("sigmoid").run_reference([x], {})[0]


def _infer(
    gates: int,
    x: TensorType,
    states: dict[str, TensorType],
    weights: tuple[TensorType, TensorType],
    biases: dict[str, TensorType | None],
    batch_first: bool,
    bidirectional: bool,
    reverse: bool,
) -> TensorType:
    """Checks all operands; the type of y."""
    check_kind("x", x, FLOAT)
    directions = 2 if bidirectional else 1
    if bidirectional and reverse:
        raise ShapeError("bidirectional and reverse exclude each other")
    w_ih, w_hh = weights
    if x.rank != 3 or w_ih.rank != 3 or w_hh.rank != 3:
        raise ShapeError(f"x {x}, w_ih {w_ih} and w_hh {w_hh} must have 3 dimensions")
    hidden = w_hh.shape[2]
    batch = x.shape[0 if batch_first else 1]
    expected = {
        "w_ih": (w_ih, (directions, hidden * gates, x.shape[2])),
        "w_hh": (w_hh, (directions, hidden * gates, hidden)),
        **{name: (state, (directions, batch, hidden)) for name, state in states.items()},
        **{name: (bias, (directions, hidden * gates)) for name, bias in biases.items() if bias is not None},
    }
    for name, (given, shape) in expected.items():
        assert given is not None
        check_same_dtype(name, given, "x", x)
        if given.shape != shape:
            raise ShapeError(f"{name} is {given}, expected [{', '.join(map(str, shape))}]")
    return x.with_shape((*x.shape[:2], hidden * directions))


def _scan(
    x: Array,
    states: tuple[Array, ...],
    step: Callable[[int, Array, tuple[Array, ...]], tuple[Array, ...]],
    batch_first: bool,
    bidirectional: bool,
    reverse: bool,
) -> tuple[Array, ...]:
    """Runs `step(direction, x_t, states)` over time; its first state is the output. Returns y and the last states."""
    x = x.swapaxes(0, 1) if batch_first else x
    outputs: list[Array] = []
    finals: list[tuple[Array, ...]] = []
    for direction in range(2 if bidirectional else 1):
        current = tuple(state[direction] for state in states)
        y = np.empty((*x.shape[:2], current[0].shape[-1]), x.dtype)
        backward = reverse or direction == 1
        for t in reversed(range(len(x))) if backward else range(len(x)):
            current = step(direction, x[t], current)
            y[t] = current[0]
        outputs.append(y)
        finals.append(current)
    y = np.concatenate(outputs, axis=-1)
    last = tuple(np.stack(parts) for parts in zip(*finals, strict=True))
    return (y.swapaxes(0, 1) if batch_first else y, *last)


def _infer_lstm(
    x: TensorType,
    h0: TensorType,
    c0: TensorType,
    w_ih: TensorType,
    w_hh: TensorType,
    b_ih: TensorType | None = None,
    b_hh: TensorType | None = None,
    **attrs: bool,
) -> tuple[TensorType, ...]:
    y = _infer(4, x, {"h0": h0, "c0": c0}, (w_ih, w_hh), {"b_ih": b_ih, "b_hh": b_hh}, **attrs)
    return y, h0, c0


def _lstm(
    x: Array,
    h0: Array,
    c0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    **attrs: bool,
) -> tuple[Array, ...]:
    def step(direction: int, x_t: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        h, c = states
        sums = x_t @ w_ih[direction].T + h @ w_hh[direction].T
        for bias in (b_ih, b_hh):
            sums = sums if bias is None else sums + bias[direction]
        i, f, g, o = np.split(sums, 4, axis=-1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(c), c

    return _scan(x, (h0, c0), step, **attrs)


def _infer_gru(
    x: TensorType,
    h0: TensorType,
    w_ih: TensorType,
    w_hh: TensorType,
    b_ih: TensorType | None = None,
    b_hh: TensorType | None = None,
    *,
    linear_before_reset: bool,
    **attrs: bool,
) -> tuple[TensorType, ...]:
    return _infer(3, x, {"h0": h0}, (w_ih, w_hh), {"b_ih": b_ih, "b_hh": b_hh}, **attrs), h0


def _gru(
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    linear_before_reset: bool,
    **attrs: bool,
) -> tuple[Array, ...]:
    hidden = w_hh.shape[2]

    def step(direction: int, x_t: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        (h,) = states
        weight = w_hh[direction]
        bias = np.zeros(len(weight), x.dtype) if b_hh is None else b_hh[direction]
        inner = x_t @ w_ih[direction].T
        if b_ih is not None:
            inner = inner + b_ih[direction]
        outer = h @ weight[: 2 * hidden].T + bias[: 2 * hidden]
        r, z = np.split(_sigmoid(inner[:, : 2 * hidden] + outer), 2, axis=-1)
        if linear_before_reset:
            state = r * (h @ weight[2 * hidden :].T + bias[2 * hidden :])
        else:
            state = (r * h) @ weight[2 * hidden :].T + bias[2 * hidden :]
        n = np.tanh(inner[:, 2 * hidden :] + state)
        return ((1 - z) * n + z * h,)

    return _scan(x, (h0,), step, **attrs)


def _cases(gates: int, states: int) -> Iterator[Case]:
    def case(steps: int, batch: int, width: int, hidden: int, bias: bool = True, **attrs: Any) -> Case:
        directions = 2 if attrs.get("bidirectional") else 1
        x = (batch, steps, width) if attrs.get("batch_first") else (steps, batch, width)
        shapes = [x, *[(directions, batch, hidden)] * states]
        shapes += [(directions, gates * hidden, width), (directions, gates * hidden, hidden)]
        arrays: list[Array | None] = [sample(shape, low=-1, high=1, seed=i) for i, shape in enumerate(shapes)]
        biases = [sample((directions, gates * hidden), low=-1, high=1, seed=i) if bias else None for i in (8, 9)]
        return Case((*arrays, *biases), attrs)

    yield case(5, 3, 7, 4)
    yield case(4, 1, 3, 17, bidirectional=True)
    yield case(3, 2, 5, 8, bias=False, batch_first=True)
    yield case(6, 2, 4, 5, reverse=True)
    yield case(1, 1, 1, 1)
    yield case(0, 2, 3, 4)
    if gates == 3:
        yield case(5, 2, 6, 9, linear_before_reset=False)


lstm = define(
    "lstm",
    family="rnn",
    inputs=("x", "h0", "c0", "w_ih", "w_hh", "b_ih?", "b_hh?"),
    outputs=("y", "hn", "cn"),
    attrs=_ATTRS,
    infer=_infer_lstm,
    reference=_lstm,
    cases=lambda: _cases(4, 2),
    doc="LSTM: x [T, N, I], states [D, N, H], weights [D, 4H, I] and [D, 4H, H], gates i, f, g, o; y [T, N, D H].",
)

gru = define(
    "gru",
    family="rnn",
    inputs=("x", "h0", "w_ih", "w_hh", "b_ih?", "b_hh?"),
    outputs=("y", "hn"),
    attrs={
        **_ATTRS,
        "linear_before_reset": Attr("bool", True, "the reset gate multiplies after the product, as in PyTorch"),
    },
    infer=_infer_gru,
    reference=_gru,
    cases=lambda: _cases(3, 1),
    doc="GRU: x [T, N, I], state [D, N, H], weights [D, 3H, I] and [D, 3H, H], gates r, z, n; y [T, N, D H].",
)
