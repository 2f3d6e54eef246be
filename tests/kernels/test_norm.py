"""Every compiled normalization against float64 PyTorch, and bit for bit among instruction sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from .harness import Array, available_rows, run, same_bits

ROWS = available_rows("norm")
ROW_NORMS = [row for row in ROWS if row.op != "group_norm"]
GROUP_NORMS = [row for row in ROWS if row.op == "group_norm"]
ids = {"ids": lambda row: row.symbol}
AFFINE = [(True, True), (True, False), (False, True), (False, False)]


def norm(
    row: Any, x: Array, weight: Array | None, bias: Array | None, spatial: int, groups: int, n: int, **how: Any
) -> Array:
    outer = x.size // (spatial * groups * n) if n else 0
    params = {"outer": outer, "spatial": spatial, "groups": groups, "n": n, "eps": 1e-5}
    return run(row, {"x": x, "weight": weight, "bias": bias, "out": np.zeros_like(x)}, params, **how)


def tensor(x: Array | None) -> torch.Tensor | None:
    return None if x is None else torch.from_numpy(x.astype(np.float64))


@pytest.mark.parametrize("affine", AFFINE, ids=str)
@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (3, 7), (5, 16), (9, 65), (700, 12), (2, 768), (1, 5000)], ids=str)
@pytest.mark.parametrize("op", sorted({row.op for row in ROW_NORMS}))
def test_row_norms(op: str, shape: tuple[int, int], affine: tuple[bool, bool]) -> None:
    rng = np.random.default_rng(sum(shape))
    x = rng.normal(3, 2, shape).astype(np.float32)
    weight = rng.normal(1, 0.2, shape[1]).astype(np.float32) if affine[0] else None
    bias = rng.normal(0, 1, shape[1]).astype(np.float32) if affine[1] else None
    if op == "layer_norm":
        expected = F.layer_norm(tensor(x), (shape[1],), tensor(weight), tensor(bias), 1e-5).numpy()
    else:
        expected = F.rms_norm(tensor(x), (shape[1],), tensor(weight), 1e-5).numpy() + (0 if bias is None else bias)
    results = [norm(row, x, weight, bias, 1, 1, shape[1]) for row in ROW_NORMS if row.op == op]
    for row, out in zip([row for row in ROW_NORMS if row.op == op], results, strict=True):
        np.testing.assert_allclose(out, expected, rtol=2e-6, atol=2e-6)
        assert same_bits(out, results[0])
        assert same_bits(out, norm(row, x, weight, bias, 1, 1, shape[1], in_place="x"))
        assert same_bits(out, norm(row, x, weight, bias, 1, 1, shape[1], threads=2))


@pytest.mark.parametrize("affine", AFFINE, ids=str)
@pytest.mark.parametrize(
    "size",
    [(0, 4, 2, 3), (1, 1, 1, 1), (2, 9, 3, 5), (2, 49, 33, 1), (1, 130, 8, 16), (2, 10, 2, 100), (3, 70, 1, 64)],
    ids=str,
)
def test_group_norm(size: tuple[int, int, int, int], affine: tuple[bool, bool]) -> None:
    images, spatial, groups, n = size
    channels = groups * n
    rng = np.random.default_rng(sum(size))
    x = rng.normal(3, 2, (images, spatial, channels)).astype(np.float32)
    weight = rng.normal(1, 0.2, channels).astype(np.float32) if affine[0] else None
    bias = rng.normal(0, 1, channels).astype(np.float32) if affine[1] else None
    grouped = x.astype(np.float64).reshape(images, spatial, groups, n)
    mean, power = grouped.mean((1, 3), keepdims=True), grouped.var((1, 3), keepdims=True)
    expected = ((grouped - mean) / np.sqrt(power + 1e-5)).reshape(x.shape)
    expected = expected * (1 if weight is None else weight) + (0 if bias is None else bias)
    first = None
    for row in GROUP_NORMS:
        out = norm(row, x, weight, bias, spatial, groups, n)
        np.testing.assert_allclose(out, expected, rtol=3e-6, atol=3e-6)
        first = out if first is None else first
        assert same_bits(out, first)
        assert same_bits(out, norm(row, x, weight, bias, spatial, groups, n, in_place="x"))
        assert same_bits(out, norm(row, x, weight, bias, spatial, groups, n, threads=2))


@pytest.mark.parametrize("row", ROWS, **ids)
def test_constant_and_huge_rows(row: Any) -> None:
    for value in (0.0, 7.0, 1e15):
        x = np.full((2, 65), value, np.float32)
        out = norm(row, x, None, None, 1, 1, 65)
        bound = 1.0 + 1e-6 if row.op == "rms_norm" else 1e-3 if value < 1e3 else 65.0
        assert np.abs(out).max() <= bound
