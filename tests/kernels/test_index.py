"""Every gather and range kernel against NumPy, on memory that ends where an operand ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params

from .harness import Array, available_rows, fenced, run

SHORT = {"s64": np.int64, "s32": np.int32, "f32": np.float32}
ids: dict[str, Any] = {"ids": lambda row: row.symbol}
GATHERS = available_rows("index")
RANGES = available_rows("range")


def gather_params(x: Array, index: Array) -> dict[str, Any]:
    """Points into the first axes of x, one for every place of the last axis of index."""
    depth = index.shape[-1]
    return {
        "rank": 1,
        "dims": [index.size // depth],
        "x_stride": [0],
        "index_stride": [depth],
        "depth": depth,
        "point_size": x.shape[:depth],
        "point_stride": x.strides[:depth],
        "row": int(np.prod(x.shape[depth:])) * x.itemsize,
    }


@pytest.mark.parametrize("row", GATHERS, **ids)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (2, 3, 384), (1, 1, 9001)])
def test_gather(row: Any, threads: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    for dtype in (np.uint8, np.uint16, np.float32, np.int64):
        x = rng.integers(0, 200, shape).astype(dtype)
        index = rng.integers(-np.array(shape[:2]), shape[:2], (41, 2)).astype(SHORT[row.types])
        operands = {"x": x, "index": index, "out": np.empty((41, *shape[2:]), dtype), "fault": np.zeros(1, np.int64)}
        out = run(row, operands, gather_params(x, index), threads=threads)
        np.testing.assert_array_equal(out, x[index[:, 0], index[:, 1]])


@pytest.mark.parametrize("row", GATHERS, **ids)
@pytest.mark.parametrize("wrong", ["lowest", "highest", 4, -5])
def test_gather_of_what_is_not_there(row: Any, wrong: Any) -> None:
    dtype = SHORT[row.types]
    limits = {"lowest": np.iinfo(dtype).min, "highest": np.iinfo(dtype).max}
    x = np.arange(1, 21, dtype=np.float32).reshape(4, 5)
    index = np.array([[1], [limits.get(wrong, wrong)], [3]], dtype)
    memory = [fenced(array)[0] for array in (x, index, np.ones((3, 5), np.float32), np.zeros(1, np.int64))]
    _core.run_kernel(row.symbol, pack_params("index", **gather_params(x, index)), memory)
    np.testing.assert_array_equal(memory[2], [x[1], np.zeros(5), x[3]])
    assert memory[3] == 1


@pytest.mark.parametrize("row", RANGES, **ids)
@pytest.mark.parametrize("n", [0, 1, 17, 20_000])
@pytest.mark.parametrize(("start", "step"), [(0, 1), (-3, 7), (9, -2), (5, 0)])
def test_range(row: Any, n: int, start: int, step: int) -> None:
    operands = {"out": np.empty(n, SHORT[row.types])}
    out = run(row, operands, {"n": n, "start": start, "step": step}, threads=2)
    np.testing.assert_array_equal(out, start + step * np.arange(n))
