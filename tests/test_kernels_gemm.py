"""Every gemm kernel that this CPU can run, against NumPy and torch in float64, and bit for bit against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families, pack_params
from tests.gemm_calls import (
    CONVOLUTIONS,
    F32_ROWS,
    IDS,
    INT8_ROWS,
    ROWS,
    SIZES,
    conv_params,
    epilogue,
    matrix_params,
    packable,
    random_int8,
    run,
    to_u8,
)  # fmt: skip

ACTIVATIONS = ["none", "relu", "clamp", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "hardsigmoid", "hardswish",
               "leaky_relu", "elu", "mish", "softplus"]  # fmt: skip


@pytest.mark.parametrize("row", F32_ROWS, **IDS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_f32_product(row: Any, size: tuple[int, int, int]) -> None:
    m, n, k = size
    rng = np.random.default_rng(m * 1009 + n * 31 + k)
    src = rng.standard_normal((m, k), np.float32)
    weight = rng.standard_normal((n, k), np.float32)
    bias = rng.standard_normal(n, np.float32)
    out = run(row, matrix_params(m, n, k), src, weight, np.full((m, n), np.nan, np.float32), bias)
    expected = src.astype(np.float64) @ weight.astype(np.float64).T + bias
    bound = np.abs(src).astype(np.float64) @ np.abs(weight).astype(np.float64).T + np.abs(bias)
    assert (np.abs(out - expected) <= (k + 1) * 2.0**-24 * bound).all()


@pytest.mark.parametrize("row", INT8_ROWS, **IDS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_int8_product(row: Any, size: tuple[int, int, int]) -> None:
    m, n, k = size
    rng = np.random.default_rng(m * 1009 + n * 31 + k)
    src, weight, scale, bias = random_int8(rng, m, n, k)
    is_u8 = row.types.endswith("u8")
    dst = np.full((m, n), 7, np.uint8 if is_u8 else np.float32)
    acc = (src.astype(np.int64) - 131) @ weight.astype(np.int64).T
    v = epilogue(acc, scale, bias)

    out = run(row, matrix_params(m, n, k, src_zero_point=131), src, weight, dst, bias, scale)
    np.testing.assert_array_equal(out, to_u8(v) if is_u8 else v)

    residual = rng.integers(0, 256, (m, n), np.uint8) if is_u8 else rng.standard_normal((m, n), np.float32) * 40
    params = matrix_params(m, n, k, src_zero_point=131, residual_scale=0.37, activation=2, alpha=17.0, beta=201.0)
    out = run(row, params, src, weight, dst, bias, scale, residual)
    v = (residual.astype(np.float64) * np.float32(0.37) + v).astype(np.float32) if is_u8 else v + residual
    np.testing.assert_array_equal(out, to_u8(v, 17, 201) if is_u8 else np.clip(v, np.float32(17), np.float32(201)))

    out = run(row, matrix_params(m, n, k), src, weight, dst, None, scale)
    v = epilogue(src.astype(np.int64) @ weight.astype(np.int64).T, scale, np.zeros(n))
    np.testing.assert_array_equal(out, to_u8(v) if is_u8 else v)


@pytest.mark.parametrize("row", [row for row in INT8_ROWS if row.types.endswith("u8")], **IDS)
@pytest.mark.parametrize("n", [1, 24, 33, 48, 64])
@pytest.mark.parametrize("large", ["scale", "bias"])
def test_results_beyond_int32_saturate(row: Any, n: int, large: str) -> None:
    rng = np.random.default_rng(n)
    src, weight, scale, bias = random_int8(rng, 13, n, 20)
    operand = scale if large == "scale" else bias
    operand[::2] = rng.choice(np.array([-1e30, -4e9, 4e9, 1e30, np.inf, np.nan], np.float32), len(operand[::2]))
    with np.errstate(invalid="ignore"):
        v = epilogue(src.astype(np.int64) @ weight.astype(np.int64).T, scale, bias)
    out = run(row, matrix_params(13, n, 20), src, weight, np.full((13, n), 7, np.uint8), bias, scale)
    np.testing.assert_array_equal(out, to_u8(np.nan_to_num(v, nan=0.0, posinf=255, neginf=0)))


@pytest.mark.parametrize("row", [row for row in INT8_ROWS if row.types.endswith("u8")], **IDS)
@pytest.mark.parametrize("m", [13, 100])
def test_sums_that_leave_int32_in_their_last_chunk_saturate(row: Any, m: int) -> None:
    k, n = 4096, 20
    src, weight = np.full((m, k), 255, np.uint8), np.full((n, k), 127, np.int8)
    weight[::2] = -127
    scale = np.full(n, 20, np.float32)
    out = run(row, matrix_params(m, n, k), src, weight, np.full((m, n), 7, np.uint8), np.zeros(n, np.float32), scale)
    np.testing.assert_array_equal(out, np.where(np.arange(n) % 2 == 0, 0, 255) * np.ones((m, 1)))


def torch_activation(kind: str, x: torch.Tensor) -> torch.Tensor:
    if kind == "none":
        return x
    if kind == "clamp":
        return x.clamp(-0.5, 1.25)
    if kind == "gelu_tanh":
        return torch.nn.functional.gelu(x, approximate="tanh")
    if kind == "leaky_relu":
        return torch.nn.functional.leaky_relu(x, -0.5)
    if kind == "elu":
        return torch.nn.functional.elu(x, -0.5)
    function: Any = getattr(torch, kind, None) or getattr(torch.nn.functional, kind)
    return function(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_epilogue_of_floats(kind: str) -> None:
    """Residual and activation: close to torch in float64, the same bits from every kernel."""
    m, n, k = 13, 37, 24
    rng = np.random.default_rng(5)
    src, weight = rng.standard_normal((m, k), np.float32), rng.standard_normal((n, k), np.float32)
    bias, residual = rng.standard_normal(n, np.float32), rng.standard_normal((m, n), np.float32)
    src[0, 3] = np.nan
    number = ACTIVATIONS.index(kind)
    params = matrix_params(m, n, k, activation=number, alpha=-0.5, beta=1.25)
    dst = np.zeros((m, n), np.float32)
    outs = [run(row, params, src, weight, dst, bias, None, residual) for row in F32_ROWS]
    exact = src.astype(np.float64) @ weight.astype(np.float64).T + bias + residual
    expected = torch_activation(kind, torch.from_numpy(exact)).numpy()
    np.testing.assert_allclose(outs[0], expected, rtol=3e-6, atol=2e-5)
    for out in outs[1:]:
        np.testing.assert_array_equal(out.view(np.int32)[1:], outs[0].view(np.int32)[1:])
        assert np.isnan(out[0]).all()

    src8, weight8, scale, bias8 = random_int8(rng, m, n, k)
    outs = [
        run(row, params, src8, weight8, dst, bias8 / 100, scale / 50, residual)
        for row in INT8_ROWS
        if row.types == "u8s8f32"
    ]
    v = epilogue(src8.astype(np.int64) @ weight8.astype(np.int64).T, scale / 50, bias8 / 100)
    expected = torch_activation(kind, torch.from_numpy((v + residual).astype(np.float64))).numpy()
    np.testing.assert_allclose(outs[0], expected, rtol=3e-6, atol=1e-6)
    for out in outs[1:]:
        np.testing.assert_array_equal(out.view(np.int32), outs[0].view(np.int32))


def test_float_kernels_agree_in_every_bit() -> None:
    for m, n, k in [(1, 70, 301), (29, 129, 97), (50, 16, 1000), (9, 100, 3100)]:
        rng = np.random.default_rng(k)
        src, weight = rng.standard_normal((m, k), np.float32), rng.standard_normal((n, k), np.float32)
        dst = np.zeros((m, n), np.float32)
        outs = [run(row, matrix_params(m, n, k), src, weight, dst) for row in F32_ROWS]
        chain = np.zeros((m, n), np.float32)
        for i in range(
            k
        ):  # float64 holds product and sum nearly exactly: a wrong last bit is rare, a wrong order common
            chain = (src[:, i : i + 1].astype(np.float64) * weight[:, i] + chain).astype(np.float32)
        assert (outs[0] == chain).mean() > 0.999
        for out in outs[1:]:
            np.testing.assert_array_equal(out.view(np.int32), outs[0].view(np.int32))


def torch_conv(src: np.ndarray, weight: np.ndarray, bias: np.ndarray | None, shape: tuple[Any, ...]) -> np.ndarray:
    """NHWC in float64; integers come out exact."""
    x = torch.from_numpy(src.astype(np.float64)).permute(0, 3, 1, 2)
    b = None if bias is None else torch.from_numpy(bias.astype(np.float64))
    y = torch.nn.functional.conv2d(x, torch.from_numpy(weight.astype(np.float64)), b, *shape[6:])
    return np.ascontiguousarray(y.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_f32_convolution(shape: tuple[Any, ...]) -> None:
    images, ih, iw, ic, oc, (kh, kw), *_, groups = shape
    rng = np.random.default_rng(ic * oc)
    src = rng.standard_normal((images, ih, iw, ic), np.float32)
    weight = rng.standard_normal((oc, ic // groups, kh, kw), np.float32)
    bias = rng.standard_normal(oc, np.float32)
    expected = torch_conv(src, weight, bias, shape)
    params = conv_params(shape)
    dst = np.full(expected.shape, np.nan, np.float32)
    outs = [run(row, params, src, weight, dst, bias) for row in F32_ROWS]
    np.testing.assert_allclose(outs[0], expected, rtol=1e-5, atol=1e-5 * (1 + (kh * kw * ic / groups) ** 0.5))
    for out in outs[1:]:
        np.testing.assert_array_equal(out.view(np.int32), outs[0].view(np.int32))


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_int8_convolution(shape: tuple[Any, ...]) -> None:
    images, ih, iw, ic, oc, (kh, kw), *_, groups = shape
    rng = np.random.default_rng(ic * oc)
    src = rng.integers(0, 256, (images, ih, iw, ic), np.uint8)
    weight = rng.integers(-128, 128, (oc, ic // groups, kh, kw)).astype(np.int8)
    scale = (rng.uniform(0.5, 2, oc) / (kh * kw * ic) ** 0.5 / 100).astype(np.float32)
    bias = rng.uniform(60, 200, oc).astype(np.float32)
    expected = epilogue(torch_conv(src.astype(np.int16) - 77, weight, None, shape), scale, bias)
    params = conv_params(shape, src_zero_point=77)
    for row in INT8_ROWS:
        is_u8 = row.types.endswith("u8")
        dst = np.zeros(expected.shape, np.uint8 if is_u8 else np.float32)
        out = run(row, params, src, weight, dst, bias, scale)
        np.testing.assert_array_equal(out, to_u8(expected) if is_u8 else expected, row.symbol)


@pytest.mark.parametrize("row", ROWS, **IDS)
def test_threads_chunks_and_batch_change_no_bit(row: Any) -> None:
    if row.isa == "generic":
        shape: tuple[Any, ...] = (4, 20, 20, 16, 80, (3, 3), (1, 1), (1, 1), (1, 1), 1)
    else:
        shape = (4, 40, 40, 32, 200, (3, 3), (1, 1), (1, 1), (1, 1), 1)
    images, ih, iw, ic, oc = shape[:5]
    rng = np.random.default_rng(3)
    is_float = row.types[0] == "f"
    if is_float:
        src, weight = (
            rng.standard_normal((images, ih, iw, ic), np.float32),
            rng.standard_normal((oc, ic, 3, 3), np.float32),
        )
    else:
        src = rng.integers(0, 256, (images, ih, iw, ic), np.uint8)
        weight = rng.integers(-128, 128, (oc, ic, 3, 3)).astype(np.int8)
    bias, scale = rng.standard_normal(oc, np.float32), np.full(oc, 1e-3, np.float32)
    dst = np.zeros((images, ih, iw, oc), np.uint8 if row.types.endswith("u8") else np.float32)
    params = conv_params(shape, src_zero_point=9)
    assert _core.tasks(row.symbol, pack_params("gemm", **params)) >= 8
    weight = packable(row, weight)
    whole = run(row, params, src, weight, dst, bias, None if is_float else scale)
    for threads, chunk in [(1, 1000), (2, 1), (3, 5)]:
        out = run(row, params, src, weight, dst, bias, None if is_float else scale, threads=threads, chunk=chunk)
        np.testing.assert_array_equal(out.view(np.uint8), whole.view(np.uint8))
    one = run(row, {**params, "images": 1}, src[2:3], weight, dst[:1], bias, None if is_float else scale)
    np.testing.assert_array_equal(one.view(np.uint8)[0], whole.view(np.uint8)[2])


@pytest.mark.parametrize("row", ROWS, **IDS)
def test_batches_and_strides(row: Any) -> None:
    """Two batch dimensions, a broadcast one, rows apart, a slice of a wider destination left alone elsewhere."""
    heads, tokens, n, k, lda, ldc = 3, 7, 19, 12, 40, 50
    rng = np.random.default_rng(8)
    is_float = row.types[0] == "f"
    src = rng.integers(0, 256, (2, tokens, lda)).astype(np.float32 if is_float else np.uint8)
    weight = rng.integers(-128, 128, (heads, k, n)).astype(np.float32 if is_float else np.int8)
    scale = None if is_float else np.full(n, 0.01, np.float32)
    dst = np.full((2, heads, tokens, ldc), 3, np.uint8 if row.types.endswith("u8") else np.float32)
    params = matrix_params(
        tokens, n, k, batch=(2, heads), src_batch=(tokens * lda, k), src_image=lda, dst_row=ldc, weight_batch=(0, 1),
        dst_batch=(heads * tokens * ldc, tokens * ldc), weights=heads, weight_is_kn=1,
    )  # fmt: skip
    out = run(row, params, src, packable(row, weight), dst, None, scale)
    columns = np.stack([src[:, :, h * k : h * k + k] for h in range(heads)], 1).astype(np.int64)
    acc = columns @ weight.astype(np.int64)
    expected = acc.astype(np.float32)
    if scale is not None:
        expected = epilogue(acc, scale, np.zeros(n))
    np.testing.assert_array_equal(out[..., :n], to_u8(expected) if dst.dtype == np.uint8 else expected)
    assert (out[..., n:] == 3).all()


def test_symbols_name_what_the_table_says() -> None:
    for row in families()["gemm"].rows:
        assert row.symbol == f"{row.op}_{row.types}_{row.mr}x{row.nr}_{row.isa}"
