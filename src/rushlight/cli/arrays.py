"""Input arrays of commands, made up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod

import numpy as np

from rushlight.runtime.errors import RushlightError, ShapeError
from rushlight.runtime.ir import Graph, SymbolRange
from rushlight.runtime.ops import Array
from rushlight.runtime.types import Dim, evaluate

SEED = 0

MAX_DIGITS = 15
"""Of a size on the command line."""

MAX_ELEMENTS = 1 << 48
"""Of one input."""


def parse_sizes(texts: Iterable[str]) -> dict[str, int]:
    """``["N=4"]`` as ``{"N": 4}``. Raises RushlightError."""
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, size = text.partition("=")
        if not size.isdecimal() or len(size) > MAX_DIGITS:
            raise RushlightError(f"--dim {text}: write NAME=SIZE, such as N=4")
        sizes[name] = int(size)
    return sizes


def random_inputs(graph: Graph, sizes: Mapping[str, int]) -> dict[str, Array]:
    """Inputs that any model accepts, always the same: normal floats, bytes of full range, and 0 or 1 for wider
    integers, which may be indices or masks. Dimensions that `sizes` leaves out get their smallest size.
    """
    unknown = sorted(set(sizes) - set(graph.symbols))
    if unknown:
        known = ", ".join(graph.symbols) or "none"
        raise ShapeError(f"no dimension '{unknown[0]}'; the program has {known}")
    binding = {name: sizes.get(name, _smallest(limits)) for name, limits in graph.symbols.items()}
    rng = np.random.default_rng(SEED)
    inputs: dict[str, Array] = {}
    for value in graph.inputs:
        shape = [evaluate(dim, binding) for dim in value.type.shape]
        if prod(shape) > MAX_ELEMENTS:
            raise ShapeError(f"input '{value.name}' of shape {shape} is too large")
        if value.dtype.kind == "f":
            inputs[value.name] = rng.standard_normal(shape).astype(value.dtype)
        elif value.dtype.itemsize == 1 and value.dtype.kind in "iu":
            limits = np.iinfo(value.dtype)
            inputs[value.name] = rng.integers(limits.min, limits.max, shape, value.dtype, endpoint=True)
        else:
            inputs[value.name] = rng.integers(0, 2, shape).astype(value.dtype)
    return inputs


def batch_size(graph: Graph, batch: int) -> dict[str, int]:
    """The binding that makes the first input's first dimension `batch`. Raises ShapeError for a size that cannot be."""
    if batch < 1:
        raise ShapeError(f"the batch must be at least 1, not {batch}")
    first = graph.inputs[0].type.shape[0] if graph.inputs and graph.inputs[0].type.shape else 1
    symbol = first.as_symbol() if isinstance(first, Dim) else None
    if symbol is not None:
        return {symbol: batch}
    if first != batch:
        raise ShapeError(f"the program's batch is {first}, not {batch}")
    return {}


def _smallest(limits: SymbolRange) -> int:
    return max(1, limits.low)
