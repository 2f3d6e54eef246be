"""Calls of single gemm kernels: operands between pages that must not be touched, parameters, shapes."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families, pack_params

ROWS = [row for row in families()["gemm"].rows if row.available]
F32_ROWS = [row for row in ROWS if row.types == "f32f32f32"]
INT8_ROWS = [row for row in ROWS if row.types.startswith("u8")]
IDS: dict[str, Any] = {"ids": lambda row: row.symbol}
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


def packable(row: Any, weight: np.ndarray) -> np.ndarray:
    """Weights as the row packs them: halves as their bits."""
    if row.types == "f32f16f32":
        return weight.astype(np.float16)
    if row.types == "f32bf16f32":
        return (weight.view(np.uint32) >> 16).astype(np.uint16)
    return weight


SIZES = [
    (1, 1, 1), (1, 64, 7), (2, 16, 3), (3, 17, 5), (5, 33, 64), (6, 64, 128), (7, 80, 13), (11, 96, 31), (13, 65, 1),
    (24, 48, 9), (25, 130, 67), (37, 1000, 20), (253, 19, 8), (5, 130, 3100), (161, 75, 1100), (45, 130, 832),
    (32, 200, 384), (64, 64, 1536), (71, 16, 900), (9, 63, 70), (70, 40, 0), (1, 1, 0), (3, 5, 0), (0, 4, 4), (4, 0, 4),
]  # fmt: skip


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
