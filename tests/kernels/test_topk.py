"""Every compiled topk kernel against the operator's reference, bit for bit, on memory that ends where operands end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.ops import get

from .harness import Array, available_rows, fenced

ROWS = available_rows("topk")
DTYPES = {"f32": np.float32, "s64": np.int64, "s32": np.int32, "u8": np.uint8, "s8": np.int8}
ids: dict[str, Any] = {"ids": lambda row: row.symbol}
VIEWS = [
    (1, 1, 1, 1), (3, 7, 1, 7), (2, 100, 1, 1), (2, 131, 1, 32), (3, 100, 1, 33), (70, 5, 1, 2), (1, 1000, 1, 5),
    (2, 700, 1, 40), (1, 900, 1, 600), (4, 65, 5, 9), (2, 1, 70, 1), (3, 3, 66, 3), (1, 330, 3, 34), (1, 290, 2, 290),
    (1, 9_003, 1, 100), (1, 5_000, 1, 5_000),
]  # fmt: skip
"""outer, n, inner, k: few, some and most elements of rows and columns."""
KINDS = ["any", "ties", "ascending", "descending", "special"]


def dtype_of(row: Any) -> Any:
    return DTYPES[row.types.removesuffix("s64")]


def sample(dtype: Any, view: tuple[int, ...], kind: str) -> Array:
    rng = np.random.default_rng(sum(view))
    outer, n, inner = view[:3]
    is_float = dtype == np.float32
    low, high = (-100, 100) if is_float else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if kind == "special" and is_float:
        bits = np.array([0x7FC00001, 0xFFC00002, 0x7F800001, 0, 1 << 31, 1, 2, 0x80000001, 0x80000002], np.uint32)
        values = np.concatenate([bits.view(np.float32), np.array([np.inf, -np.inf, 1, -1, 1e-38, -3e38], np.float32)])
    elif kind == "special":
        values = np.array([low, high, 0, low + 1, high - 1, 1], dtype)
    elif kind == "ties":
        values = np.array([3, 5, 7], dtype)
    elif is_float:
        values = rng.normal(0, 10, (outer * n * inner) or 1).astype(np.float32)
    else:
        values = rng.integers(low, high, (outer * n * inner) or 1, dtype, endpoint=True)
    x: Array = rng.choice(values, (outer, n, inner))
    if kind == "ascending":
        x = np.sort(x, axis=1)
    elif kind == "descending":
        x = np.flip(np.sort(x, axis=1), 1)
    return np.ascontiguousarray(x)


def topk(row: Any, x: Array, k: int, *, largest: bool, threads: int = 1) -> list[Array]:
    """values and indices, from memory whose guards are still whole."""
    outer, n, inner = x.shape
    shape = (outer, k, inner)
    params = {"outer": outer, "n": n, "inner": inner, "k": k, "descending": int(largest)}
    memory = [fenced(array) for array in (x, np.zeros(shape, x.dtype), np.zeros(shape, np.int64))]
    guards = [guard.tobytes() for _, guard in memory]
    flat = [array.reshape(-1).view(np.uint8) for array, _ in memory]
    _core.run_kernel(row.symbol, pack_params("topk", **params), flat, threads, 1)
    assert [guard.tobytes() for _, guard in memory] == guards
    assert memory[0][0].tobytes() == x.tobytes()
    return [np.array(array) for array, _ in memory[1:]]


def expected(x: Array, k: int, *, largest: bool) -> list[Array]:
    attrs = {"k": k, "dim": 1, "largest": largest, "sorted": True}
    return [np.asarray(result) for result in get("topk").run_reference([x], attrs)]


def check(row: Any, x: Array, k: int, *, largest: bool, threads: int = 1) -> None:
    got, wanted = topk(row, x, k, largest=largest, threads=threads), expected(x, k, largest=largest)
    np.testing.assert_array_equal(got[1], wanted[1])
    assert got[0].tobytes() == wanted[0].tobytes()


@pytest.mark.parametrize("row", ROWS, **ids)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_like_the_reference(row: Any, view: tuple[int, int, int, int], kind: str) -> None:
    x = sample(dtype_of(row), view, kind)
    for largest in (True, False):
        check(row, x, view[3], largest=largest)


@pytest.mark.parametrize("row", ROWS, **ids)
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(row: Any, threads: int) -> None:
    for view in ((9, 3000, 1, 50), (3, 40, 200, 4), (5, 1500, 1, 1500)):
        check(row, sample(dtype_of(row), view, "any"), view[3], largest=True, threads=threads)


@pytest.mark.parametrize("row", ROWS, **ids)
@pytest.mark.parametrize("view", [(0, 3, 1, 2), (3, 4, 0, 2), (2, 0, 1, 0), (2, 9, 1, 0), (2, 0, 3, 0)], ids=str)
def test_nothing_to_find(row: Any, view: tuple[int, int, int, int]) -> None:
    check(row, sample(dtype_of(row), view, "any"), view[3], largest=True)


@pytest.mark.parametrize("row", [row for row in ROWS if dtype_of(row) == np.float32], **ids)
@pytest.mark.parametrize("k", [3, 40, 500])
def test_only_nan(row: Any, k: int) -> None:
    x = np.full((1, 500, 1), np.nan, np.float32)
    x[0, ::2] = -x[0, ::2]
    for largest in (True, False):
        assert topk(row, x, k, largest=largest)[1].reshape(-1).tolist() == list(range(k))


@pytest.mark.parametrize("row", ROWS, **ids)
def test_the_best_stands_anywhere(row: Any) -> None:
    """In every lane, in the first elements and in the last ones."""
    best = np.eye(200, dtype=dtype_of(row))[:, :, None]
    second = [1] + [0] * 199
    for x, largest in ((best, True), (1 - best, False)):
        _, indices = topk(row, x, 2, largest=largest)
        assert indices[..., 0].T.tolist() == [list(range(200)), second]
