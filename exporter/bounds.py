"""What can be proved about symbolic dimensions: lower bounds, and the sizes of a symbol that satisfy a condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from rushlight.runtime.ir import SymbolRange
from rushlight.runtime.types import Dim, DimLike, evaluate

SCAN = 4096
"""Sizes up to this one are tried when a condition is solved for a symbol."""

_Polynomial = dict[tuple[str, ...], Fraction]


def is_at_least(a: DimLike, b: DimLike, ranges: Mapping[str, SymbolRange]) -> bool:
    """True where ``a >= b`` holds for every size in `ranges`; False where that is wrong or not provable."""
    difference = a - b
    if isinstance(difference, int):
        return difference >= 0
    bound = _minimum(_relax(difference), ranges)
    # Floors are integers: a relaxed bound above -1 leaves 0 as the smallest value.
    return bound is not None and bound > -1


def solve(condition: Callable[[int], bool], known: SymbolRange) -> SymbolRange | None:
    """The part of `known` where `condition` holds, if it is one unbroken piece, else None."""
    last = SCAN if known.high is None else min(known.high, SCAN)
    good = [size for size in range(known.low, last + 1) if condition(size)]
    if not good or len(good) != good[-1] - good[0] + 1:
        return None
    return SymbolRange(good[0], known.high if good[-1] == last else good[-1])


def solve_dim(
    dim: Dim, accept: Callable[[int], bool], ranges: Mapping[str, SymbolRange]
) -> tuple[str, SymbolRange] | None:
    """The symbol of a one-symbol `dim` and the sizes of it for which `accept(value of dim)` holds, else None."""
    symbols = sorted(dim.symbols())
    if len(symbols) != 1:
        return None
    (symbol,) = symbols
    found = solve(lambda size: accept(evaluate(dim, {symbol: size})), ranges.get(symbol, SymbolRange()))
    return None if found is None else (symbol, found)


def _relax(dim: DimLike) -> _Polynomial:
    """A polynomial over symbols that is nowhere above `dim`: floor(x/d) lies between (x-d+1)/d and x/d."""
    return _bound(dim, upper=False)


def _bound(dim: DimLike, upper: bool) -> _Polynomial:
    if isinstance(dim, int):
        return {(): Fraction(dim)}
    total: _Polynomial = {}
    for monomial, coefficient in dim.terms:
        up = upper == (coefficient > 0)
        floors = [atom for atom in monomial if not isinstance(atom, str)]
        if len(floors) > 1 and not up:
            continue  # a product of non-negative factors is at least zero
        product: _Polynomial = {tuple(atom for atom in monomial if isinstance(atom, str)): Fraction(coefficient)}
        for inner, divisor in floors:
            bound = _bound(inner if up else inner - (divisor - 1), up)
            product = _multiply(product, {m: c / divisor for m, c in bound.items()})
        for m, c in product.items():
            total[m] = total.get(m, Fraction(0)) + c
    return total


def _multiply(a: _Polynomial, b: _Polynomial) -> _Polynomial:
    out: _Polynomial = {}
    for ma, ca in a.items():
        for mb, cb in b.items():
            key = tuple(sorted((*ma, *mb)))
            out[key] = out.get(key, Fraction(0)) + ca * cb
    return out


def _minimum(polynomial: _Polynomial, ranges: Mapping[str, SymbolRange]) -> Fraction | None:
    """The least value over `ranges` of a polynomial that is monotone in each symbol, else None."""
    shifted: _Polynomial = {}
    for monomial, coefficient in polynomial.items():
        product: _Polynomial = {(): coefficient}
        for symbol in monomial:
            known = ranges.get(symbol, SymbolRange())
            falling = polynomial.get((symbol,), 0) < 0 and known.high is not None
            origin, slope = (known.high, -1) if falling else (known.low, 1)
            product = _multiply(product, {(): Fraction(origin or 0), (symbol,): Fraction(slope)})
        for m, c in product.items():
            shifted[m] = shifted.get(m, Fraction(0)) + c
    if any(c < 0 for m, c in shifted.items() if m):
        return None
    return shifted.get((), Fraction(0))
