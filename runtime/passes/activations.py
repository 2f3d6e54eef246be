"""Finds activations that a model spells out in arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..ir import Graph, Node, Value
from .polynomial import Polynomial, is_polynomial, polynomial
from .rewrite import Rewriter, Rules, is_close, scalar_of, with_constant

CUBIC = 0.044715
"""Of the tanh form of GELU (Hendrycks and Gimpel, 2016)."""


def match_activations(graph: Graph) -> bool:
    """gelu, silu, hardswish, hardsigmoid and mish in place of what computes them. True if there were any."""
    return Rewriter(graph).apply(_RULES)


def _pairs(found: Polynomial) -> Iterator[tuple[Value, Value]]:
    """(x, gate) for each way to read the product of two values in `found`."""
    for monomial in found:
        if len(monomial) == 2:
            yield monomial[0], monomial[1]
            yield monomial[1], monomial[0]


def _match_gated(rewriter: Rewriter, node: Node) -> Value | None:
    """x times something of x."""
    found = polynomial(rewriter, node.output, is_root=True)
    if found is None:
        return None
    out: Value | None = None
    for x, gate in _pairs(found):
        key = tuple(sorted((x, gate), key=id))
        if is_polynomial(found, {key: 1.0}):
            out = _match_product(rewriter, x, gate)
        elif is_polynomial(found, {key: 1 / 6}) and _is_shifted_clamp(rewriter, gate, x):
            out = rewriter.builder.hardswish(x)
        elif is_polynomial(found, {key: 0.5, (x,): 0.5}):
            out = _match_gelu(rewriter, x, gate)
        if out is not None:
            return out
    return None


def _match_product(rewriter: Rewriter, x: Value, gate: Value) -> Value | None:
    maker = rewriter.private(gate, "sigmoid", "hardsigmoid", "tanh")
    if maker is None:
        return None
    out: Value | None = None
    if maker.op.name == "sigmoid" and maker.inputs[0] is x:
        out = rewriter.builder.silu(x)
    elif maker.op.name == "hardsigmoid" and maker.inputs[0] is x:
        out = rewriter.builder.hardswish(x)
    elif maker.op.name == "tanh":
        inner = rewriter.private(maker.inputs[0], "softplus")
        if inner is not None and inner.inputs[0] is x:
            out = rewriter.builder.mish(x)
    return out


def _match_gelu(rewriter: Rewriter, x: Value, gate: Value) -> Value | None:
    maker = rewriter.private(gate, "erf", "tanh")
    if maker is None or maker.inputs[0] is None:
        return None
    inner = polynomial(rewriter, maker.inputs[0])
    out: Value | None = None
    if maker.op.name == "erf":
        if is_polynomial(inner, {(x,): math.sqrt(0.5)}):
            out = rewriter.builder.gelu(x)
    else:
        factor = math.sqrt(2 / math.pi)
        if is_polynomial(inner, {(x,): factor, (x, x, x): factor * CUBIC}):
            out = rewriter.builder.gelu(x, approximate="tanh")
    return out


def _shifted_input(rewriter: Rewriter, value: Value | None, low: float, high: float, shift: float) -> Value | None:
    """x of ``clamp(x + shift, low, high)``."""
    clamp = rewriter.private(value, "clamp")
    if clamp is None or clamp.attrs["min"] != low or not is_close(clamp.attrs["max"], high):
        return None
    add = rewriter.private(clamp.inputs[0], "add")
    operands = with_constant(add) if add else None
    return operands[0] if operands and is_close(scalar_of(operands[1]), shift) else None


def _is_shifted_clamp(rewriter: Rewriter, gate: Value, x: Value) -> bool:
    return _shifted_input(rewriter, gate, 0.0, 6.0, 3.0) is x


def _factor(node: Node) -> tuple[Value, float] | None:
    """x and c of ``x * c`` or ``x / (1 / c)``."""
    operands = with_constant(node)
    number = scalar_of(operands[1]) if operands else None
    if operands is None or not number or (node.op.name == "div" and operands[0] is not node.inputs[0]):
        return None
    return operands[0], number if node.op.name == "mul" else 1 / number


def _match_hardsigmoid(rewriter: Rewriter, node: Node) -> Value | None:
    """clamp(x + 3, 0, 6) / 6"""
    scaled = _factor(node)
    if scaled is None or not is_close(scaled[1], 1 / 6):
        return None
    x = _shifted_input(rewriter, scaled[0], 0.0, 6.0, 3.0)
    if x is None or x.type != node.output.type:
        return None
    out: Value = rewriter.builder.hardsigmoid(x)
    return out


def _match_unit_hardsigmoid(rewriter: Rewriter, node: Node) -> Value | None:
    """clamp(x / 6 + 0.5, 0, 1)"""
    if node.attrs["min"] != 0.0 or node.attrs["max"] != 1.0:
        return None
    add = rewriter.private(node.inputs[0], "add")
    operands = with_constant(add) if add else None
    if operands is None or not is_close(scalar_of(operands[1]), 0.5):
        return None
    inner = rewriter.private(operands[0], "mul", "div")
    scaled = _factor(inner) if inner else None
    if scaled is None or not is_close(scaled[1], 1 / 6) or scaled[0].type != node.output.type:
        return None
    out: Value = rewriter.builder.hardsigmoid(scaled[0])
    return out


_RULES: Rules = {
    "mul": (_match_gated, _match_hardsigmoid),
    "div": (_match_gated, _match_hardsigmoid),
    "clamp": (_match_unit_hardsigmoid,),
}
