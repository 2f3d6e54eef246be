"""Repeats an import until all dimensions agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from rushlight.exporter.emitter import Conflict
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.types import Dim, DimLike, substitute

MAX_ATTEMPTS = 64
"""How often an import may start again because two dimensions turned out to be equal."""

T = TypeVar("T")


def settle(attempt: Callable[[Mapping[str, DimLike], Mapping[Dim, int]], T]) -> T:
    """The result of ``attempt(replaced, pins)``, called with what earlier calls found out by raising `Conflict`.

    `replaced`: symbols of the inputs and what stands for them; `pins`: expressions that have one value.
    """
    replaced: dict[str, DimLike] = {}
    pins: dict[Dim, int] = {}
    for _ in range(MAX_ATTEMPTS):
        try:
            return attempt(replaced, pins)
        except Conflict as conflict:
            found = conflict.substitution
            replaced = {**found, **{name: substitute(dim, found) for name, dim in replaced.items()}}
            moved = {substitute(dim, found): value for dim, value in pins.items()}
            pins = {dim: value for dim, value in moved.items() if isinstance(dim, Dim)} | conflict.pins
    raise UnsupportedError("the dimensions of the model's inputs depend on each other in too many ways")
