"""Matrix products and convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from benchmarks.kernels.timing import NONE, best_ns, constant, given, result
from benchmarks.kernels.weights import random_weights, weight_bytes
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families, pack_params

Peaks: TypeAlias = tuple[float, float, float, float]
"""Float32 and int8 operations a second, bytes a second from memory and from the cache."""


@dataclass(frozen=True)
class Problem:
    """A square-kernel convolution of one NHWC image, or a product (a 1 x 1 convolution of `size` pixels in a row)."""

    name: str
    size: int
    ic: int
    oc: int
    kernel: int = 1
    stride: int = 1
    width: int = 1
    groups: int = 1

    @property
    def out(self) -> tuple[int, int]:
        pad = self.kernel // 2
        return tuple((x + 2 * pad - self.kernel) // self.stride + 1 if x > 1 else 1 for x in (self.size, self.width))  # type: ignore[return-value]

    @property
    def macs(self) -> int:
        return self.out[0] * self.out[1] * self.kernel**2 * self.ic * self.oc // self.groups

    def params(self) -> bytes:
        (oh, ow), ih, iw = self.out, self.size, self.width
        ic, oc, pad = self.ic // self.groups, self.oc // self.groups, self.kernel // 2
        images, pixels = 1, ih * iw
        if self.kernel == self.stride == 1:
            images, pixels, oh, ow, ih, iw = oh * ow, 1, 1, 1, 1, 1
        return pack_params(
            "gemm", images=images, oh=oh, ow=ow, ih=ih, iw=iw, n=oc, k=ic, kh=self.kernel, kw=self.kernel,
            sh=self.stride, sw=self.stride, ph=pad, pw=pad, dh=1, dw=1, batch=(1, self.groups), src_batch=(0, ic),
            src_image=pixels * self.ic, src_row=iw * self.ic, src_pixel=self.ic, dst_batch=(0, oc), dst_row=self.oc,
            residual_batch=(0, 0), residual_row=0, weight_batch=(0, 1), bias_batch=(0, oc), weights=self.groups,
            weight_is_kn=0, src_zero_point=0, activation=1, alpha=0.0, beta=0.0, residual_scale=0.0,
            panel_columns=0, tile_rows=0,
        )  # fmt: skip


def conv(name: str, size: int, ic: int, oc: int, kernel: int, stride: int = 1, groups: int = 1) -> Problem:
    return Problem(name, size, ic, oc, kernel, stride, size, groups)


PROBLEMS = [
    Problem("product 1024", 1024, 1024, 1024),
    Problem("product 384x768x3072", 384, 768, 3072),
    Problem("product 128x768x768", 128, 768, 768),
    conv("resnet stem 7x7", 224, 3, 64, 7, 2),
    conv("resnet 56 1x1 64-64", 56, 64, 64, 1),
    conv("resnet 56 3x3 64", 56, 64, 64, 3),
    conv("resnet 56 1x1 64-256", 56, 64, 256, 1),
    conv("resnet 56 1x1 256-64", 56, 256, 64, 1),
    conv("resnet 56 3x3/2 128", 56, 128, 128, 3, 2),
    conv("resnet 28 3x3 128", 28, 128, 128, 3),
    conv("resnet 28 1x1 128-512", 28, 128, 512, 1),
    conv("resnet 28 1x1 512-128", 28, 512, 128, 1),
    conv("resnet 14 3x3 256", 14, 256, 256, 3),
    conv("resnet 14 1x1 256-1024", 14, 256, 1024, 1),
    conv("resnet 14 1x1 1024-256", 14, 1024, 256, 1),
    conv("resnet 7 3x3 512", 7, 512, 512, 3),
    conv("resnet 7 1x1 512-2048", 7, 512, 2048, 1),
    conv("resnet 7 1x1 2048-512", 7, 2048, 512, 1),
    conv("resnet 56/2 1x1 256-512", 56, 256, 512, 1, 2),
    conv("mobilenet 112 1x1 32-16", 112, 32, 16, 1),
    conv("mobilenet 56 1x1 24-144", 56, 24, 144, 1),
    conv("mobilenet 14 1x1 96-576", 14, 96, 576, 1),
    conv("mobilenet 7 1x1 160-960", 7, 160, 960, 1),
    conv("grouped 14 3x3 32x8", 14, 256, 256, 3, 1, 32),
    Problem("row 1x2048x1000", 1, 2048, 1000),
]

ROW_BYTES = 128 << 20
"""Weights of the product that is held against the bandwidth of memory: as many as its measurement reads."""


def problems(types: str) -> list[Problem]:
    k = ROW_BYTES // 4096 // weight_bytes(types)
    return [*PROBLEMS, Problem(f"row 1x{k}x4096", 1, k, 4096)]


def measure(symbol: str, types: str, problem: Problem, threads: int, seconds: float) -> float:
    """Nanoseconds of the fastest run."""
    rng = np.random.default_rng(0)
    is_float = types[0] == "f"
    shape = (problem.oc, problem.ic // problem.groups, problem.kernel, problem.kernel)
    src_shape = (problem.size, problem.width, problem.ic)
    src = rng.standard_normal(src_shape, np.float32) if is_float else rng.integers(0, 256, src_shape, np.uint8)
    params = problem.params()
    constants = [
        _core.pack(symbol, params, random_weights(types, shape, rng)),
        np.zeros(problem.oc, np.float32),
        np.full(problem.oc, 1e-3, np.float32),
    ]
    dst = np.zeros((*problem.out, problem.oc), np.uint8 if types.endswith("u8") else np.float32)
    operands = [given(0), constant(0), constant(1), NONE if is_float else constant(2), NONE, result(0)]
    return best_ns(symbol, params, operands, constants, [src], [dst], threads, seconds)


def kernels(isa: str | None, only: str) -> Iterator[tuple[str, str]]:
    """The best kernel of each operand types, of one instruction set if asked."""
    seen = set()
    for row in families()["gemm"].rows:
        if row.available and row.types not in seen and isa in (None, row.isa) and only in row.symbol:
            seen.add(row.types)
            yield row.symbol, row.types


def report(isa: str | None, only: str, shape: str, threads: int, seconds: float, peaks: Peaks) -> Iterator[str]:
    """Lines of every kernel: rate and share of the peak; of products of one row the share of the bandwidth too."""
    flops, ops, read, _ = peaks
    for symbol, types in kernels(isa, only):
        peak = flops if types[0] == "f" else ops
        yield symbol
        for problem in problems(types):
            if shape not in problem.name:
                continue
            ns = measure(symbol, types, problem, threads, seconds)
            rate = 2 * problem.macs / ns
            line = f"  {problem.name:26} {ns / 1e3:10.1f} us {rate:8.1f} G/s {rate * 1e9 / peak:5.0%}"
            weights = problem.ic * problem.oc * weight_bytes(types)
            if problem.out == (1, 1) and weights == ROW_BYTES:
                line += f", weights {weights / ns:5.1f} GB/s {weights / ns * 1e9 / read:5.0%} of memory"
            yield line
