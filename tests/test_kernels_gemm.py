"""Every gemm kernel that this CPU can run, against NumPy and torch in float64, and bit for bit against each other."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families, pack_params

ROWS = [row for row in families()["gemm"].rows if row.available]
F32_ROWS = [row for row in ROWS if row.types == "f32f32f32"]
INT8_ROWS = [row for row in ROWS if row.types != "f32f32f32"]
ACTIVATIONS = ["none", "relu", "clamp", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "hardsigmoid", "hardswish",
               "leaky_relu", "elu", "mish", "softplus"]  # fmt: skip
ids: dict[str, Any] = {"ids": lambda row: row.symbol}
PAGE = mmap.PAGESIZE


class Fenced:
    """A copy of an array between two pages that must not be touched."""

    def __init__(self, array: np.ndarray) -> None:
        size = max(array.nbytes, 1)
        pages = -(-size // PAGE) * PAGE
        self._map = mmap.mmap(-1, pages + 2 * PAGE)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        begin = PAGE + pages - size
        self.array = np.frombuffer(self._map, np.uint8, array.nbytes, begin).view(array.dtype).reshape(array.shape)
        self.array[...] = array
        self._before = np.frombuffer(self._map, np.uint8, begin - PAGE, PAGE)
        self._before[:] = 0xA5
        self._protect(0)

    def _protect(self, access: int) -> None:
        for offset in (0, len(self._map) - PAGE):
            assert self._libc.mprotect(ctypes.c_void_p(self._address + offset), ctypes.c_size_t(PAGE), access) == 0

    def check(self) -> None:
        """Raises if bytes before the array were written."""
        assert (self._before == 0xA5).all()


def fence(array: np.ndarray | None) -> Any:
    return None if array is None else Fenced(np.ascontiguousarray(array)).array


def matrix_params(m: int, n: int, k: int, **changes: Any) -> dict[str, Any]:
    """Parameters of one dense product [m][k] x [n][k]."""
    params: dict[str, Any] = {
        "batch": (1, 1), "images": m, "oh": 1, "ow": 1, "n": n, "k": k, "ih": 1, "iw": 1, "kh": 1, "kw": 1,
        "sh": 1, "sw": 1, "ph": 0, "pw": 0, "dh": 1, "dw": 1, "src_batch": (0, 0), "src_image": k, "src_row": 0,
        "src_pixel": 0, "dst_batch": (0, 0), "dst_row": n, "residual_batch": (0, 0), "residual_row": n,
        "weight_batch": (0, 0), "bias_batch": (0, 0), "weights": 1, "weight_is_kn": 0, "src_zero_point": 0,
        "activation": 0, "alpha": 0.0, "beta": 0.0, "residual_scale": 0.0, "panel_columns": 0, "tile_rows": 0,
    }  # fmt: skip
    return params | changes


def run(
    row: Any,
    params: dict[str, Any],
    src: np.ndarray,
    weight: np.ndarray,
    dst: np.ndarray,
    bias: np.ndarray | None = None,
    scale: np.ndarray | None = None,
    residual: np.ndarray | None = None,
    threads: int = 1,
    chunk: int = 1,
) -> np.ndarray:
    """Runs a kernel with all operands at the end of their pages, the next page forbidden; returns dst."""
    raw = pack_params("gemm", **params)
    packed = _core.pack(row.symbol, raw, np.ascontiguousarray(weight))
    out = Fenced(np.ascontiguousarray(dst))
    operands = [fence(src), fence(packed), fence(bias), fence(scale), fence(residual), out.array]
    _core.run_kernel(row.symbol, raw, operands, threads, chunk)
    out.check()
    return out.array


SIZES = [
    (1, 1, 1), (1, 64, 7), (2, 16, 3), (3, 17, 5), (5, 33, 64), (6, 64, 128), (7, 80, 13), (11, 96, 31), (13, 65, 1),
    (24, 48, 9), (25, 130, 67), (37, 1000, 20), (253, 19, 8), (5, 130, 3100), (161, 75, 1100), (45, 130, 832),
    (32, 200, 384), (64, 64, 1536), (71, 16, 900), (9, 63, 70), (70, 40, 0), (1, 1, 0), (3, 5, 0), (0, 4, 4), (4, 0, 4),
]  # fmt: skip


@pytest.mark.parametrize("row", F32_ROWS, **ids)
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


def random_int8(
    rng: np.random.Generator, m: int, n: int, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """src, weight with extremes likely, scale and bias that spread results over u8."""
    src = rng.integers(0, 256, (m, k), np.uint8)
    src[rng.random((m, k)) < 0.3] = 255
    weight = rng.integers(-128, 128, (n, k)).astype(np.int8)
    weight[rng.random((n, k)) < 0.3] = rng.choice(np.array([-128, 127], np.int8))
    scale = (rng.uniform(0.5, 2, n) / max(k, 1) ** 0.5 / 200).astype(np.float32)
    return src, weight, scale, rng.uniform(60, 200, n).astype(np.float32)


def epilogue(acc: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """fma(float(acc), scale, bias); float64 holds the product exactly."""
    return (acc.astype(np.float32).astype(np.float64) * scale + bias).astype(np.float32)


def to_u8(v: np.ndarray, low: float = 0, high: float = 255) -> np.ndarray:
    return np.rint(np.clip(v, np.float32(low), np.float32(high))).astype(np.uint8)


@pytest.mark.parametrize("row", INT8_ROWS, **ids)
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


@pytest.mark.parametrize("row", [row for row in INT8_ROWS if row.types.endswith("u8")], **ids)
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


CONVOLUTIONS = [
    # images, ih, iw, ic, oc, (kh, kw), stride, (ph, pw), dilation, groups
    (1, 5, 7, 3, 10, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 9, 8, 16, 70, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (3, 11, 6, 32, 33, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    (1, 13, 13, 8, 20, (5, 3), (2, 1), (2, 0), (2, 3), 1),
    (2, 10, 9, 12, 24, (3, 3), (1, 2), (1, 2), (1, 1), 3),
    (1, 6, 6, 6, 12, (2, 2), (1, 1), (1, 1), (1, 1), 6),
    (1, 17, 15, 3, 32, (7, 7), (2, 2), (3, 3), (1, 1), 1),
    (2, 8, 8, 40, 17, (1, 1), (2, 2), (0, 0), (1, 1), 1),
    (1, 3, 3, 64, 8, (3, 3), (1, 1), (4, 4), (1, 1), 1),
    (1, 4, 30, 36, 16, (1, 9), (1, 1), (0, 4), (1, 1), 2),
    (2, 9, 8, 3, 18, (3, 3), (1, 1), (2, 2), (2, 2), 1),
    (2, 7, 30, 5, 18, (3, 5), (2, 2), (0, 1), (1, 1), 1),
    (3, 1, 1, 7, 8, (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (1, 31, 30, 48, 48, (3, 3), (1, 1), (1, 1), (1, 1), 2),
    (1, 9, 70, 64, 24, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (1, 9, 140, 100, 20, (3, 3), (2, 2), (1, 1), (1, 1), 1),
    (1, 9, 70, 20, 24, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (2, 5, 70, 128, 32, (3, 3), (1, 1), (1, 1), (1, 1), 2),
    (0, 4, 4, 8, 8, (3, 3), (1, 1), (1, 1), (1, 1), 1),
]


def conv_params(shape: tuple[Any, ...], **changes: Any) -> dict[str, Any]:
    """Parameters of a dense NHWC convolution."""
    images, ih, iw, ic, oc, (kh, kw), (sh, sw), (ph, pw), (dh, dw), groups = shape
    oh = (ih + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    ow = (iw + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    n, k = oc // groups, ic // groups
    return matrix_params(images, n, k) | {
        "batch": (1, groups), "oh": oh, "ow": ow, "ih": ih, "iw": iw, "kh": kh, "kw": kw, "sh": sh, "sw": sw, "ph": ph,
        "pw": pw, "dh": dh, "dw": dw, "src_batch": (0, k), "src_image": ih * iw * ic, "src_row": iw * ic,
        "src_pixel": ic, "dst_batch": (0, n), "dst_row": oc, "residual_batch": (0, n), "residual_row": oc,
        "weight_batch": (0, 1), "bias_batch": (0, n), "weights": groups,
    } | changes  # fmt: skip


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


@pytest.mark.parametrize("row", ROWS, **ids)
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
    whole = run(row, params, src, weight, dst, bias, None if is_float else scale)
    for threads, chunk in [(1, 1000), (2, 1), (3, 5)]:
        out = run(row, params, src, weight, dst, bias, None if is_float else scale, threads=threads, chunk=chunk)
        np.testing.assert_array_equal(out.view(np.uint8), whole.view(np.uint8))
    one = run(row, {**params, "images": 1}, src[2:3], weight, dst[:1], bias, None if is_float else scale)
    np.testing.assert_array_equal(one.view(np.uint8)[0], whole.view(np.uint8)[2])


@pytest.mark.parametrize("row", ROWS, **ids)
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
    out = run(row, params, src, weight, dst, None, scale)
    columns = np.stack([src[:, :, h * k : h * k + k] for h in range(heads)], 1).astype(np.int64)
    acc = columns @ weight.astype(np.int64)
    expected = acc.astype(np.float32)
    if scale is not None:
        expected = epilogue(acc, scale, np.zeros(n))
    np.testing.assert_array_equal(out[..., :n], to_u8(expected) if dst.dtype == np.uint8 else expected)
    assert (out[..., n:] == 3).all()


TILE_ROWS = [-1, 0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 32]


@pytest.mark.parametrize("row", [row for row in ROWS if row.isa != "generic"], **ids)
def test_tiles_change_no_bit(row: Any) -> None:
    """Every tile that can be asked for, with rows and columns left over; those that the cost model chooses too."""
    is_float, is_u8 = row.types[0] == "f", row.types.endswith("u8")
    for m, n, k in [(1, 40, 24), (7, 70, 33), (13, 100, 64), (29, 150, 16), (45, 33, 600), (9, 20, 3300)]:
        rng = np.random.default_rng(m)
        if is_float:
            src, weight = rng.standard_normal((m, k), np.float32), rng.standard_normal((n, k), np.float32)
            scale, bias = None, rng.standard_normal(n, np.float32)
        else:
            src, weight, scale, bias = random_int8(rng, m, n, k)
        dst = np.zeros((m, n), np.uint8 if is_u8 else np.float32)
        outs = {}
        for columns in range(-16, row.nr + 1, 16):
            for rows in TILE_ROWS:
                params = matrix_params(m, n, k, panel_columns=columns, tile_rows=rows)
                outs[columns, rows] = run(row, params, src, weight, dst, bias, scale)
                high, wide = _core.tile(row.symbol, pack_params("gemm", **params))
                assert 1 <= high <= max(row.mr, 12)
                assert wide <= (columns if columns > 0 else row.nr)
        for choice, out in outs.items():
            np.testing.assert_array_equal(out.view(np.uint8), outs[0, 0].view(np.uint8), str(choice))


def test_the_tile_asked_for_is_taken() -> None:
    for row in ROWS:
        for columns in range(16, row.nr + 1, 16):
            asked = [matrix_params(96, 256, 64, panel_columns=columns, tile_rows=rows) for rows in TILE_ROWS[2:]]
            heights = {_core.tile(row.symbol, pack_params("gemm", **params)) for params in asked}
            assert {width for _, width in heights} == {columns}
            assert len(heights) > 2 or row.isa == "generic"
    empty = matrix_params(0, 16, 4)
    assert _core.tile(ROWS[0].symbol, pack_params("gemm", **empty)) == (0, 0)


def costs() -> dict[tuple[str, int], dict[int, float]]:
    """Nanoseconds of 128 steps and a row by the height of the tile, of every kernel and width of panels measured."""
    found: dict[tuple[str, int], dict[int, float]] = {}
    data = Path(__file__).parents[1] / "runtime" / "cpu" / "kernels" / "gemm" / "costs.inc"
    for line in data.read_text().splitlines():
        if line.startswith("COST("):
            symbol, granules, rows, near, _, tile = line.removeprefix("COST(").removesuffix(")").split(", ")
            found.setdefault((symbol, int(granules)), {})[int(rows)] = (128 * float(near) + float(tile)) / int(rows)
    return found


def test_measured_kernels_have_no_tile_that_is_clearly_faster() -> None:
    rows = {row.symbol: row for row in families()["gemm"].rows}
    for (symbol, granules), of_height in costs().items():
        params = matrix_params(960, 16 * granules, 64, panel_columns=16 * granules)
        height, columns = _core.tile(symbol, pack_params("gemm", **params))
        assert columns == 16 * granules
        assert of_height[height] <= min(of_height.values()) / 0.97
        assert max(of_height) <= max(rows[symbol].mr, 12)
    measured = {symbol for symbol, _ in costs()}
    assert measured == {row.symbol for row in rows.values() if row.isa in ("avx2", "avxvnni", "avx512", "avx512vnni")}


def test_symbols_name_what_the_table_says() -> None:
    for row in families()["gemm"].rows:
        assert row.symbol == f"{row.op}_{row.types}_{row.mr}x{row.nr}_{row.isa}"
