"""Activations and arithmetic that ONNX spells differently."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter, Term
from rushlight.exporter.onnx.model import OnnxNode, dtype_of
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value


def Identity(b: Emitter, n: OnnxNode) -> Term:
    return n.input(0)


def Dropout(b: Emitter, n: OnnxNode) -> Any:
    """As in inference, where the mask is all true."""
    mode = n.optional(2)
    if mode is not None and bool(b.array(mode, "training_mode").reshape(-1)[0]):
        raise UnsupportedError("training mode")
    x = b.constant(n.input(0))
    if len(n.outputs) == 1:
        return x
    return x, b.full(shape=x.shape, value=1.0, dtype="bool")


def Cast(b: Emitter, n: OnnxNode) -> Value:
    return b.cast(n.input(0), dtype_of(n.attr("to")))


def CastLike(b: Emitter, n: OnnxNode) -> Value:
    return b.cast(n.input(0), n.input(1).type.dtype)


def Clip(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    if any(isinstance(t, Value) and not t.is_constant for t in n.inputs[1:]):
        for op, term in zip(("maximum", "minimum"), n.inputs[1:], strict=False):
            if term is not None:
                x = b.add_broadcast(op, [x, term])
        return x
    low, high = (_limit(b, n, index, name) for index, name in ((1, "min"), (2, "max")))
    if x.dtype.kind != "f":
        for op, limit in (("maximum", low), ("minimum", high)):
            if limit is not None:
                x = b.add_node(op, [x, b.constant(np.asarray(limit).astype(x.dtype))])[0]
        return x
    low = None if low is not None and low <= np.finfo(np.float32).min else low
    high = None if high is not None and high >= np.finfo(np.float32).max else high
    if low is None and high is None:
        return x
    if low is not None and high is not None and low > high:
        low = high  # ONNX defines the result as the upper limit
    return b.clamp(x, min=None if low is None else float(low), max=None if high is None else float(high))


def _limit(b: Emitter, n: OnnxNode, index: int, name: str) -> Any:
    term = n.optional(index)
    return n.attr(name) if term is None else b.array(term, name).reshape(-1)[0]


def LeakyRelu(b: Emitter, n: OnnxNode) -> Any:
    return b.leaky_relu(n.input(0), negative_slope=n.attr("alpha", 0.01))


def HardSigmoid(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    alpha, beta = n.attr("alpha", 0.2), n.attr("beta", 0.5)
    if beta == 0.5 and abs(alpha - 1 / 6) < 1e-7:
        return b.hardsigmoid(x)
    return b.clamp(b.add(b.mul(x, b.scalar(alpha, x)), b.scalar(beta, x)), min=0.0, max=1.0)


def Sum(b: Emitter, n: OnnxNode) -> Any:
    return _fold(b, n, "add")


def Max(b: Emitter, n: OnnxNode) -> Any:
    return _fold(b, n, "maximum")


def Min(b: Emitter, n: OnnxNode) -> Any:
    return _fold(b, n, "minimum")


def Mean(b: Emitter, n: OnnxNode) -> Any:
    total = _fold(b, n, "add")
    return b.div(total, b.scalar(len(n.inputs), total))


def _fold(b: Emitter, n: OnnxNode, op: str) -> Value:
    out = b.constant(n.input(0))
    for index in range(1, len(n.inputs)):
        out = b.add_broadcast(op, [out, n.input(index)])
    return out


def Pow(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    exponent = b.constant(n.input(1))
    if exponent.data is not None and exponent.data.size == 1 and len(exponent.shape) <= len(x.shape):
        power = float(exponent.data.reshape(-1)[0])
        if power == 2.0:
            return b.square(x)
        if power == 0.5 and x.dtype.kind == "f":
            return b.sqrt(x)
    if x.dtype.kind != "f" and exponent.dtype.kind == "f":
        return b.cast(b.add_broadcast("pow", [b.cast(x, exponent.dtype), exponent]), x.dtype)
    return b.add_broadcast("pow", [x, b.cast(exponent, x.dtype)])


def Mod(b: Emitter, n: OnnxNode) -> Any:
    return b.add_broadcast("fmod" if n.attr("fmod", 0) else "remainder", [n.input(0), n.input(1)])


def Tan(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    return b.div(b.sin(x), b.cos(x))


def IsInf(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    if x.dtype.kind != "f":
        raise UnsupportedError(f"of {x.dtype}")
    signs = [sign for sign, name in ((1, "detect_positive"), (-1, "detect_negative")) if n.attr(name, 1)]
    if not signs:
        return b.full(shape=x.shape, value=0.0, dtype="bool")
    found = [b.eq(x, b.scalar(sign * np.inf, x)) for sign in signs]
    return found[0] if len(found) == 1 else b.logical_or(*found)


def Not(b: Emitter, n: OnnxNode) -> Any:
    return b.logical_not(n.input(0))
