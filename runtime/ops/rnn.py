"""Recurrent layers: one layer, one or both directions. Gates are ordered as in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .opdef import Array, Attr, Case, define, get
from .samples import sample
from .shapes import FLOAT, check_kind, check_same_dtype

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value

ATTRS = {
    "batch_first": Attr("bool", False, "x and y are [N, T, ...] instead of [T, N, ...]"),
    "bidirectional": Attr("bool", False),
    "reverse": Attr("bool", False, "the only direction runs from the last step to the first"),
}


GRU_ATTRS = {
    **ATTRS,
    "linear_before_reset": Attr("bool", True, "the reset gate multiplies after the product, as in PyTorch"),
}


def _sigmoid(x: Array) -> Array:
    return get("sigmoid").run_reference([x], {})[0]


def infer_recurrence(
    gates: int,
    x: TensorType,
    states: dict[str, TensorType],
    weights: tuple[TensorType | None, TensorType],
    biases: dict[str, TensorType | None],
    batch_first: bool,
    bidirectional: bool,
    reverse: bool,
) -> TensorType:
    """Checks all operands; the type of y. `weights`: of the inputs, None where x holds their products; of the state."""
    check_kind("x", x, FLOAT)
    directions = 2 if bidirectional else 1
    if bidirectional and reverse:
        raise ShapeError("bidirectional and reverse exclude each other")
    w_ih, w_hh = weights
    if x.rank != 3 or (w_ih is not None and w_ih.rank != 3) or w_hh.rank != 3:
        raise ShapeError(f"x {x}, w_ih {w_ih} and w_hh {w_hh} must have 3 dimensions")
    hidden = w_hh.shape[2]
    outputs = hidden * gates
    if w_ih is None and x.shape[2] != directions * outputs:
        raise ShapeError(f"x is {x}, expected {directions * outputs} products a step")
    batch = x.shape[0 if batch_first else 1]
    expected = {
        "w_ih": (w_ih, (directions, outputs, x.shape[2])),
        "w_hh": (w_hh, (directions, outputs, hidden)),
        **{name: (state, (directions, batch, hidden)) for name, state in states.items()},
        **{name: (bias, (directions, hidden if name == "bias" else outputs)) for name, bias in biases.items()},
    }
    for name, (given, shape) in expected.items():
        if given is None:
            continue
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
    y = infer_recurrence(4, x, {"h0": h0, "c0": c0}, (w_ih, w_hh), {"b_ih": b_ih, "b_hh": b_hh}, **attrs)
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
    products = _multiply_inputs(x, w_ih)
    for bias in (b_ih, b_hh):
        products = products if bias is None else products + bias.reshape(-1)
    return _lstm_scan(products, h0, c0, w_hh, **attrs)


def _multiply_inputs(x: Array, w_ih: Array) -> Array:
    """The products of the inputs, direction after direction."""
    products: Array = x @ w_ih.reshape(-1, w_ih.shape[2]).T
    return products


Product: TypeAlias = Callable[[int, Array, slice], Array]
"""Of a direction's weights, rows by slice, and vectors [N, H]: [N, rows]."""


def _float_product(w_hh: Array) -> Product:
    return lambda direction, v, rows: v @ w_hh[direction][rows].T


def _lstm_scan(x: Array, h0: Array, c0: Array, w_hh: Array, **attrs: bool) -> tuple[Array, ...]:
    return lstm_recurrence(x, h0, c0, _float_product(w_hh), **attrs)


def lstm_recurrence(x: Array, h0: Array, c0: Array, product: Product, **attrs: bool) -> tuple[Array, ...]:
    """The reference of lstm_scan, given how the state is multiplied."""

    def step(direction: int, x_t: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        h, c = states
        sums = np.split(x_t, len(h0), axis=-1)[direction] + product(direction, h, slice(None))
        i, f, g, o = np.split(sums, 4, axis=-1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        return _sigmoid(o) * np.tanh(c), c

    return _scan(x, (h0, c0), step, **attrs)


def _infer_lstm_scan(
    x: TensorType, h0: TensorType, c0: TensorType, w_hh: TensorType, **attrs: bool
) -> tuple[TensorType, ...]:
    return infer_recurrence(4, x, {"h0": h0, "c0": c0}, (None, w_hh), {}, **attrs), h0, c0


def _decompose_lstm(
    b: GraphBuilder,
    x: Value,
    h0: Value,
    c0: Value,
    w_ih: Value,
    w_hh: Value,
    b_ih: Value | None = None,
    b_hh: Value | None = None,
    **attrs: bool,
) -> tuple[Value, ...]:
    bias = b.add(b_ih, b_hh) if b_ih is not None and b_hh is not None else (b_hh if b_ih is None else b_ih)
    return b.add_node("lstm_scan", [_inputs_layer(b, x, w_ih, bias), h0, c0, w_hh], attrs)


def _inputs_layer(b: GraphBuilder, x: Value, w_ih: Value, bias: Value | None) -> Value:
    directions, outputs, width = w_ih.shape
    flat = None if bias is None else b.reshape(bias, shape=(directions * outputs,))
    out: Value = b.linear(x, b.reshape(w_ih, shape=(directions * outputs, width)), flat)
    return out


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
    return infer_recurrence(3, x, {"h0": h0}, (w_ih, w_hh), {"b_ih": b_ih, "b_hh": b_hh}, **attrs), h0


def _gru(
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    **attrs: bool,
) -> tuple[Array, ...]:
    bias = np.zeros(w_hh.shape[:2], x.dtype) if b_ih is None else b_ih.copy()
    inner = None
    if b_hh is not None:
        shared = w_hh.shape[2] * 2
        bias[:, :shared] += b_hh[:, :shared]
        inner = b_hh[:, shared:]
    return _gru_scan(_multiply_inputs(x, w_ih) + bias.reshape(-1), h0, w_hh, inner, **attrs)


def _gru_scan(
    x: Array, h0: Array, w_hh: Array, bias: Array | None = None, *, linear_before_reset: bool, **attrs: bool
) -> tuple[Array, ...]:
    return gru_recurrence(x, h0, _float_product(w_hh), bias, linear_before_reset=linear_before_reset, **attrs)


def gru_recurrence(
    x: Array, h0: Array, product: Product, bias: Array | None, *, linear_before_reset: bool, **attrs: bool
) -> tuple[Array, ...]:
    """The reference of gru_scan, given how the state is multiplied."""
    hidden = h0.shape[2]
    gates, last = slice(2 * hidden), slice(2 * hidden, None)

    def step(direction: int, x_t: Array, states: tuple[Array, ...]) -> tuple[Array, ...]:
        (h,) = states
        inner = np.split(x_t, len(h0), axis=-1)[direction]
        r, z = np.split(_sigmoid(inner[:, gates] + product(direction, h, gates)), 2, axis=-1)
        start = 0 if bias is None else bias[direction]
        if linear_before_reset:
            state = r * (product(direction, h, last) + start)
        else:
            state = product(direction, r * h, last) + start
        n = np.tanh(inner[:, last] + state)
        return ((1 - z) * n + z * h,)

    return _scan(x, (h0,), step, **attrs)


def _infer_gru_scan(
    x: TensorType,
    h0: TensorType,
    w_hh: TensorType,
    bias: TensorType | None = None,
    *,
    linear_before_reset: bool,
    **attrs: bool,
) -> tuple[TensorType, ...]:
    return infer_recurrence(3, x, {"h0": h0}, (None, w_hh), {"bias": bias}, **attrs), h0


def _decompose_gru(
    b: GraphBuilder,
    x: Value,
    h0: Value,
    w_ih: Value,
    w_hh: Value,
    b_ih: Value | None = None,
    b_hh: Value | None = None,
    **attrs: bool,
) -> tuple[Value, ...]:
    """The bias of the state's product stays where the reset gate multiplies it; the others join those of the inputs."""
    bias, inner = b_ih, None
    if b_hh is not None:
        directions, _, hidden = w_hh.shape
        parts = [(0, 2 * hidden), (2 * hidden, 3 * hidden)]
        shared, inner = (b.slice(b_hh, axes=[1], starts=[start], ends=[end], steps=[1]) for start, end in parts)
        shared = b.concat(shared, np.zeros((directions, hidden), b_hh.dtype), dim=1)
        bias = shared if b_ih is None else b.add(b_ih, shared)
    return b.add_node("gru_scan", [_inputs_layer(b, x, w_ih, bias), h0, w_hh, inner], attrs)


def scan_cases(gates: int, states: int) -> Iterator[Case]:
    """The cases of the layers, with random products."""
    for case in _cases(gates, states):
        x, w_hh, b_hh = case.inputs[0], case.inputs[2 + states], case.inputs[4 + states]
        assert x is not None
        assert w_hh is not None
        products = sample((*x.shape[:2], w_hh.shape[0] * w_hh.shape[1]), low=-1, high=1, seed=7)
        bias = () if gates == 4 else (None if b_hh is None else b_hh[:, -w_hh.shape[2] :],)
        yield Case((products, *case.inputs[1 : 1 + states], w_hh, *bias), case.attrs)


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
    attrs=ATTRS,
    infer=_infer_lstm,
    reference=_lstm,
    cases=lambda: _cases(4, 2),
    decompose=_decompose_lstm,
    doc="LSTM: x [T, N, I], states [D, N, H], weights [D, 4H, I] and [D, 4H, H], gates i, f, g, o; y [T, N, D H].",
)

gru = define(
    "gru",
    family="rnn",
    inputs=("x", "h0", "w_ih", "w_hh", "b_ih?", "b_hh?"),
    outputs=("y", "hn"),
    attrs=GRU_ATTRS,
    infer=_infer_gru,
    reference=_gru,
    cases=lambda: _cases(3, 1),
    decompose=_decompose_gru,
    doc="GRU: x [T, N, I], state [D, N, H], weights [D, 3H, I] and [D, 3H, H], gates r, z, n; y [T, N, D H].",
)

lstm_scan = define(
    "lstm_scan",
    family="rnn",
    inputs=("x", "h0", "c0", "w_hh"),
    outputs=("y", "hn", "cn"),
    attrs=ATTRS,
    infer=_infer_lstm_scan,
    reference=_lstm_scan,
    cases=lambda: scan_cases(4, 2),
    doc="The recurrence of lstm: x [T, N, 4 D H] holds the products of the inputs and all biases.",
)

gru_scan = define(
    "gru_scan",
    family="rnn",
    inputs=("x", "h0", "w_hh", "bias?"),
    outputs=("y", "hn"),
    attrs=GRU_ATTRS,
    infer=_infer_gru_scan,
    reference=_gru_scan,
    cases=lambda: scan_cases(3, 1),
    doc="The recurrence of gru: x [T, N, 3 D H] holds the products of the inputs and all biases but that of the "
    "state's product in n, bias [D, H].",
)
