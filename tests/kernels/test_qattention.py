"""Every kernel of attention on integers that this CPU can run, against the operator's reference, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.ops import get
from rushlight.runtime.ops.integer_attention import KEY_BLOCK, exp2_in_255ths

from .attention_calls import random_mask, run_attention
from .harness import Array, available_rows, fenced

ROWS = available_rows("qattention")
by_symbol: dict[str, Any] = {"ids": lambda row: row.symbol}
QUANTIZATION = {
    "q_zero_point": 131, "k_zero_point": 97, "v_zero_point": 140, "score_scale": 2e-4, "scale": 1.25, "offset": 121.0,
    "qmin": 0, "qmax": 255,
}  # fmt: skip

# images, q heads, kv heads, queries, keys, width, width of v, causal
SHAPES = [
    (1, 2, 2, 128, 128, 64, 64, False),
    (2, 3, 3, 32, 32, 32, 32, False),
    (1, 2, 2, 197, 197, 64, 64, False),
    (2, 4, 2, 33, 65, 32, 40, False),
    (1, 3, 3, 130, 130, 64, 64, True),
    (1, 2, 1, 1, 77, 16, 16, False),
    (2, 1, 1, 5, 3, 7, 5, True),
    (1, 1, 1, 20, 200, 26, 1, False),
    (1, 1, 1, 70, 20, 9, 67, True),
    (1, 2, 2, 13, 49, 130, 130, False),
    (1, 1, 1, 1, 1, 1, 1, False),
    (0, 2, 2, 4, 4, 4, 4, False),
    (1, 2, 2, 0, 4, 4, 4, False),
    (1, 2, 2, 4, 0, 4, 4, False),
]


def run(
    row: Any, q: Array, k: Array, v: Array, mask: Array | None = None, causal: bool = False, rows_first: bool = False,
    threads: int = 1, chunk: int = 1, **quantization: Any,
) -> Array:  # fmt: skip
    own = {**QUANTIZATION, **quantization}
    return run_attention(row, "qattention", q, k, v, mask, causal, rows_first, threads, chunk, **own)


def expected(
    q: Array, k: Array, v: Array, mask: Array | None = None, causal: bool = False, **quantization: Any
) -> Array:
    operator = get("qattention")
    attrs = {**QUANTIZATION, **quantization, "is_causal": causal, "enable_gqa": True}
    (out,) = operator.run_reference([q, k, v, mask], operator.complete_attrs(attrs))
    return out


def operands(shape: Any) -> tuple[Array, Array, Array]:
    b, hq, hk, lq, lk, d, dv, _ = shape
    rng = np.random.default_rng(lq * 31 + lk)
    q, k, v = (rng.integers(0, 256, s).astype(np.uint8) for s in ((b, hq, lq, d), (b, hk, lk, d), (b, hk, lk, dv)))
    return q, k, v


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_qattention(row: Any, shape: Any) -> None:
    q, k, v = operands(shape)
    causal = shape[-1]
    out = run(row, q, k, v, causal=causal)
    np.testing.assert_array_equal(out, expected(q, k, v, causal=causal))
    np.testing.assert_array_equal(run(row, q, k, v, causal=causal, threads=2), out)
    np.testing.assert_array_equal(run(row, q, k, v, causal=causal, rows_first=True), out)


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_near_the_formula(row: Any) -> None:
    """Against attention of the numbers that the bytes stand for, in float64."""
    q, k, v = operands(SHAPES[0])
    scores = (q.astype(float) - 131) @ (k.astype(float) - 97).swapaxes(-1, -2) * QUANTIZATION["score_scale"]
    e = np.exp(scores - scores.max(-1, keepdims=True))
    truth = (e / e.sum(-1, keepdims=True)) @ (v.astype(float) - 140) * 1.25 + 121
    assert np.abs(run(row, q, k, v) - np.clip(truth, 0, 255)).max() < 2
    even = run(row, q, k, v, score_scale=0.0)
    mean = (v.astype(float) - 140).mean(2, keepdims=True) * 1.25 + 121
    assert np.abs(even - mean).max() <= 0.5 + 1e-4  # weights that are alike lose nothing


@pytest.mark.parametrize("zero_points", [(0, 0, 0), (255, 255, 255), (0, 255, 128), (255, 0, 1)], ids=str)
@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_zero_points_and_limits(row: Any, zero_points: tuple[int, ...]) -> None:
    q, k, v = operands(SHAPES[3])
    q[0, 0], k[0, 0], v[0, 0], v[1, 0] = 255, 0, 255, 0
    names = ("q_zero_point", "k_zero_point", "v_zero_point")
    quantization = {**dict(zip(names, zero_points, strict=True)), "scale": 3.0, "offset": 7.5, "qmin": 10, "qmax": 180}
    mask = np.random.default_rng(3).standard_normal((2, 4, 33, 65), np.float32)
    for addend in (None, mask):
        out = run(row, q, k, v, addend, **quantization)
        np.testing.assert_array_equal(out, expected(q, k, v, addend, **quantization))


@pytest.mark.parametrize("kind", ["f32", "bool"])
@pytest.mark.parametrize("mask_shape", [(1, 1, 1, 65), (2, 1, 33, 1), (2, 4, 33, 65), (1, 1, 33, 65)], ids=str)
@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_mask(row: Any, mask_shape: tuple[int, ...], kind: str) -> None:
    q, k, v = operands(SHAPES[3])
    mask = random_mask(mask_shape, kind)
    out = run(row, q, k, v, mask)
    np.testing.assert_array_equal(out, expected(q, k, v, mask))
    if mask_shape[2] > 1:
        assert (out[:, :, 3] == 121).all()


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_extreme_masks(row: Any) -> None:
    """The least float, infinities and NaN: a NaN counts as a key that is not seen."""
    q, k, v = operands(SHAPES[3])
    mask = np.zeros((1, 1, 33, 65), np.float32)
    mask[..., 1, :] = np.finfo(np.float32).min
    mask[..., 2, 4:] = np.finfo(np.float32).min
    mask[..., 3, 5] = np.inf
    mask[..., 4, 6:] = np.nan
    mask[..., 5, :] = np.nan
    out = run(row, q, k, v, mask)
    np.testing.assert_array_equal(out, expected(q, k, v, mask))
    np.testing.assert_array_equal(out[:, :, 4], run(row, q, k[:, :, :6], v[:, :, :6])[:, :, 4])


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_a_query_has_the_same_bits_alone(row: Any) -> None:
    """Neither the batch, nor the other queries can be seen in a result."""
    q, k, v = operands((3, 2, 2, 90, 90, 64, 64, False))
    together = run(row, q, k, v)
    np.testing.assert_array_equal(run(row, q[1:2], k[1:2], v[1:2]), together[1:2])
    for i in (0, 1, 63, 64, 89):
        np.testing.assert_array_equal(run(row, q[:, :, i : i + 1], k, v), together[:, :, i : i + 1])


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_more_keys_than_one_sum_holds(row: Any, causal: bool) -> None:
    keys = KEY_BLOCK + 37
    rng = np.random.default_rng(8)
    q, k = (rng.integers(0, 256, (1, 1, n, 3)).astype(np.uint8) for n in (3, keys))
    v = np.full((1, 1, keys, 2), 255, np.uint8)
    v[..., 1] = rng.integers(0, 256, keys)
    quantization = {"v_zero_point": 0, "score_scale": 0.0, "scale": 0.9, "offset": 3.0}
    out = run(row, q, k, v, causal=causal, **quantization)
    np.testing.assert_array_equal(out, expected(q, k, v, causal=causal, **quantization))
    assert (out[..., 0] == 232).all()  # rint(255 * 0.9 + 3)


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_windows(row: Any) -> None:
    """Rows by number, with a bias of every head and a mask of every window."""
    windows, length, heads, d = 3, 49, 2, 32
    rng = np.random.default_rng(9)
    shape = (2, windows * length, heads, d)
    q, k, v = (rng.integers(0, 256, shape).astype(np.uint8) for _ in range(3))
    bias = rng.standard_normal((heads, length, length), np.float32)
    mask = np.where(rng.random((windows, length, length)) < 0.3, np.float32(-100), np.float32(0))
    rows = rng.permutation(windows * length).reshape(windows, length)
    steps = (windows * length * heads * d, d, heads * d)
    params = pack_params(
        "qattention", images=2, windows=windows, q_heads=heads, kv_heads=heads, lq=length, lk=length, d=d, dv=d,
        q_stride=steps, k_stride=steps, v_stride=steps, out_stride=steps, bias_stride=(length * length, length),
        mask_stride=(0, length * length, 0, length, 1), mask_is_bool=0, is_causal=0, **QUANTIZATION,
    )  # fmt: skip
    memory = [fenced(array) for array in (q, k, v, mask, bias, rows, np.zeros(shape, np.uint8))]
    views = [array.reshape(-1).view(np.uint8) for array, _ in memory]
    _core.run_kernel(row.symbol, params, views, 2, 1)
    assert all((before == 0xA5).all() for _, before in memory)
    operator = get("qwindow_attention")
    (truth,) = operator.run_reference([q, k, v, rows, bias, mask], operator.complete_attrs(QUANTIZATION))
    np.testing.assert_array_equal(memory[-1][0], truth)


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_columns_of_one_product(row: Any) -> None:
    """q, k and v of every head inside the rows of one tensor, 3 x heads x d wide."""
    b, length, heads, d = 2, 37, 3, 24
    joined = np.random.default_rng(2).integers(0, 256, (b, length, 3, heads, d)).astype(np.uint8)
    (memory, before), (out, before_out) = fenced(joined), fenced(np.zeros((b, length, heads, d), np.uint8))
    wide, own = 3 * heads * d, heads * d
    params = pack_params(
        "qattention", images=b, windows=1, q_heads=heads, kv_heads=heads, lq=length, lk=length, d=d, dv=d,
        q_stride=(length * wide, d, wide), k_stride=(length * wide, d, wide), v_stride=(length * wide, d, wide),
        out_stride=(length * own, d, own), bias_stride=(), mask_stride=(), mask_is_bool=0, is_causal=0, **QUANTIZATION,
    )  # fmt: skip
    flat = memory.reshape(-1)
    views = [flat, flat[own:], flat[2 * own :], None, None, None, out.reshape(-1)]
    _core.run_kernel(row.symbol, params, views, 2, 1)
    assert (before == 0xA5).all()
    assert (before_out == 0xA5).all()
    q, k, v = (joined[:, :, i].transpose(0, 2, 1, 3) for i in range(3))
    np.testing.assert_array_equal(out.transpose(0, 2, 1, 3), expected(q, k, v))


def test_the_power_is_near() -> None:
    """Of what is rounded to a byte, hardly anything is seen."""
    x = np.linspace(-20, 0, 100_001, dtype=np.float32)
    found = exp2_in_255ths(x)
    assert np.abs(found - 255 * np.exp2(np.maximum(x, -16).astype(float))).max() < 0.03
    assert found[-1] == 255
    assert exp2_in_255ths(np.array([np.nan, -np.inf], np.float32)).max() < 0.5
