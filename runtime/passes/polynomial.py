"""Arithmetic as polynomials, so that patterns match however a model associates and writes its sums and products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ..ir import Value
from .rewrite import Rewriter, is_close, scalar_of

Monomial: TypeAlias = tuple[Value, ...]
"""A product of values, in a fixed order; () is 1."""

Polynomial: TypeAlias = dict[Monomial, float]
"""Coefficients of monomials."""

MAX_TERMS = 6
MAX_DEGREE = 4
MAX_DEPTH = 10


def polynomial(rewriter: Rewriter, value: Value, is_root: bool = False, depth: int = 0) -> Polynomial | None:
    """`value` in terms of values that are read elsewhere too or made by other operators; None where that is too much.

    Looks through add, sub, mul, div by a number, neg, square and pow; a root may be read by anyone.
    """
    number = scalar_of(value)
    if number is not None:
        return {(): number}
    ops = ("add", "sub", "mul", "div", "neg", "square", "pow")
    node = rewriter.producer(value, *ops) if is_root else rewriter.private(value, *ops)
    if node is None:
        return {(value,): 1.0}
    if depth > MAX_DEPTH:
        return None
    operands: list[Polynomial] = []
    for operand in node.inputs:
        assert operand is not None
        if operand.type != value.type and scalar_of(operand) is None:
            return {(value,): 1.0}
        found = polynomial(rewriter, operand, depth=depth + 1)
        if found is None:
            return None
        operands.append(found)
    result = _combine(node.op.name, operands)
    if result is None:
        return {(value,): 1.0}
    if len(result) > MAX_TERMS or any(len(monomial) > MAX_DEGREE for monomial in result):
        return None
    return result


def _combine(op: str, operands: list[Polynomial]) -> Polynomial | None:
    first, second = operands[0], operands[-1]
    if op == "add":
        return _sum(first, second, 1.0)
    if op == "sub":
        return _sum(first, second, -1.0)
    if op == "mul":
        return _product(first, second)
    if op == "neg":
        return _sum({}, first, -1.0)
    if op == "square":
        return _product(first, first)
    number = second.get((), 0.0) if set(second) == {()} else 0.0
    if op == "div":
        return {monomial: c / number for monomial, c in first.items()} if number else None
    if number not in (2.0, 3.0):
        return None
    return _product(first, _product(first, first) if number == 3.0 else first)


def _sum(a: Polynomial, b: Polynomial, sign: float) -> Polynomial:
    out = dict(a)
    for monomial, coefficient in b.items():
        out[monomial] = out.get(monomial, 0.0) + sign * coefficient
    return out


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    out: Polynomial = {}
    for left, c in a.items():
        for right, d in b.items():
            monomial = tuple(sorted((*left, *right), key=id))
            out[monomial] = out.get(monomial, 0.0) + c * d
    return out


def is_polynomial(found: Polynomial | None, wanted: Mapping[Monomial, float]) -> bool:
    """Whether the two agree to within the rounding of constants in models."""
    return found is not None and found.keys() == wanted.keys() and all(is_close(found[m], c) for m, c in wanted.items())
