"""Sympy expressions of traced sizes as dimensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rushlight.exporter.bounds import is_at_least
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import SymbolRange
from rushlight.runtime.types import DimLike, exact_div, product


def to_dim(expression: Any, names: Mapping[str, DimLike], ranges: Mapping[str, SymbolRange]) -> DimLike:
    """`expression` (sympy, of a SymInt) in terms of `names`: traced symbol -> dimension. Raises UnsupportedError."""
    if expression.is_Integer:
        return int(expression)
    if expression.is_Symbol:
        if str(expression) not in names:
            raise UnsupportedError(f"a size that depends on data ({expression})")
        return names[str(expression)]
    kind = type(expression).__name__
    arguments = [
        to_dim(argument, names, ranges)
        for argument in expression.args
        if not argument.is_Rational or argument.is_Integer
    ]
    if len(arguments) == len(expression.args):
        found = _apply(kind, arguments, ranges)
        if found is not None:
            return found
    raise UnsupportedError(f"the size {expression}")


def _apply(kind: str, x: list[DimLike], ranges: Mapping[str, SymbolRange]) -> DimLike | None:
    match kind:
        case "Add":
            return sum(x[1:], x[0])
        case "Mul":
            return product(x)
        case "Pow" if isinstance(x[1], int) and x[1] >= 0:
            return product([x[0]] * x[1])
        case "FloorDiv" | "CleanDiv" | "IntTrueDiv":
            exact = exact_div(x[0], x[1])
            if exact is not None:
                return exact
            if isinstance(x[1], int) and x[1] > 0 and kind != "IntTrueDiv":
                return x[0] // x[1]
        case "CeilDiv" | "CeilToInt" if len(x) == 2 and isinstance(x[1], int):
            return -((-x[0]) // x[1])
        case "Mod" | "PythonMod" if isinstance(x[1], int) and x[1] > 0:
            return x[0] - (x[0] // x[1]) * x[1]
        case "Max" | "Min":
            return _extreme(x, ranges, kind == "Max")
        case "ToFloat" | "TruncToInt" | "FloorToInt" | "Identity":
            return x[0]
    return None


def _extreme(x: list[DimLike], ranges: Mapping[str, SymbolRange], largest: bool) -> DimLike | None:
    for candidate in x:
        if all(is_at_least(candidate, y, ranges) if largest else is_at_least(y, candidate, ranges) for y in x):
            return candidate
    return None
