"""Every copy and pad kernel against NumPy's views of strided memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params

from .harness import Array, available_rows, fenced

ROWS = available_rows("move")
COPIES = [row for row in ROWS if row.op == "copy"]
PADS = [row for row in ROWS if row.op != "copy"]
by_symbol: dict[str, Any] = {"ids": lambda row: row.symbol}


def dtype_of(row: Any) -> np.dtype[Any]:
    return np.dtype(f"u{int(row.types[1:]) // 8}")


def random_array(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    rng = np.random.default_rng(len(shape))
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def element_strides(array: Array) -> list[int]:
    return [stride // array.itemsize for stride in array.strides]


def run(
    row: Any, src_base: Array, src: Array, dst_base: Array, dst: Array, threads: int, chunk: int, **pad: Any
) -> Array:
    """Runs on fenced copies of the bases, of which src and dst are views; returns what became of `dst_base`."""
    memory, before = fenced(src_base)
    out, out_before = fenced(dst_base)
    item = src.itemsize
    src_at = (src.__array_interface__["data"][0] - src_base.__array_interface__["data"][0]) // item
    dst_at = (dst.__array_interface__["data"][0] - dst_base.__array_interface__["data"][0]) // item
    params = {
        "rank": dst.ndim, "dims": dst.shape, "src_stride": element_strides(src), "dst_stride": element_strides(dst),
        "src_dims": (), "begin": (), "value": 0,
    } | pad  # fmt: skip
    views = [memory.reshape(-1)[src_at:], out.reshape(-1)[dst_at:]]
    _core.run_kernel(row.symbol, pack_params("move", **params), [v.view(np.uint8) for v in views], threads, chunk)
    for guard in (before, out_before):
        assert (guard == 0xA5).all()
    assert memory.tobytes() == src_base.tobytes()
    return np.array(out)


PERMUTATIONS = [
    ((), ()), ((1,), (0,)), ((7,), (0,)), ((9001,), (0,)), ((3, 5), (1, 0)), ((16, 16), (1, 0)), ((65, 67), (1, 0)),
    ((300, 3), (1, 0)), ((3, 1000), (1, 0)), ((2, 2, 77), (0, 2, 1)),
    ((2, 19, 6, 7), (0, 2, 3, 1)), ((2, 6, 7, 19), (0, 3, 1, 2)),
    ((3, 4, 5, 6, 7), (4, 2, 0, 3, 1)),
    ((2, 3, 2, 3, 2, 3, 2, 3), (7, 6, 5, 4, 3, 2, 1, 0)), ((4, 33, 2, 17), (0, 2, 1, 3)),
    ((1, 4, 1), (2, 0, 1)), ((0, 3), (1, 0)), ((33, 0), (1, 0)), ((5, 1100), (1, 0)), ((1100, 70), (1, 0)),
]  # fmt: skip


@pytest.mark.parametrize("row", COPIES, **by_symbol)
@pytest.mark.parametrize("case", PERMUTATIONS, ids=str)
def test_permute(row: Any, case: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    shape, order = case
    src = random_array(shape, dtype_of(row))
    expected = np.ascontiguousarray(src.transpose(order))
    for threads, chunk in ((1, 1000), (2, 1)):
        dst = np.zeros(expected.shape, src.dtype)
        np.testing.assert_array_equal(run(row, src, src.transpose(order), dst, dst, threads, chunk), expected)


SLICES: list[tuple[tuple[int, ...], Any]] = [
    ((9, 11), (slice(1, 8, 2), slice(None))),
    ((9, 11), (slice(None, None, -1), slice(None, None, -1))),
    ((9, 11), (slice(None), slice(2, 9))),
    ((40, 50), (slice(None), slice(45, 3, -3))),
    ((2, 3, 1000), (slice(None), slice(1, 3), slice(0, 999, 7))),
    ((5,), (slice(4, 4),)),
    ((6, 70, 70), (slice(None, None, -2), slice(1, 69), slice(3, 60))),
]


@pytest.mark.parametrize("row", COPIES, **by_symbol)
@pytest.mark.parametrize("case", SLICES, ids=str)
def test_slice(row: Any, case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    src = random_array(shape, dtype_of(row))
    view = src[index]
    dst = np.zeros(view.shape, src.dtype)
    np.testing.assert_array_equal(run(row, src, view, dst, dst, 2, 1), view)


@pytest.mark.parametrize("row", COPIES, **by_symbol)
def test_expand_and_fill(row: Any) -> None:
    for shape, to in (
        ((3, 1), (3, 500)),
        ((4,), (2, 3, 4)),
        ((2, 1, 3), (2, 7, 3)),
        ((1,), (70000,)),
        ((1, 5), (0, 5)),
    ):
        src = random_array(shape, dtype_of(row))
        view = np.broadcast_to(src, to)
        dst = np.zeros(to, src.dtype)
        np.testing.assert_array_equal(run(row, src, view, dst, dst, 2, 1), view)


@pytest.mark.parametrize("row", COPIES, **by_symbol)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_concat(row: Any, axis: int) -> None:
    parts = []
    for width in (1, 4, 30):
        shape = [5, 6, 7]
        shape[axis] = width
        parts.append(random_array(shape, dtype_of(row)))
    expected = np.concatenate(parts, axis)
    out = np.zeros_like(expected)
    at = 0
    for part in parts:
        index: list[slice] = [slice(None)] * 3
        index[axis] = slice(at, at + part.shape[axis])
        out = run(row, part, part, out, out[tuple(index)], 1, 1)
        at += part.shape[axis]
    np.testing.assert_array_equal(out, expected)


PAD_CASES = [
    ((3, 4), (1, 0), (2, 3)), ((2, 3, 40, 5), (0, 0, 1, 2), (0, 0, 3, 0)), ((2, 4), (0, 3), (1, 2)),
    ((7,), (6,), (5,)),
    ((100, 90), (3, 2), (1, 9)), ((), (), ()),
    ((1, 2, 1, 2, 1, 2, 1, 2), (0,) * 8, (0, 1) * 4), ((3, 2), (0, 0), (0, 0)),
]  # fmt: skip


@pytest.mark.parametrize("row", PADS, **by_symbol)
@pytest.mark.parametrize("case", PAD_CASES, ids=str)
def test_pad(row: Any, case: Any) -> None:
    shape, begins, ends = case
    mode = row.op.removeprefix("pad_")
    src = random_array(shape, dtype_of(row))
    value = np.iinfo(src.dtype).max - 3
    constant = {"constant_values": value} if mode == "constant" else {}
    expected = np.pad(src, list(zip(begins, ends, strict=True)), mode, **constant) if shape else src
    dst = np.zeros(expected.shape, src.dtype)
    pad = {"src_dims": shape, "begin": begins, "value": np.uint64(value).astype(np.int64)}
    for threads, chunk in ((1, 1000), (2, 1)):
        np.testing.assert_array_equal(run(row, src, src, dst, dst, threads, chunk, **pad), expected)


def test_pad_of_nothing() -> None:
    row = next(row for row in PADS if row.symbol.startswith("pad_constant_x32"))
    dst = np.zeros((2, 3), np.uint32)
    pad = {"src_dims": (0, 2), "begin": (1, 0), "value": 9}
    assert (run(row, np.zeros((0, 2), np.uint32), np.zeros((0, 2), np.uint32), dst, dst, 1, 1, **pad) == 9).all()
