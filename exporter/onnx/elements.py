"""Arithmetic of single elements in shape computations: numbers, dimensions, and dimensions times fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from rushlight.exporter.bounds import is_at_least
from rushlight.exporter.emitter import Emitter
from rushlight.runtime.types import Dim, exact_div


class Unknown(Exception):
    """The elements of the result cannot be expressed."""


class Scaled:
    """A dimension times a fraction whose denominator is a power of two, as ``floor(float(H) * 0.5)`` needs it."""

    def __init__(self, dim: Dim, factor: Fraction) -> None:
        self.dim = dim
        self.factor = factor

    def floor(self) -> Any:
        return (self.dim * self.factor.numerator) // self.factor.denominator

    def ceil(self) -> Any:
        return -((-(self.dim * self.factor.numerator)) // self.factor.denominator)


def plain(element: Any) -> Any:
    if isinstance(element, float):
        return int(element) if element.is_integer() else Fraction(element)
    return element


def multiply(a: Any, b: Any) -> Any:
    a, b = plain(a), plain(b)
    if isinstance(a, Scaled) or isinstance(b, Scaled):
        raise Unknown
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Dim) and isinstance(other, Fraction):
            if other.denominator & (other.denominator - 1) or other.denominator > 4096:
                raise Unknown
            return Scaled(one, other)
    return a * b


def divide(a: Any, b: Any, is_float: bool) -> Any:
    a, b = plain(a), plain(b)
    if isinstance(a, Scaled) or isinstance(b, Scaled) or b == 0:
        raise Unknown
    if not isinstance(b, Dim) and is_float:
        return multiply(a, Fraction(1) / Fraction(b))
    if not isinstance(a, Dim) and not isinstance(b, Dim):
        quotient = abs(a) // abs(b)
        return quotient if (a < 0) == (b < 0) else -quotient
    exact = exact_div(a, b)
    if exact is not None:
        return exact
    if is_float or isinstance(b, Dim) or b < 0:
        raise Unknown
    return a // b


def modulo(a: Any, b: Any) -> Any:
    if isinstance(b, Dim) or b <= 0:
        raise Unknown
    return a - (a // b) * b


def add(a: Any, b: Any, sign: int) -> Any:
    a, b = plain(a), plain(b)
    if isinstance(a, (Scaled, Fraction)) or isinstance(b, (Scaled, Fraction)):
        raise Unknown
    return a + b * sign


def truncate(element: Any) -> Any:
    return element if isinstance(element, Dim) else int(element)


def compare(b: Emitter, p: Any, q: Any) -> int | None:
    """-1, 0 or 1 where the order is the same for all sizes, else None."""
    if isinstance(p, Scaled) or isinstance(q, Scaled):
        return None
    p, q = plain(p), plain(q)
    if not isinstance(p, Dim) and not isinstance(q, Dim):
        return int(p > q) - int(p < q)
    if isinstance(p, Fraction) or isinstance(q, Fraction):
        return None
    if p == q:
        return 0
    if is_at_least(p, q + 1, b.ranges):
        return 1
    if is_at_least(q, p + 1, b.ranges):
        return -1
    return None
