"""Every attention kernel that this CPU can run, against float64, and bit for bit against the generic one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params

from .attention_calls import random_mask, run_attention
from .harness import Array, available_rows, fenced, same_bits

ROWS = available_rows("attention")
GENERIC = next(row for row in ROWS if row.isa == "generic")
by_symbol: dict[str, Any] = {"ids": lambda row: row.symbol}

# images, q heads, kv heads, queries, keys, width, width of v, causal
SHAPES = [
    (1, 2, 2, 64, 64, 64, 64, False),
    (2, 4, 2, 33, 65, 32, 40, False),
    (1, 3, 3, 130, 130, 64, 64, True),
    (1, 2, 1, 1, 77, 16, 16, False),
    (2, 1, 1, 5, 3, 7, 5, True),
    (1, 1, 1, 20, 200, 24, 1, False),
    (1, 1, 1, 70, 20, 8, 9, True),
    (1, 1, 1, 1, 1, 1, 1, False),
    (0, 2, 2, 4, 4, 4, 4, False),
    (1, 2, 2, 0, 4, 4, 4, False),
    (1, 2, 2, 4, 0, 4, 4, False),
]


def run(
    row: Any, q: Array, k: Array, v: Array, mask: Array | None = None, causal: bool = False, rows_first: bool = False,
    threads: int = 1, chunk: int = 1,
) -> Array:  # fmt: skip
    return run_attention(row, "attention", q, k, v, mask, causal, rows_first, threads, chunk, scale=0.25)


def expected(q: Array, k: Array, v: Array, mask: Array | None = None, causal: bool = False) -> Array:
    """In float64, by the definition."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    k, v = (np.repeat(x, q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = q @ k.swapaxes(-1, -2) * 0.25
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == np.bool_ else scores + mask
    if causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    peak = scores.max(-1, keepdims=True, initial=-np.inf)
    e = np.exp(scores - np.where(np.isneginf(peak), 0, peak))
    total = e.sum(-1, keepdims=True)
    return (e / np.where(total == 0, 1, total)) @ v  # type: ignore[no-any-return]


def operands(shape: Any) -> tuple[Array, Array, Array]:
    b, hq, hk, lq, lk, d, dv, _ = shape
    rng = np.random.default_rng(lq * 31 + lk)
    q, k, v = (rng.standard_normal(s, np.float32) for s in ((b, hq, lq, d), (b, hk, lk, d), (b, hk, lk, dv)))
    return q * 3, k, v


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_attention(row: Any, shape: Any) -> None:
    q, k, v = operands(shape)
    out = run(row, q, k, v, causal=shape[-1])
    np.testing.assert_allclose(out, expected(q, k, v, causal=shape[-1]), rtol=2e-5, atol=2e-5)
    assert same_bits(run(row, q, k, v, causal=shape[-1], threads=2), out)
    assert same_bits(run(row, q, k, v, causal=shape[-1], rows_first=True), out)
    assert same_bits(out, run(GENERIC, q, k, v, causal=shape[-1]))


@pytest.mark.parametrize("kind", ["f32", "bool"])
@pytest.mark.parametrize("mask_shape", [(1, 1, 1, 65), (2, 1, 1, 65), (2, 4, 33, 65), (1, 1, 33, 65)], ids=str)
@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_mask(row: Any, mask_shape: tuple[int, ...], kind: str) -> None:
    q, k, v = operands(SHAPES[1])
    mask = random_mask(mask_shape, kind)
    out = run(row, q, k, v, mask)
    np.testing.assert_allclose(out, expected(q, k, v, mask), rtol=2e-5, atol=2e-5)
    assert same_bits(out, run(GENERIC, q, k, v, mask))
    if mask_shape[2] > 1:
        assert (out[:, :, 3] == 0).all()


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_agrees_with_torch(row: Any) -> None:
    q, k, v = operands(SHAPES[2])
    truth = torch.nn.functional.scaled_dot_product_attention(
        *(torch.from_numpy(x) for x in (q, k, v)), is_causal=True, scale=0.25
    )
    np.testing.assert_allclose(run(row, q, k, v, causal=True), truth.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_a_query_has_the_same_bits_alone(row: Any) -> None:
    """Neither the batch, nor the other queries, nor causal masking of other queries can be seen in a result."""
    q, k, v = operands((3, 2, 2, 90, 90, 64, 64, False))
    together = run(row, q, k, v)
    assert same_bits(run(row, q[1:2], k[1:2], v[1:2]), together[1:2])
    for i in (0, 1, 63, 64, 89):
        assert same_bits(run(row, q[:, :, i : i + 1], k, v), together[:, :, i : i + 1])


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_extreme_scores(row: Any) -> None:
    q, k, v = operands(SHAPES[0])
    q[0, 0, 0] *= 1e20
    q[0, 0, 1, 0] = np.nan
    q[0, 0, 2, 0] = np.inf
    out = run(row, q, k, v)
    assert np.isfinite(out[0, 0, 0]).all()
    assert np.isnan(out[0, 0, 1]).all()
    assert np.isfinite(out[0, 0, 3:]).all()
    assert same_bits(out, run(GENERIC, q, k, v))


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_windows(row: Any) -> None:
    """Rows by number, with a bias of every head and a mask of every window, against attention of gathered rows."""
    windows, length, heads, d = 3, 49, 2, 32
    rng = np.random.default_rng(9)
    q, k, v = (rng.standard_normal((2, windows * length, heads, d), np.float32) for _ in range(3))
    bias = rng.standard_normal((heads, length, length), np.float32)
    mask = np.where(rng.random((windows, length, length)) < 0.3, np.float32(-100), np.float32(0))
    rows = rng.permutation(windows * length).reshape(windows, length)
    out = np.full(q.shape, np.nan, np.float32)
    steps = (windows * length * heads * d, d, heads * d)
    params = pack_params(
        "attention", images=2, windows=windows, q_heads=heads, kv_heads=heads, lq=length, lk=length, d=d, dv=d,
        q_stride=steps, k_stride=steps, v_stride=steps, out_stride=steps, bias_stride=(length * length, length),
        mask_stride=(0, length * length, 0, length, 1), mask_is_bool=0, is_causal=0, scale=0.25,
    )  # fmt: skip
    memory = [fenced(array) for array in (q, k, v, mask, bias, rows, out)]
    views = [array.reshape(-1).view(np.uint8) for array, _ in memory]
    _core.run_kernel(row.symbol, params, views, 2, 1)
    assert all((before == 0xA5).all() for _, before in memory)
    for window, chosen in enumerate(rows):
        parts = (x[:, chosen].transpose(0, 2, 1, 3) for x in (q, k, v))
        alone = run(row, *parts, mask=np.ascontiguousarray(np.broadcast_to(bias + mask[window], (2, *bias.shape))))
        got = memory[-1][0][:, chosen].transpose(0, 2, 1, 3)
        np.testing.assert_allclose(got, alone, rtol=1e-5, atol=1e-5)
    first = memory[-1][0].copy()
    _core.run_kernel(GENERIC.symbol, params, views, 1, 1)
    assert same_bits(first, memory[-1][0])
