"""Every compiled kernel between float and 8 bits, and of 8-bit arithmetic, bit for bit against its definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.ops import get
from rushlight.runtime.ops.fma import fma

from .harness import Array, available_rows, run, same_bits
from .test_binary import strides

ROWS = available_rows("quantize")
BINARY_ROWS = available_rows("qbinary")
ids = {"ids": lambda row: row.symbol}
DTYPES = {"u8": np.uint8, "s8": np.int8}
# shape of x, shape of scale and zero point
SHAPES = [
    ((0,), (1,)), ((1,), (1,)), ((37,), (1,)), ((9001,), (1,)), ((5, 33), (33,)), ((33, 5), (33, 1)),
    ((2, 7, 9), (7, 1)), ((3, 4097), (4097,)),
]  # fmt: skip


def scaled(row: Any, x: Array, scale: Array, zero_point: Array, dtype: Any, **how: Any) -> Array:
    params = {"rank": x.ndim, "shape": x.shape, "scale_strides": strides(scale.shape, x.shape)}
    return run(row, {"x": x, "scale": scale, "zero_point": zero_point, "out": np.zeros(x.shape, dtype)}, params, **how)


@pytest.mark.parametrize("row", [row for row in ROWS if row.op not in ("qlut", "quantize_planes")], **ids)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_per_tensor_and_per_axis(row: Any, shapes: tuple[tuple[int, ...], ...]) -> None:
    shape, parameters = shapes
    rng = np.random.default_rng(6)
    quantized = DTYPES[row.types[6:8] if row.op == "quantize" else row.types[:2]]
    scale = rng.uniform(0.01, 0.1, parameters).astype(np.float32)
    zero_point = rng.integers(100, 120, parameters).astype(quantized)
    if row.op == "quantize":
        x = rng.normal(0, 5, shape).astype(np.float32)
        flat = x.reshape(-1)
        special = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, -0.0], np.float32)[: flat.size]
        flat[: special.size] = special
        limits = np.iinfo(quantized)
        with np.errstate(invalid="ignore"):
            v = np.rint(x / scale) + zero_point.astype(np.float32)
        expected = np.clip(np.where(np.isnan(v), limits.min, v), limits.min, limits.max).astype(quantized)
    elif row.op == "qaffine":
        x = rng.integers(0, 256, shape).astype(np.uint8)
        scale, zero_point = scale * 100, rng.uniform(-200, 300, parameters).astype(np.float32)
        expected = np.rint(np.clip(fma(x.astype(np.float32), scale, zero_point), 0, 255)).astype(np.uint8)
    else:
        x = rng.integers(-128 if quantized == np.int8 else 0, 127, shape).astype(quantized)
        expected = (x.astype(np.float32) - zero_point.astype(np.float32)) * scale
    assert same_bits(scaled(row, x, scale, zero_point, expected.dtype), expected)
    assert same_bits(scaled(row, x, scale, zero_point, expected.dtype, threads=2), expected)


@pytest.mark.parametrize("row", [row for row in ROWS if row.op.startswith("quantize")], **ids)
def test_quotients_round_as_the_division_does(row: Any) -> None:
    """Next to halves, for common scales, for the least and the greatest, and for what no quotient could be kept of."""
    rng = np.random.default_rng(12)
    scales = np.concatenate([
        np.exp(rng.uniform(-9, 3, 40)), np.nextafter(np.float32([1, 2, 0.25]), np.float32(0)), [1 / 3, 1, 0.1],
        [2.0**-61, 2.0**-59, 1.1 * 2.0**59, 1.7 * 2.0**60, 2.0**-126, 2.0**127, 3e38, 0, np.inf],
    ]).astype(np.float32)  # fmt: skip
    quantized = DTYPES[row.types[6:8]]
    limits = np.iinfo(quantized)
    zero_point = np.array([limits.max // 3], quantized)
    for scale in scales:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
            halves = (np.arange(-300, 300, dtype=np.float64) + 0.5) * np.float64(scale)
            x = halves.astype(np.float32)
            x = np.concatenate([np.nextafter(x, np.float32(-np.inf)), x, np.nextafter(x, np.float32(np.inf))])
            x = np.concatenate([x, np.float32([0, -0.0, np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-38])])
            x = np.where(np.abs(x) < np.finfo(np.float32).tiny, np.float32(0), x)
            v = np.rint(x / scale) + zero_point.astype(np.float32)
        expected = np.clip(np.where(np.isnan(v), limits.min, v), limits.min, limits.max).astype(quantized)
        if row.op == "quantize":
            got = scaled(row, x, np.array([scale]), zero_point, quantized)
        else:
            params = {"rank": 3, "shape": (1, x.size // 2, 2), "scale_strides": (0, 0, 0)}
            operands = {"x": x, "scale": np.array([scale]), "zero_point": zero_point, "out": expected}
            got = run(row, operands, params)
            expected = expected.reshape(2, -1).T.reshape(-1)
        assert same_bits(got, expected)


@pytest.mark.parametrize("row", [row for row in ROWS if row.op == "quantize_planes"], **ids)
@pytest.mark.parametrize("images", [0, 1, 3])
@pytest.mark.parametrize("pixels", [0, 1, 15, 48, 1367, 5000])
@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("per_channel", [False, True])
def test_planes(row: Any, images: int, pixels: int, channels: int, per_channel: bool) -> None:
    rng = np.random.default_rng(pixels)
    quantized = DTYPES[row.types[6:8]]
    x = rng.normal(0, 10, (images, channels, pixels)).astype(np.float32)
    special = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, -0.0], np.float32)[: x.size]
    x.reshape(-1)[: special.size] = special
    size = channels if per_channel else 1
    scale = rng.uniform(0.01, 0.1, size).astype(np.float32)
    zero_point = rng.integers(-20 if quantized == np.int8 else 100, 120, size).astype(quantized)
    limits = np.iinfo(quantized)
    with np.errstate(invalid="ignore"):
        v = np.rint(x.swapaxes(1, 2) / scale) + zero_point.astype(np.float32)
    expected = np.clip(np.where(np.isnan(v), limits.min, v), limits.min, limits.max).astype(quantized)
    params = {"rank": 3, "shape": expected.shape, "scale_strides": (0, 0, int(per_channel))}
    operands = {"x": x, "scale": scale, "zero_point": zero_point, "out": np.zeros(expected.shape, quantized)}
    assert same_bits(run(row, operands, params), expected)
    assert same_bits(run(row, operands, params, threads=2), expected)


@pytest.mark.parametrize("row", [row for row in ROWS if row.op == "qlut"], **ids)
def test_lut(row: Any) -> None:
    rng = np.random.default_rng(1)
    table = rng.permutation(256).astype(np.uint8)
    for n in (0, 1, 31, 33, 256, 8229):
        x = np.resize(rng.permutation(256).astype(np.uint8), n)
        params = {"rank": 1, "shape": (n,), "scale_strides": (0,)}
        operands = {"x": x, "scale": table, "out": np.zeros(n, np.uint8)}
        assert same_bits(run(row, operands, params), table[x])
        assert same_bits(run(row, operands, params, in_place="x", threads=2), table[x])


ATTRS: dict[str, list[dict[str, float]]] = {
    "qadd": [
        {"a_scale": 0.7, "b_scale": 0.4, "offset": -20.5, "qmin": 0, "qmax": 255},
        {"a_scale": 3.0, "b_scale": -1.5, "offset": 0.5, "qmin": 7, "qmax": 200},
    ],
    "qmul": [
        {"a_zero_point": 0, "b_zero_point": 255, "scale": 0.003, "offset": 128.0, "qmin": 0, "qmax": 255},
        {"a_zero_point": 131, "b_zero_point": 17, "scale": 0.5, "offset": 3.25, "qmin": 3, "qmax": 100},
    ],
}
BINARY_SHAPES = [
    ((0,), (0,)), ((1,), (1,)), ((65,), (65,)), ((65,), (1,)), ((1,), (65,)), ((256, 1), (1, 256)),
    ((2, 6, 33), (2, 1, 33)), ((9000,), (9000,)), ((5, 1), (5, 1)),
]  # fmt: skip


@pytest.mark.parametrize("row", BINARY_ROWS, **ids)
@pytest.mark.parametrize("shapes", BINARY_SHAPES, ids=str)
def test_qbinary(row: Any, shapes: tuple[tuple[int, ...], ...]) -> None:
    rng = np.random.default_rng(2)
    a, b = (
        np.arange(256, dtype=np.uint8).reshape(s) if np.prod(s) == 256 else rng.integers(0, 256, s).astype(np.uint8)
        for s in shapes
    )
    shape = np.broadcast_shapes(*shapes)
    for attrs in ATTRS[row.op]:
        expected = get(row.op).reference(a, b, **attrs)
        params = {
            "rank": len(shape), "shape": shape,
            "a_strides": strides(a.shape, shape), "b_strides": strides(b.shape, shape),
            "a_zero_point": 0, "b_zero_point": 0, "a_scale": 0, "b_scale": 0, "scale": 0, "offset": 0,
        } | attrs  # fmt: skip
        operands = {"a": a, "b": b, "out": np.zeros(shape, np.uint8)}
        assert same_bits(run(row, operands, params), expected)
        assert same_bits(run(row, operands, params, threads=2), expected)
        if a.shape == shape:
            assert same_bits(run(row, operands, params, in_place="a"), expected)
