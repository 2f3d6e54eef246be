"""Every Winograd kernel of 8-bit operands that this CPU can run: the bits of the direct sum."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import cpu_backend
from rushlight.runtime.cpu.execution import CpuEngine, CpuExecution
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.lower.activation import KINDS
from rushlight.runtime.lower.gemm import NEUTRAL
from rushlight.runtime.lower.winograd import choose_exact_tile, why_direct
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.lowering import KernelStep

from .harness import Array, available_rows, fenced, same_bits
from .test_winograd import ATTRS, GROUPED, SHAPES, convolve, geometry

ROWS = [row for row in available_rows("winograd") if row.types != "f32"]
DIRECT = {row.types: row for row in available_rows("gemm") if row.isa == "generic"}
by_symbol: dict[str, Any] = {"ids": lambda row: row.symbol}
both_tiles = pytest.mark.parametrize("tile", [2, 4])
every_row = pytest.mark.parametrize("row", ROWS, **by_symbol)


def case(shape: Any, types: str) -> dict[str, Array]:
    """Random operands, extremes among them, whose results are spread over u8."""
    images, ih, iw, c, n, (top, left, bottom, right) = shape
    rng = np.random.default_rng(crc32(repr(shape).encode()))
    dtype = np.uint8 if types.endswith("u8") else np.float32
    dst_shape = (images, ih + top + bottom - 2, iw + left + right - 2, n)
    src = rng.integers(0, 256, (images, ih, iw, c), np.uint8)
    src[rng.random(src.shape) < 0.2] = 255
    weight = rng.integers(-128, 128, (n, c, 3, 3)).astype(np.int8)
    weight[rng.random(weight.shape) < 0.2] = -128
    return {
        "src": src,
        "weight": weight,
        "bias": rng.uniform(60, 200, n).astype(np.float32),
        "scale": (rng.uniform(0.5, 2, n) / max(9 * c, 1) ** 0.5 / 200).astype(np.float32),
        "residual": rng.integers(0, 256, dst_shape, np.uint8).astype(dtype),
        "dst": np.full(dst_shape, 7, dtype),
    }


def params_of(shape: Any, tile: int, types: str, **changes: Any) -> dict[str, Any]:
    params = geometry(shape, tile, src_zero_point=131, residual_scale=0.3, activation=KINDS.index("clamp"))
    limits = {"alpha": 3.0, "beta": 251.0} if types.endswith("u8") else {"alpha": -20.5, "beta": 230.25}
    return params | limits | changes


def run(
    row: Any, family: str, params: dict[str, Any], given: dict[str, Array | None], threads: int = 1, chunk: int = 1
) -> Array:
    raw = pack_params(family, **params)
    weight = _core.pack(row.symbol, raw, np.ascontiguousarray(given["weight"]))
    memory = {name: fenced(array) for name, array in {**given, "weight": weight}.items() if array is not None}
    order = ("src", "weight", "bias", "scale", "residual", "dst")
    views = [memory[name][0].reshape(-1).view(np.uint8) if name in memory else None for name in order]
    _core.run_kernel(row.symbol, raw, views, threads, chunk)
    for _, before in memory.values():
        assert (before == 0xA5).all()
    return np.array(memory["dst"][0])


def direct(params: dict[str, Any], given: dict[str, Array | None], types: str) -> Array:
    """What gemm makes of the same operands, one image after the other row by row."""
    shared = {name: value for name, value in params.items() if name in NEUTRAL or name.startswith(("act", "al", "be"))}
    own = {"k": params["c"], "kh": 3, "kw": 3, "n": params["n"], "dst_row": params["dst_row"]}
    return run(DIRECT[types], "gemm", {**NEUTRAL, **shared, **own}, given)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@both_tiles
@every_row
def test_bits_of_the_direct_sum(row: Any, tile: int, shape: Any) -> None:
    given: dict[str, Array | None] = dict(case(shape, row.types))
    params = params_of(shape, tile, row.types)
    expected = direct(params, given, row.types)
    assert same_bits(run(row, "winograd", params, given), expected)
    assert same_bits(run(row, "winograd", params, given, threads=3, chunk=2), expected)
    given["bias"] = given["residual"] = None
    assert same_bits(run(row, "winograd", params, given), direct(params, given, row.types))


@pytest.mark.parametrize("activation", KINDS)
@both_tiles
def test_activations(tile: int, activation: str) -> None:
    shape, types = SHAPES[1], "u8s8f32"
    given: dict[str, Array | None] = dict(case(shape, types))
    params = params_of(shape, tile, types, activation=KINDS.index(activation), alpha=0.25, beta=2.0)
    expected = direct(params, given, types)
    for row in ROWS:
        if row.types == types:
            assert same_bits(run(row, "winograd", params, given), expected)


@pytest.mark.parametrize(("src", "weight"), [(255, 127), (255, -128), (0, 127)])
@both_tiles
@every_row
def test_largest_sums(row: Any, tile: int, src: int, weight: int) -> None:
    """Up to the limit that the choice of a tile keeps."""
    c = 113
    shape = (1, 6, 7, c, 18, (1, 1, 1, 1))
    given: dict[str, Array | None] = dict(case(shape, row.types))
    given["src"], given["weight"] = np.full((1, 6, 7, c), src, np.uint8), np.full((18, c, 3, 3), weight, np.int8)
    assert choose_exact_tile(ATTRS, given["weight"], 56, 56, "avx2") == (4, 1)
    params = params_of(shape, tile, row.types)
    assert same_bits(run(row, "winograd", params, given), direct(params, given, row.types))


@pytest.mark.parametrize("shape", GROUPED, ids=str)
@both_tiles
@every_row
def test_groups(row: Any, tile: int, shape: Any) -> None:
    """The bits of a convolution for every group; `shape` is that of one."""
    groups, (c, n) = 3, shape[3:5]
    whole = (*shape[:3], groups * c, groups * n, shape[5])
    given: dict[str, Any] = dict(case(whole, row.types))
    given["weight"] = np.ascontiguousarray(given["weight"][:, :c])
    every = run(row, "winograd", params_of(whole, tile, row.types, groups=groups, c=c, n=n), given)
    for group in range(groups):
        columns = slice(group * n, group * n + n)
        part = {name: np.ascontiguousarray(given[name][..., columns]) for name in ("bias", "scale", "residual", "dst")}
        part["src"] = np.ascontiguousarray(given["src"][..., group * c : group * c + c])
        part["weight"] = given["weight"][columns]
        params = params_of(shape, tile, row.types)
        assert same_bits(run(row, "winograd", params, part), every[..., columns])
        assert same_bits(direct(params, part, row.types), every[..., columns])


@both_tiles
@every_row
def test_rows_of_wider_tensors(row: Any, tile: int) -> None:
    """Pixels of src, residual and dst that lie apart: what is between them stays."""
    shape = (2, 6, 5, 12, 20, (1, 1, 1, 1))
    given: dict[str, Any] = dict(case(shape, row.types))
    expected = run(row, "winograd", params_of(shape, tile, row.types), given)
    wide = {name: np.full((2, 6, 5, size), 9, given[name].dtype) for name, size in
            (("src", 29), ("residual", 23), ("dst", 40))}  # fmt: skip
    wide["src"][..., :12], wide["residual"][..., :20] = given["src"], given["residual"]
    strides = {"src_image": 6 * 5 * 29, "src_row": 5 * 29, "src_pixel": 29, "dst_row": 40, "residual_row": 23}
    out = run(row, "winograd", params_of(shape, tile, row.types, **strides), given | wide)
    assert same_bits(out[..., :20], expected)
    assert (out[..., 20:] == 9).all()


def test_choice() -> None:
    def choose(weight: Array, size: int, isa: str = "avx2") -> tuple[int, int] | None:
        return choose_exact_tile(ATTRS, weight, size, size, isa)

    small = np.full((64, 64, 3, 3), 40, np.int8)
    assert choose(small, 56) == (4, 1)
    assert choose(np.full((128, 128, 3, 3), 40, np.int8), 28, "avx512vnni") == (4, 1)
    assert choose(np.full((128, 128, 3, 3), 40, np.int8), 28, "amxint8") is None
    assert choose(np.full((512, 512, 3, 3), 20, np.int8), 7) == (2, 1)
    assert choose(np.full((64, 3, 3, 3), 40, np.int8), 224) is None
    assert choose(np.full((64, 64, 5, 5), 40, np.int8), 56) is None
    assert choose(np.full((64, 117, 3, 3), 127, np.int8), 56) == (4, 2)  # sums may pass 2^25
    assert choose(np.full((64, 470, 3, 3), 127, np.int8), 56) == (2, 1)  # those of four parts too
    assert choose(np.full((16, 7601, 3, 3), -128, np.int8), 56) is None  # and 2^29


@pytest.mark.parametrize("parts", [2, 3, 4])
@both_tiles
@every_row
def test_parts_of_the_channels(row: Any, tile: int, parts: int) -> None:
    """Parts of several sizes, some without channels, and sums that only parts can hold."""
    for shape in (SHAPES[1], (2, 9, 6, 5, 35, (1, 0, 1, 1)), (1, 6, 7, 448, 18, (1, 1, 1, 1))):
        given: dict[str, Array | None] = dict(case(shape, row.types))
        if shape[3] == 448:
            if parts < 4:
                continue
            given["src"], given["weight"] = (
                np.full((1, 6, 7, 448), 255, np.uint8),
                np.full((18, 448, 3, 3), 127, np.int8),
            )
            assert choose_exact_tile(ATTRS, given["weight"], 56, 56, "avx2") == (4, 4)
        params = params_of(shape, tile, row.types)
        split = params | {"parts": parts}
        expected = direct(params, given, row.types)
        assert same_bits(run(row, "winograd", split, given), expected)
        assert same_bits(run(row, "winograd", split, given, threads=3, chunk=2), expected)


@pytest.mark.parametrize(
    ("weight", "size", "isa", "why"),
    [
        (np.full((64, 64, 3, 3), 40, np.int8), 56, "amxint8", "tile registers multiply bytes so fast"),
        (np.full((16, 7601, 3, 3), -128, np.int8), 56, "avx2", "tiles that would pay may leave 32 bits"),
        (np.full((128, 470, 3, 3), 127, np.int8), 28, "avx512vnni", "tiles that would pay may leave 32 bits"),
        (np.full((64, 3, 3, 3), 40, np.int8), 224, "avx2", "would cost more"),
        (np.ones((64, 3, 3, 3), np.float32), 224, "avx2", "would cost more"),
    ],
    ids=["registers", "both-tiles", "larger-tile", "bytes", "floats"],
)
def test_reasons(weight: Array, size: int, isa: str, why: str) -> None:
    if weight.dtype == np.int8:
        assert choose_exact_tile(ATTRS, weight, size, size, isa) is None
    assert why in why_direct(ATTRS, weight, size, size, isa)
    strided = {**ATTRS, "stride": (2, 2)}
    assert why_direct(strided, weight, size, size, isa) == "Winograd's method needs stride and dilation 1"


@pytest.mark.parametrize("types", ["u8s8u8", "u8s8f32"])
def test_lowering(types: str) -> None:
    """A convolution with everything in its epilogue through plans for every instruction set, at two batch sizes."""
    rng = np.random.default_rng(3)
    weight = np.clip(np.rint(30 * rng.standard_normal((128, 128, 3, 3))), -127, 127).astype(np.int8)
    scale, bias = rng.uniform(5e-4, 1e-3, 128).astype(np.float32), rng.standard_normal(128, np.float32)
    dtype, factor = ("uint8", 0.5) if types == "u8s8u8" else ("float32", 1.0)
    outs = []
    for isa in _core.available_isas():
        b = GraphBuilder()
        x, residual = b.input("x", np.uint8, ("N", 20, 20, 128)), b.input("r", dtype, ("N", 20, 20, 128))
        quantization = {"x_zero_point": 7, "residual_scale": 0.5, "out_dtype": dtype}
        attrs = {"layout": "NHWC", "padding": (1, 1, 1, 1), **quantization}
        b.output("out", b.add_node("qconv2d", [x, weight, scale, bias, residual], attrs)[0])
        plan = Plan(b.graph, cpu_backend(isa))
        (step,) = plan.steps
        assert isinstance(step, KernelStep)
        family = "gemm" if isa == "amxint8" else "winograd"
        assert (step.family, step.row.types, step.row.isa) == (family, types, isa)
        assert ("tile registers" if isa == "amxint8" else "25% of the multiplications") in CpuEngine(1, isa).reason(
            step
        )
        given = [
            np.random.default_rng(4).integers(0, 256, (3, 20, 20, 128), np.uint8).astype(d) for d in ("uint8", dtype)
        ]
        for images in (3, 1):
            arrays = [np.ascontiguousarray(a[:images]) for a in given]
            sizes = {str(symbol): images for symbol in b.graph.symbols}
            outs.append(CpuExecution(plan, plan.bind(sizes), _core.Executor(plan.constants, 2)).run(arrays)[0])
    sums = convolve(given[0].astype(np.float64) - 7, weight, (3, 20, 20, 128, 128, (1, 1, 1, 1)))
    values = sums * scale.astype(np.float64) + bias + factor * given[1]
    if types == "u8s8u8":
        assert np.abs(outs[0] - np.clip(values, 0, 255)).max() <= 0.5001
    else:
        assert np.abs(outs[0] - values).max() <= 1e-4
    for i, out in enumerate(outs):
        assert same_bits(out, outs[0][: 3 - 2 * (i % 2)])
