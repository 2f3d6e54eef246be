"""Every resampling kernel that this CPU can run, against the operator's definition and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.lower.resize import COORDINATES, ROUNDINGS
from rushlight.runtime.ops import get

from .harness import Array, available_rows, fenced

ROWS = available_rows("resize")
GENERIC = {row.op: row for row in ROWS if row.isa == "generic"}
by_symbol: dict[str, Any] = {"ids": lambda row: row.symbol}
SIZES = [((5, 7), (10, 14)), ((9, 8), (4, 3)), ((3, 4), (7, 5)), ((6, 5), (1, 1)), ((1, 1), (4, 3)), ((4, 4), (4, 4))]
CHANNELS = [1, 3, 16, 37]


def run(
    row: Any, x: Array, size: tuple[int, int], coordinates: str, rounding: str = "floor",
    scales: tuple[float, float] = (0.0, 0.0), threads: int = 1, chunk: int = 1,
) -> Array:  # fmt: skip
    images, ih, iw, c = x.shape
    out = np.full((images, *size, c), 77, x.dtype)
    params = {
        "images": images, "c": c * x.itemsize if row.op == "nearest" else c, "ih": ih, "iw": iw, "oh": size[0],
        "ow": size[1], "coordinates": COORDINATES.index(coordinates), "rounding": ROUNDINGS.index(rounding),
        "scale_h": scales[0], "scale_w": scales[1],
    }  # fmt: skip
    (src, before), (dst, dst_before) = fenced(x), fenced(out)
    views = [array.reshape(-1).view(np.uint8) for array in (src, dst)]
    _core.run_kernel(row.symbol, pack_params("resize", **params), views, threads, chunk)
    assert (before == 0xA5).all()
    assert (dst_before == 0xA5).all()
    return np.array(dst)


def reference(x: Array, mode: str, size: tuple[int, int], **attrs: Any) -> Array:
    op = get("interpolate")
    wide = x.astype(np.float64) if x.dtype == np.float32 else x
    return op.run_reference([wide], op.complete_attrs({"size": size, "mode": mode, "layout": "NHWC", **attrs}))[0]


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("row", [row for row in ROWS if row.op != "nearest"], **by_symbol)
def test_interpolation(row: Any, coordinates: str) -> None:
    rng = np.random.default_rng(1)
    for (ih, iw), size in SIZES:
        for c in CHANNELS:
            x = rng.standard_normal((2, ih, iw, c), np.float32)
            out = run(row, x, size, coordinates)
            np.testing.assert_allclose(out, reference(x, row.op, size, coordinates=coordinates), rtol=1e-5, atol=2e-6)
            assert run(row, x, size, coordinates, threads=2).tobytes() == out.tobytes()
            assert run(GENERIC[row.op], x, size, coordinates).tobytes() == out.tobytes()


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("row", [row for row in ROWS if row.op == "nearest"], **by_symbol)
def test_nearest(row: Any, coordinates: str, rounding: str) -> None:
    rng = np.random.default_rng(2)
    for (ih, iw), size in SIZES:
        for dtype in (np.uint8, np.int16, np.float32, np.int64):
            x = rng.integers(0, 100, (2, ih, iw, 5)).astype(dtype)
            expected = reference(x, "nearest", size, coordinates=coordinates, rounding=rounding)
            np.testing.assert_array_equal(run(row, x, size, coordinates, rounding, threads=2), expected)


@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_scales(row: Any) -> None:
    """The ratio that a model states, where sizes were rounded."""
    x = np.random.default_rng(3).standard_normal((1, 5, 5, 4), np.float32)
    expected = reference(x, row.op, (7, 7), coordinates="half_pixel", scales=(1.5, 1.5))
    np.testing.assert_allclose(run(row, x, (7, 7), "half_pixel", scales=(1.5, 1.5)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("row", [row for row in ROWS if row.op != "nearest"], **by_symbol)
def test_agrees_with_torch(row: Any, align: bool) -> None:
    x = np.random.default_rng(4).standard_normal((2, 6, 9, 20), np.float32)
    mode = {"linear": "bilinear", "cubic": "bicubic"}[row.op]
    first = torch.from_numpy(x).permute(0, 3, 1, 2)
    truth = torch.nn.functional.interpolate(first, (13, 5), mode=mode, align_corners=align).permute(0, 2, 3, 1)
    out = run(row, x, (13, 5), "align_corners" if align else "half_pixel")
    np.testing.assert_allclose(out, truth.numpy(), rtol=1e-4, atol=1e-5)
