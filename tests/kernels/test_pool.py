"""Every pooling kernel that this CPU can run, against torch, and bit for bit against the generic one."""

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

ROWS = available_rows("pool")
GENERIC = {(row.op, row.types): row for row in ROWS if row.isa == "generic"}
by_symbol: dict[str, Any] = {"ids": lambda row: row.symbol}

# images, channels, height, width, kernel, stride, padding, dilation (of max_pool), ceil_mode, count_include_pad
SHAPES = [
    (1, 64, 12, 12, (3, 3), (2, 2), (1, 1), (1, 1), False, True),
    (2, 67, 7, 9, (2, 2), (2, 2), (0, 0), (1, 1), True, False),
    (1, 300, 5, 8, (3, 2), (1, 2), (1, 1), (1, 1), True, True),
    (1, 17, 9, 9, (3, 3), (2, 1), (1, 1), (2, 3), False, False),
    (1, 129, 7, 7, (7, 7), (1, 1), (0, 0), (1, 1), False, True),
    (1, 1, 1, 1, (1, 1), (1, 1), (0, 0), (1, 1), False, True),
    (3, 5, 6, 5, (5, 5), (3, 3), (2, 2), (1, 1), True, True),
    (1, 1280, 2, 2, (2, 2), (1, 1), (0, 0), (1, 1), False, True),
    (0, 8, 4, 4, (2, 2), (2, 2), (0, 0), (1, 1), False, True),
]


def torch_pool(op: str, x: Array, shape: Any) -> Array:
    """The pool in float64, NHWC; a window's sum for avg_pool of integers comes from divisor_override."""
    *_, kernel, stride, padding, dilation, ceil_mode, include = shape
    first = torch.from_numpy(x.astype(np.float64)).permute(0, 3, 1, 2)
    if op == "max_pool":
        out = F.max_pool2d(first, kernel, stride, padding, dilation, ceil_mode)
    else:
        out = F.avg_pool2d(first, kernel, stride, padding, ceil_mode, include)
    return out.permute(0, 2, 3, 1).numpy()


def params_of(row: Any, shape: Any, oh: int, ow: int, **changes: Any) -> dict[str, Any]:
    images, c, ih, iw, (kh, kw), (sh, sw), (ph, pw), (dh, dw), _, include = shape
    if row.op == "avg_pool":
        dh = dw = 1
    return {
        "images": images, "c": c, "ih": ih, "iw": iw, "oh": oh, "ow": ow, "kh": kh, "kw": kw, "sh": sh, "sw": sw,
        "ph": ph, "pw": pw, "dh": dh, "dw": dw, "pb": ph, "pr": pw, "count_include_pad": int(include), "src_pixel": c,
        "dst_pixel": c, "src_zero_point": 0, "scale": 0.0, "offset": 0.0, "lo": 0.0, "hi": 255.0,
    } | changes  # fmt: skip


def run(row: Any, params: dict[str, Any], src: Array, dst: Array, threads: int = 1, chunk: int = 1) -> Array:
    (memory, before), (out, out_before) = fenced(src), fenced(dst)
    views = [array.reshape(-1).view(np.uint8) for array in (memory, out)]
    _core.run_kernel(row.symbol, pack_params("pool", **params), views, threads, chunk)
    assert (before == 0xA5).all()
    assert (out_before == 0xA5).all()
    return np.array(out)


def source(row: Any, shape: Any) -> Array:
    rng = np.random.default_rng(crc32(repr((row.types, shape)).encode()))
    images, c, ih, iw, *_ = shape
    if row.types == "u8":
        return rng.integers(0, 256, (images, ih, iw, c), np.uint8)
    return rng.standard_normal((images, ih, iw, c), np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_against_torch(row: Any, shape: Any) -> None:
    src = source(row, shape)
    expected = torch_pool(row.op, src, shape)
    params = params_of(row, shape, *expected.shape[1:3])
    dst = np.full(expected.shape, 7, src.dtype)
    if row.types == "u8" and row.op == "avg_pool":
        zero_point, scale = 9, np.float32(1.7)
        params |= {"src_zero_point": zero_point, "scale": scale, "offset": 33.0, "lo": 20.0, "hi": 240.0}
        counts = torch_pool("avg_pool", np.ones_like(src), (*shape[:-1], True))
        inside = torch_pool("avg_pool", np.ones_like(src), (*shape[:-1], False))
        assert (inside == 1).all()
        # avg over all counted elements of (x - zp), padding contributing 0, is expected - zp * share of real elements.
        share = counts if shape[-1] else inside
        v = (expected - zero_point * share) * np.float64(scale) + 33.0
        got = run(row, params, src, dst).astype(np.float64)
        assert np.abs(got - np.clip(v, 20, 240)).max(initial=0) <= 0.5 + 1e-4
    elif row.op == "max_pool":
        np.testing.assert_array_equal(run(row, params, src, dst), expected)
    else:
        np.testing.assert_allclose(run(row, params, src, dst), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", [row for row in ROWS if row.types == "u8" and row.op == "avg_pool"], **by_symbol)
def test_quantized_mean_is_exact(row: Any) -> None:
    """A global average against the defining formula; halves come up often."""
    rng = np.random.default_rng(3)
    src = rng.integers(0, 256, (2, 8, 4, 50), np.uint8)
    total = (src.astype(np.int32) - 128).sum((1, 2))
    for scale in (1.0, 0.5, 1.37):
        factor = np.float32(scale) / np.float32(32)
        v = (total.astype(np.float64) * factor + 128).astype(np.float32)
        shape = (2, 50, 8, 4, (8, 4), (1, 1), (0, 0), (1, 1), False, True)
        params = params_of(row, shape, 1, 1, src_zero_point=128, scale=scale, offset=128.0)
        out = run(row, params, src, np.zeros((2, 1, 1, 50), np.uint8))
        np.testing.assert_array_equal(out[:, 0, 0], np.rint(np.clip(v, 0, 255)).astype(np.uint8))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_bits_do_not_depend_on_row_or_tasks(row: Any, shape: Any) -> None:
    src = source(row, shape)
    if row.types == "f32":
        src.reshape(-1)[::37] = -np.inf
        src.reshape(-1)[::91] = np.nan
    oh, ow = torch_pool(row.op, src, shape).shape[1:3]
    params = params_of(row, shape, oh, ow, scale=0.9, offset=3.0)
    dst = np.full((shape[0], oh, ow, shape[1]), 7, src.dtype)
    expected = run(GENERIC[row.op, row.types], params, src, dst)
    np.testing.assert_array_equal(run(row, params, src, dst), expected)
    np.testing.assert_array_equal(run(row, params, src, dst, threads=2, chunk=3), expected)
    if row.op == "max_pool":
        np.testing.assert_array_equal(expected, torch_pool(row.op, src, shape))
