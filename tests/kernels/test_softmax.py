"""Every compiled softmax kernel against float64 PyTorch, and bit for bit among instruction sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from .harness import Array, available_rows, run, same_bits

ROWS = available_rows("softmax")
OPS = sorted({row.op for row in ROWS})
ids = {"ids": lambda row: row.symbol}
VIEWS = [
    (0, 3, 1), (1, 1, 1), (3, 1, 5), (2, 63, 1), (2, 64, 1), (3, 65, 1), (7, 131, 1), (900, 10, 1), (1, 9000, 1),
    (2, 21, 16), (2, 49, 17), (1, 130, 63), (2, 7, 130),
]  # fmt: skip


def softmax(row: Any, x: Array, **how: Any) -> Array:
    outer, n, inner = x.shape
    out = np.zeros((outer, inner) if row.op == "logsumexp" else x.shape, np.float32)
    return run(row, {"x": x, "out": out}, {"outer": outer, "n": n, "inner": inner}, **how)


def truth(op: str, x: Array) -> Array:
    result: Array = getattr(torch, op)(torch.from_numpy(x.astype(np.float64)), dim=1).numpy()
    return result


@pytest.mark.parametrize("row", ROWS, **ids)
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_accuracy(row: Any, view: tuple[int, int, int]) -> None:
    x = np.random.default_rng(sum(view)).normal(0, 6, view).astype(np.float32)
    out = softmax(row, x)
    expected = truth(row.op, x)
    if row.op == "softmax":
        np.testing.assert_allclose(out, expected, rtol=4e-6, atol=1e-37)
        np.testing.assert_allclose(out.sum(axis=1, dtype=np.float64), 1, rtol=1e-6)
    else:
        np.testing.assert_allclose(out, expected, rtol=3e-7, atol=3e-6)
    assert same_bits(out, softmax(row, x, threads=2))
    if row.op != "logsumexp":
        assert same_bits(out, softmax(row, x, in_place="x"))


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_same_bits_on_every_isa_and_layout(op: str, view: tuple[int, int, int]) -> None:
    x = np.random.default_rng(sum(view)).normal(0, 6, view).astype(np.float32)
    rows = [row for row in ROWS if row.op == op]
    first = softmax(rows[0], x)
    for row in rows[1:]:
        assert same_bits(first, softmax(row, x))
    outer, n, inner = view
    lines = np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(outer * inner, n, 1)
    by_line = softmax(rows[0], lines)
    moved = by_line.reshape(outer, inner, 1 if op == "logsumexp" else n).transpose(0, 2, 1)
    assert same_bits(first.reshape(moved.shape), np.ascontiguousarray(moved))


@pytest.mark.parametrize("row", ROWS, **ids)
@pytest.mark.parametrize("inner", [1, 3])
def test_infinities_and_nan(row: Any, inner: int) -> None:
    inf, nan = np.inf, np.nan
    lines = [
        [-inf, -inf, -inf],
        [-inf, 1, 2],
        [inf, 1, 2],
        [nan, 1, 2],
        [inf, inf, 0],
        [1e38, -1e38, 0],
        [-inf, nan, inf],
    ]
    x = np.repeat(np.array(lines, np.float32)[:, :, None], inner, axis=2)
    np.testing.assert_allclose(softmax(row, x), truth(row.op, x), rtol=1e-6, atol=1e-37)
