"""Integer operators: exact sums from PyTorch in float64, and the fused multiply-add of the C library, bit by bit."""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rushlight.runtime.errors import ShapeError
from rushlight.runtime.ops import Array, get
from rushlight.runtime.ops.fma import fma
from rushlight.runtime.types import TensorType

torch = pytest.importorskip("torch")

_LIBM = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
_LIBM.fmaf.argtypes = [ctypes.c_float] * 3
_LIBM.fmaf.restype = ctypes.c_float

true_fma = np.vectorize(lambda a, b, c: np.float32(_LIBM.fmaf(float(a), float(b), float(c))), otypes=[np.float32])
floats = st.floats(width=32)


@given(floats, floats, floats)
@example(1.0, 1.0, 2.0**-25)
@example(float(np.float32(1 + 2**-12)), float(np.float32(1 + 2**-12)), 2.0**-60)
@example(float(np.float32(1 + 2**-12)), float(np.float32(1 + 2**-12)), -(2.0**-60))
@example(2.0**127, 2.0, -(2.0**127))
@example(2.0**-126, 0.5, 2.0**-149)
def test_fma_is_that_of_the_c_library(a: float, b: float, c: float) -> None:
    with np.errstate(all="ignore"):
        actual, expected = fma(a, b, c), true_fma(a, b, c)
    np.testing.assert_array_equal(actual, expected)
    assert np.isnan(expected) or np.signbit(actual) == np.signbit(expected)


def test_fma_where_rounding_twice_goes_wrong() -> None:
    """a b lies exactly between two float32 values, and c, too small for float64, decides."""
    rng = np.random.default_rng(0)
    a = (1 + rng.integers(0, 2**11, 4000) * 2.0**-11).astype(np.float32)
    b = (1 + rng.integers(0, 2**12, 4000) * 2.0**-13).astype(np.float32)
    c = (rng.choice([-1, 1], 4000) * 2.0 ** rng.integers(-100, -30, 4000)).astype(np.float32)
    naive = (a.astype(np.float64) * b + c).astype(np.float32)
    expected = true_fma(a, b, c)
    assert np.any(naive != expected)
    np.testing.assert_array_equal(fma(a, b, c), expected)


def run(name: str, *inputs: Array, **attrs: Any) -> Array:
    op = get(name)
    complete = op.complete_attrs(attrs)
    op.infer_types([TensorType(a.dtype, a.shape) for a in inputs], complete)
    (out,) = op.run_reference(inputs, complete)
    return out


def to_uint8(v: Array, qmin: int = 0, qmax: int = 255) -> Array:
    return np.asarray(np.rint(np.clip(v, qmin, qmax))).astype(np.uint8)


def random_bytes(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def random_weights(*shape: int) -> Array:
    return np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)


def channel_parameters(channels: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    return rng.uniform(1e-4, 2e-3, channels).astype(np.float32), rng.uniform(0, 255, channels).astype(np.float32)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize(("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 3), (1, 2, 6)])
@pytest.mark.parametrize("has_residual", [False, True])
def test_qconv2d(layout: str, stride: int, dilation: int, groups: int, has_residual: bool) -> None:
    x, weight = random_bytes(2, 6, 9, 11), random_weights(12, 6 // groups, 3, 3)
    scale, bias = channel_parameters(12)
    shifted = torch.from_numpy(x.astype(np.float64) - 119)
    padded = torch.nn.functional.pad(shifted, (2, 1, 1, 0))
    acc = torch.nn.functional.conv2d(
        padded, torch.from_numpy(weight.astype(np.float64)), None, stride, 0, dilation, groups
    )
    acc = acc.numpy().astype(np.float32)
    v = true_fma(acc, scale[:, None, None], bias[:, None, None])
    of_bytes = of_floats = v
    residuals: list[Array] = []
    if has_residual:
        residuals = [random_bytes(*acc.shape, seed=3), np.random.default_rng(4).standard_normal(acc.shape, np.float32)]
        of_bytes, of_floats = true_fma(residuals[0], np.float32(0.3), v), v + residuals[1]

    def arrange(a: Array) -> Array:
        return np.ascontiguousarray(np.moveaxis(a, 1, -1)) if layout == "NHWC" else a

    attrs: dict[str, Any] = {
        "stride": (stride, stride),
        "padding": (1, 2, 0, 1),
        "dilation": (dilation, dilation),
        "groups": groups,
        "layout": layout,
        "x_zero_point": 119,
        "residual_scale": 0.3,
    }
    inputs = [arrange(x), weight, scale, bias]
    result = run("qconv2d", *inputs, *map(arrange, residuals[:1]), **attrs, qmin=7, qmax=250)
    np.testing.assert_array_equal(result, arrange(to_uint8(of_bytes, 7, 250)))
    inputs += map(arrange, residuals[1:])
    np.testing.assert_array_equal(run("qconv2d", *inputs, **attrs, out_dtype="float32"), arrange(of_floats))
    relu = run("qconv2d", *inputs, **attrs, out_dtype="float32", activation="relu")
    np.testing.assert_array_equal(relu, arrange(np.maximum(of_floats, 0)))


@pytest.mark.parametrize(("rows", "depth", "columns"), [(1, 1, 1), (5, 64, 33), (3, 257, 7)])
def test_qlinear(rows: int, depth: int, columns: int) -> None:
    x, weight = random_bytes(rows, depth), random_weights(columns, depth)
    scale, bias = channel_parameters(columns)
    acc = (x.astype(np.int64) - 3) @ weight.astype(np.int64).T
    v = true_fma(acc.astype(np.float32), scale, bias)
    np.testing.assert_array_equal(run("qlinear", x, weight, scale, bias, x_zero_point=3), to_uint8(v))


def test_sums_beyond_24_bits_are_exact() -> None:
    depth = 65793
    x, weight = np.full((1, depth), 255, np.uint8), np.full((1, depth), 127, np.int8)
    x[0, 0], weight[0, 0] = 1, 1
    out = run(
        "qlinear", x, weight, np.ones(1, np.float32), np.zeros(1, np.float32), x_zero_point=0, out_dtype="float32"
    )
    assert out == np.float32(255 * 127 * (depth - 1) + 1)


@pytest.mark.parametrize(("a_shape", "b_shape"), [((), ()), ((65,), (65,)), ((2, 3, 5, 7), (2, 1, 1, 7))])
def test_qadd_and_qmul(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    a, b = random_bytes(*a_shape), random_bytes(*b_shape, seed=1)
    f = np.float32
    inner = true_fma(b, f(0.2), f(-11.7))
    expected = to_uint8(true_fma(np.broadcast_to(a, inner.shape) if a.ndim < inner.ndim else a, f(0.71), inner))
    np.testing.assert_array_equal(run("qadd", a, b, a_scale=0.71, b_scale=0.2, offset=-11.7), expected)
    product = (a.astype(np.int64) - 100) * (b.astype(np.int64) - 2)
    expected = to_uint8(true_fma(product, f(0.004), f(100)), 90, 130)
    actual = run("qmul", a, b, a_zero_point=100, b_zero_point=2, scale=0.004, offset=100.0, qmin=90, qmax=130)
    np.testing.assert_array_equal(actual, expected)


def test_halves_round_to_even() -> None:
    x = np.arange(256, dtype=np.uint8)
    out = run("qadd", x, np.zeros((), np.uint8), a_scale=0.5, b_scale=1.0, offset=0.0)
    np.testing.assert_array_equal(out, np.rint(x / 2).astype(np.uint8))
    assert out[[1, 3, 5]].tolist() == [0, 2, 2]


def test_qlut() -> None:
    table = random_bytes(256)
    x = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(run("qlut", x, table).reshape(-1), table)


@pytest.mark.parametrize("count_include_pad", [False, True])
def test_qavg_pool2d(count_include_pad: bool) -> None:
    x = random_bytes(2, 3, 8, 9)
    shifted = torch.from_numpy(x.astype(np.float64) - 30)
    average = torch.nn.functional.avg_pool2d(shifted, (3, 2), (2, 1), (1, 1), count_include_pad=count_include_pad)
    v = average.numpy() * 0.8 + 12
    actual = run(
        "qavg_pool2d",
        x,
        kernel_size=(3, 2),
        stride=(2, 1),
        padding=(1, 1, 1, 1),
        count_include_pad=count_include_pad,
        layout="NCHW",
        x_zero_point=30,
        scale=0.8,
        offset=12.0,
    )
    assert np.all(np.abs(actual - np.clip(v, 0, 255)) <= 0.5 + 1e-4)


def test_qmean() -> None:
    x = random_bytes(2, 7, 7, 33)
    total = (x.astype(np.int64) - 30).sum(axis=(1, 2))
    expected = to_uint8(true_fma(total, np.float32(0.8) / np.float32(49), np.float32(12)))
    np.testing.assert_array_equal(run("qmean", x, dim=(1, 2), x_zero_point=30, scale=0.8, offset=12.0), expected)


@pytest.mark.parametrize(
    ("name", "inputs", "attrs", "message"),
    [
        ("qlut", [random_bytes(3), random_bytes(255)], {}, "table is"),
        ("qlut", [random_weights(3), random_bytes(256)], {}, "x is int8"),
        ("qmean", [random_bytes(3)], {"x_zero_point": 256, "scale": 1.0, "offset": 0.0}, "x_zero_point 256"),
        (
            "qmean",
            [random_bytes(3)],
            {"x_zero_point": 0, "scale": 1.0, "offset": 0.0, "qmin": 9, "qmax": 8},
            "above qmax",
        ),
        (
            "qlinear",
            [random_bytes(2, 3), random_weights(4, 3), *channel_parameters(3)],
            {"x_zero_point": 0},
            "scale is",
        ),
        ("qlinear", [random_bytes(2, 3), random_weights(4, 2), *channel_parameters(4)], {"x_zero_point": 0}, "not fit"),
        (
            "qlinear",
            [random_bytes(2, 3), random_weights(4, 3), *channel_parameters(4)],
            {"x_zero_point": 0, "activation": "relu"},
            "needs out_dtype float32",
        ),
        (
            "qlinear",
            [random_bytes(2, 3), random_weights(4, 3), *channel_parameters(4), random_bytes(2, 3)],
            {"x_zero_point": 0},
            "residual is",
        ),
        (
            "qlinear",
            [random_bytes(2, 3), random_weights(4, 3), *channel_parameters(4), random_bytes(2, 4)],
            {"x_zero_point": 0, "out_dtype": "float32"},
            "residual is",
        ),
        (
            "qlinear",
            [random_bytes(1, 65794), random_weights(1, 65794), *channel_parameters(1)],
            {"x_zero_point": 0},
            "sum",
        ),
        ("qavg_pool2d", [random_bytes(1, 4, 4, 1)], {"padding": (2, 0, 0, 0)}, "empty"),
    ],
)
def test_what_does_not_fit_is_an_error(name: str, inputs: list[Array], attrs: dict[str, Any], message: str) -> None:
    if name == "qavg_pool2d":
        attrs = {"kernel_size": (2, 2), "stride": (1, 1), "x_zero_point": 0, "scale": 1.0, "offset": 0.0, **attrs}
    with pytest.raises(ShapeError, match=message):
        run(name, *inputs, **attrs)


@pytest.mark.parametrize("name", ["qmean", "qavg_pool2d"])
def test_means_whose_sums_may_not_fit_into_int32_are_refused(name: str) -> None:
    op = get(name)
    window: dict[str, Any] = {"kernel_size": (2903, 2903), "stride": (1, 1), "layout": "NCHW"}
    attrs = op.complete_attrs(
        {"x_zero_point": 0, "scale": 1.0, "offset": 0.0, **({"dim": (2, 3)} if name == "qmean" else window)}
    )
    with pytest.raises(ShapeError, match="int32"):
        op.infer_types([TensorType(np.dtype(np.uint8), (1, 1, 2903, 2903))], attrs)


@pytest.mark.parametrize("name", ["qlstm_scan", "qgru_scan"])
def test_integer_recurrences_agree_with_float_ones(name: str) -> None:
    """The float recurrence, which is held against PyTorch, on the weights that the integers mean; states are rounded to
    16 bits."""
    integer, floating = get(name), get(name[1:])
    compared = 0
    for case in integer.cases():
        named = dict(zip([each.strip("?") for each in integer.inputs], case.inputs, strict=False))
        weights, scale = named.pop("w_hh"), named.pop("scale")
        assert weights is not None
        assert scale is not None
        attrs = integer.complete_attrs(case.attrs)
        meant = weights * (np.float64(attrs.pop("levels")) * scale)[..., None]
        order = [each.strip("?") for each in floating.inputs]
        found = integer.run_reference(case.inputs, integer.complete_attrs(case.attrs))
        expected = floating.run_reference([(named | {"w_hh": meant}).get(each) for each in order], attrs)
        for got, want in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=2e-3)
            compared += got.size
    assert compared > 0
