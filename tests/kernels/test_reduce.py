"""Every compiled reduction against float64 NumPy, bit for bit against the canonical order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .harness import Array, available_rows, run, same_bits

ROWS = available_rows("reduce")
DTYPES = {"f32": np.float32, "s64": np.int64, "s32": np.int32, "b8": np.bool_}
ids = {"ids": lambda row: row.symbol}
VIEWS = [
    (0, 3, 1), (1, 1, 1), (3, 1, 5), (1, 63, 1), (2, 64, 1), (3, 65, 1), (7, 131, 1), (5000, 2, 1), (1, 5000, 1),
    (2, 49, 16), (2, 49, 17), (1, 130, 63), (2, 7, 65), (3, 64, 130), (2, 5, 0), (3, 200, 2),
]  # fmt: skip


def dtypes(types: str) -> tuple[Any, Any]:
    first = next(s for s in DTYPES if types.startswith(s))
    return DTYPES[first], DTYPES[types[len(first) :]]


def reduce(row: Any, x: Array, **how: Any) -> Array:
    outer, n, inner = x.shape
    shape = x.shape if row.op == "cumsum" else (outer, inner)
    operands = {"x": x, "out": np.zeros(shape, dtypes(row.types)[1])}
    return run(row, operands, {"outer": outer, "n": n, "inner": inner}, **how)


def canonical(x: Array, combine: Callable[[Array, Array], Array], identity: float) -> Array:
    """The 64 partial results and the tree, in float32 NumPy."""
    outer, n, inner = x.shape
    partial = np.full((outer, 64, inner), identity, np.float32)
    for first in range(0, n, 64):
        block = x[:, first : first + 64]
        partial[:, : block.shape[1]] = combine(partial[:, : block.shape[1]], block)
    while partial.shape[1] > 1:
        half = partial.shape[1] // 2
        partial = combine(partial[:, :half], partial[:, half:])
    return partial[:, 0]


CANONICAL = {
    "sum": lambda x: canonical(x, np.add, 0),
    "mean": lambda x: canonical(x, np.add, 0) / np.float32(x.shape[1]),
    "prod": lambda x: canonical(x, np.multiply, 1),
    "amax": lambda x: canonical(x, np.maximum, -np.inf),
    "amin": lambda x: canonical(x, np.minimum, np.inf),
    "cumsum": lambda x: np.cumsum(x, axis=1, dtype=x.dtype),
    "argmax": lambda x: np.argmax(x, axis=1),
    "argmin": lambda x: np.argmin(x, axis=1),
}
EXACT = {
    "sum": lambda x: np.sum(x, axis=1, dtype=x.dtype),
    "prod": lambda x: np.prod(x, axis=1, dtype=x.dtype),
    "amax": lambda x: np.max(x, axis=1),
    "amin": lambda x: np.min(x, axis=1),
    "cumsum": lambda x: np.cumsum(x, axis=1, dtype=x.dtype),
    "argmax": lambda x: np.argmax(x, axis=1),
    "argmin": lambda x: np.argmin(x, axis=1),
    "any": lambda x: np.any(x, axis=1),
    "all": lambda x: np.all(x, axis=1),
}


def sample(dtype: Any, view: tuple[int, int, int]) -> Array:
    rng = np.random.default_rng(sum(view))
    if dtype == np.bool_:
        return rng.random(view) < rng.random((view[0], 1, view[2]))
    if dtype == np.float32:
        return (rng.choice([-1, 1], view) * np.exp(rng.normal(0, 0.3, view))).astype(np.float32)
    return rng.integers(-9, 9, view).astype(dtype)


@pytest.mark.parametrize("row", ROWS, **ids)
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_matches_numpy_bit_for_bit(row: Any, view: tuple[int, int, int]) -> None:
    x = sample(dtypes(row.types)[0], view)
    expected = (CANONICAL if x.dtype == np.float32 else EXACT)[row.op](x)
    assert same_bits(reduce(row, x), expected)
    assert same_bits(reduce(row, x, threads=2), expected)


@pytest.mark.parametrize("row", [row for row in ROWS if row.types == "f32f32" and row.op in ("sum", "mean")], **ids)
def test_sums_lose_little(row: Any) -> None:
    x = np.random.default_rng(0).normal(0, 1, (3, 64 * 1000, 1)).astype(np.float32)
    function = np.sum if row.op == "sum" else np.mean
    error = np.abs(reduce(row, x) - function(x.astype(np.float64), axis=1))
    assert (error / function(np.abs(x), axis=1)).max() < 3e-7


@pytest.mark.parametrize("row", [row for row in ROWS if row.op in ("amax", "amin", "argmax", "argmin")], **ids)
@pytest.mark.parametrize("inner", [1, 3])
def test_nan_and_infinity(row: Any, inner: int) -> None:
    kind = dtypes(row.types)[0]
    if kind != np.float32:
        x = np.array([3, 7, 7, -2, -2], kind)
    else:
        x = np.array([1, np.nan, np.inf, -np.inf, np.nan], np.float32)
    cases = [x, x[2:], x[:1], np.full(70, x[3], kind), np.concatenate([np.zeros(65, kind), x])]
    for line in cases:
        block = np.repeat(line[None, :, None], inner, axis=2)
        assert same_bits(reduce(row, block), EXACT[row.op](block))


@pytest.mark.parametrize("row", ROWS, **ids)
@pytest.mark.parametrize("inner", [1, 5])
def test_nothing_to_reduce(row: Any, inner: int) -> None:
    kind = dtypes(row.types)[0]
    least, greatest = (-np.inf, np.inf) if kind == np.float32 else (0, 0)
    if kind in (np.int64, np.int32):
        least, greatest = np.iinfo(kind).min, np.iinfo(kind).max
    identity = {"sum": 0, "mean": np.nan, "prod": 1, "amax": least, "amin": greatest, "any": False, "all": True,
                "argmax": 0, "argmin": 0}  # fmt: skip
    out = reduce(row, np.zeros((2, 0, inner), kind))
    if row.op == "cumsum":
        assert out.shape == (2, 0, inner)
    else:
        assert same_bits(out, np.full((2, inner), identity[row.op], out.dtype))


@pytest.mark.parametrize("row", [row for row in ROWS if row.op == "cumsum"], **ids)
def test_cumsum_in_place(row: Any) -> None:
    for view in ((3, 65, 1), (2, 9, 17)):
        x = sample(dtypes(row.types)[0], view)
        assert same_bits(reduce(row, x, in_place="x"), np.cumsum(x, axis=1, dtype=x.dtype))
