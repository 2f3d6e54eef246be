"""Every depthwise kernel that this CPU can run, against torch in float64, and bit for bit against the generic one."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params

from .harness import Array, available_rows, fenced

ROWS = available_rows("depthwise")
GENERIC = {row.types: row for row in ROWS if row.isa == "generic"}
by_symbol: dict[str, Any] = {"ids": lambda row: row.symbol}
NONE, RELU, CLAMP, SILU = 0, 1, 2, 5

# images, channels, height, width, kernel, stride, dilation, padding (top, left, bottom, right)
SHAPES = [
    (1, 32, 14, 14, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    (2, 96, 9, 16, (3, 3), (2, 2), (1, 1), (0, 0, 1, 1)),
    (1, 144, 7, 7, (5, 5), (1, 1), (1, 1), (2, 2, 2, 2)),
    (1, 67, 11, 13, (5, 5), (2, 2), (1, 1), (2, 1, 2, 2)),
    (1, 33, 5, 30, (3, 3), (2, 1), (1, 1), (1, 1, 1, 1)),
    (1, 17, 8, 9, (3, 3), (1, 1), (2, 3), (2, 3, 2, 3)),
    (1, 33, 9, 16, (3, 3), (1, 1), (2, 1), (2, 1, 2, 1)),
    (1, 40, 10, 9, (7, 7), (1, 1), (1, 1), (3, 3, 3, 3)),
    (1, 5, 6, 20, (1, 4), (3, 3), (1, 2), (0, 5, 0, 1)),
    (3, 1, 1, 1, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    (1, 31, 3, 4, (5, 5), (1, 1), (1, 1), (4, 4, 4, 4)),
    (1, 1200, 4, 3, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    (0, 8, 4, 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    (1, 0, 4, 4, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1)),
    (1, 8, 2, 2, (3, 3), (1, 1), (1, 1), (0, 1, 0, 1)),
]


def geometry(shape: Any, **changes: Any) -> tuple[dict[str, Any], tuple[int, int]]:
    images, c, ih, iw, (kh, kw), (sh, sw), (dh, dw), (top, left, bottom, right) = shape
    oh = (ih + top + bottom - dh * (kh - 1) - 1) // sh + 1
    ow = (iw + left + right - dw * (kw - 1) - 1) // sw + 1
    params = {
        "images": images, "c": c, "ih": ih, "iw": iw, "oh": oh, "ow": ow, "kh": kh, "kw": kw, "sh": sh, "sw": sw,
        "ph": top, "pw": left, "dh": dh, "dw": dw, "src_pixel": c, "residual_pixel": c, "dst_pixel": c,
        "src_zero_point": 0, "activation": NONE, "alpha": 0.0, "beta": 0.0, "residual_scale": 0.0,
    }  # fmt: skip
    return params | changes, (oh, ow)


def convolve(src: Array, weight: Array, shape: Any, oh: int, ow: int) -> Array:
    """The sums in float64; `src` is NHWC with padding's value zero."""
    *_, stride, dilation, (top, left, bottom, right) = shape
    if 0 in (*src.shape, oh, ow):
        return np.zeros((src.shape[0], oh, ow, src.shape[3]))
    padded = F.pad(torch.from_numpy(src.astype(np.float64)).permute(0, 3, 1, 2), (left, right, top, bottom))
    out = F.conv2d(padded, torch.from_numpy(weight.astype(np.float64)), None, stride, 0, dilation, src.shape[3])
    return out.permute(0, 2, 3, 1).numpy()


def run(
    row: Any, params: dict[str, Any], weight: Array, dst: Array, threads: int = 1, chunk: int = 1, **operands: Any
) -> Array:
    raw = pack_params("depthwise", **params)
    operands["weight"] = _core.pack(row.symbol, raw, np.ascontiguousarray(weight))
    memory = {name: fenced(array) for name, array in (operands | {"dst": dst}).items() if array is not None}
    order = ("src", "weight", "bias", "scale", "residual", "dst")
    views = [memory[name][0].reshape(-1).view(np.uint8) if name in memory else None for name in order]
    _core.run_kernel(row.symbol, raw, views, threads, chunk)
    for _, before in memory.values():
        assert (before == 0xA5).all()
    return np.array(memory["dst"][0])


def case(types: str, shape: Any) -> tuple[dict[str, Any], tuple[int, int]]:
    """Random operands."""
    _, (oh, ow) = geometry(shape)
    rng = np.random.default_rng(crc32(repr((types, shape)).encode()))
    src_shape, dst_shape = (shape[0], *shape[2:4], shape[1]), (shape[0], oh, ow, shape[1])
    weight_shape = (shape[1], 1, *shape[4])
    if types == "f32":
        return {
            "src": rng.standard_normal(src_shape, np.float32),
            "weight": rng.standard_normal(weight_shape, np.float32),
            "bias": rng.standard_normal(shape[1], np.float32),
            "residual": rng.standard_normal(dst_shape, np.float32),
            "dst": np.full(dst_shape, np.nan, np.float32),
        }, (oh, ow)
    src = rng.integers(0, 256, src_shape, np.uint8)
    src[rng.random(src_shape) < 0.3] = 255
    weight = rng.integers(-128, 128, weight_shape).astype(np.int8)
    weight[rng.random(weight_shape) < 0.3] = -128
    dtype = np.dtype(np.uint8 if types == "u8s8u8" else np.float32)
    return {
        "src": src,
        "weight": weight,
        "scale": rng.uniform(0.002, 0.005, shape[1]).astype(np.float32),
        "bias": rng.uniform(60, 200, shape[1]).astype(np.float32),
        "residual": rng.integers(0, 256, dst_shape).astype(dtype),
        "dst": np.full(dst_shape, 77, dtype),
    }, (oh, ow)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("row", [row for row in ROWS if row.types == "f32"], **by_symbol)
def test_f32(row: Any, shape: Any) -> None:
    given, (oh, ow) = case("f32", shape)
    params, _ = geometry(shape, activation=RELU)
    plain = {**given, "residual": None}
    out = run(row, params, **given)
    sums = convolve(given["src"], given["weight"], shape, oh, ow) + given["bias"]
    bound = convolve(np.abs(given["src"]), np.abs(given["weight"]), shape, oh, ow) + 10
    tolerance = (shape[4][0] * shape[4][1] + 2) * 2.0**-24 * bound
    assert (np.abs(out - np.maximum(sums + given["residual"], 0)) <= tolerance).all()
    params["activation"] = NONE
    assert (np.abs(run(row, params, **plain) - sums) <= tolerance).all()
    params["activation"] = SILU
    expected = (sums / (1 + np.exp(-sums))).astype(np.float32)
    np.testing.assert_allclose(run(row, params, **plain), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("row", [row for row in ROWS if row.types != "f32"], **by_symbol)
def test_int8(row: Any, shape: Any) -> None:
    given, (oh, ow) = case(row.types, shape)
    zero_point = 131
    acc = convolve(given["src"].astype(np.int64) - zero_point, given["weight"], shape, oh, ow)
    v = (acc.astype(np.float32).astype(np.float64) * given["scale"] + given["bias"]).astype(np.float32)
    params, _ = geometry(
        shape, src_zero_point=zero_point, residual_scale=0.37, activation=CLAMP, alpha=17.0, beta=201.0
    )
    plain = run(row, params | {"activation": NONE}, **{**given, "residual": None})
    fused = run(row, params, **given)
    if row.types == "u8s8f32":
        np.testing.assert_array_equal(plain, v)
        np.testing.assert_array_equal(fused, np.clip(v + given["residual"], np.float32(17), np.float32(201)))
        return
    np.testing.assert_array_equal(plain, np.rint(np.clip(v, 0, 255)).astype(np.uint8))
    v = (given["residual"].astype(np.float64) * np.float32(0.37) + v).astype(np.float32)
    np.testing.assert_array_equal(fused, np.rint(np.clip(v, 17, 201)).astype(np.uint8))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_bits_do_not_depend_on_row_or_tasks(row: Any, shape: Any) -> None:
    given, _ = case(row.types, shape)
    params, _ = geometry(
        shape, src_zero_point=7 if row.types != "f32" else 0, residual_scale=0.4, activation=CLAMP, alpha=3.0, beta=90.0
    )
    if row.types != "u8s8u8":
        params["activation"] = SILU
    expected = run(GENERIC[row.types], params, **given)
    assert run(row, params, **given).tobytes() == expected.tobytes()
    assert run(row, params, **given, threads=2, chunk=3).tobytes() == expected.tobytes()


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_strided_pixels(row: Any) -> None:
    """Operands that are ranges of channels of wider tensors."""
    shape = SHAPES[3]
    given, _ = case(row.types, shape)
    params, _ = geometry(shape)
    expected = run(row, params, **{**given, "residual": None})

    def widen(array: Array, width: int) -> Array:
        wide = np.zeros((*array.shape[:3], width), array.dtype)
        wide[..., : array.shape[3]] = array
        return wide

    c = shape[1]
    wide = {**given, "src": widen(given["src"], c + 5), "dst": widen(given["dst"], c + 9), "residual": None}
    out = run(row, params | {"src_pixel": c + 5, "dst_pixel": c + 9}, **wide)
    assert np.ascontiguousarray(out[..., :c]).tobytes() == expected.tobytes()
    assert (out[..., c:] == 0).all()
