"""Every Winograd kernel that this CPU can run, against torch in float64, and bit for bit against the generic one."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import cpu_backend
from rushlight.runtime.cpu.execution import CpuExecution
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.lower.activation import KINDS
from rushlight.runtime.lower.winograd import choose_tile
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.lowering import KernelStep

from .harness import Array, available_rows, fenced, same_bits
from .harness import run as run_kernel

ROWS = [row for row in available_rows("winograd") if row.types == "f32"]
GENERIC = next(row for row in ROWS if row.isa == "generic")
by_symbol: dict[str, Any] = {"ids": lambda row: row.symbol}
both_tiles = pytest.mark.parametrize("tile", [2, 4])
every_row = pytest.mark.parametrize("row", ROWS, **by_symbol)

# images, height, width, channels, columns, padding (top, left, bottom, right)
SHAPES = [
    (1, 8, 8, 16, 16, (1, 1, 1, 1)),
    (2, 7, 9, 13, 33, (1, 1, 1, 1)),
    (1, 5, 3, 40, 70, (0, 0, 0, 0)),
    (3, 14, 14, 20, 48, (1, 1, 1, 1)),
    (1, 30, 17, 5, 80, (0, 1, 1, 0)),
    (2, 3, 3, 17, 7, (0, 0, 0, 0)),
    (1, 1, 1, 3, 1, (1, 1, 1, 1)),
    (1, 2, 6, 1, 130, (3, 9, 2, 5)),
    (1, 40, 41, 32, 24, (1, 1, 1, 1)),
    (0, 4, 4, 8, 8, (1, 1, 1, 1)),
    (2, 4, 4, 8, 0, (1, 1, 1, 1)),
    (1, 4, 4, 0, 8, (1, 1, 1, 1)),
]


def geometry(shape: Any, tile: int, **changes: Any) -> dict[str, Any]:
    images, ih, iw, c, n, (top, left, bottom, right) = shape
    return {
        "images": images, "ih": ih, "iw": iw, "oh": ih + top + bottom - 2, "ow": iw + left + right - 2, "ph": top,
        "pw": left, "groups": 1, "c": c, "n": n, "tile": tile, "parts": 1, "src_image": ih * iw * c,
        "src_row": iw * c, "src_pixel": c, "dst_row": n, "residual_row": n, "src_zero_point": 0, "activation": 0,
        "alpha": 0.0, "beta": 0.0, "residual_scale": 0.0,
    } | changes  # fmt: skip


def convolve(src: Array, weight: Array, shape: Any, groups: int = 1) -> Array:
    """In float64, NHWC."""
    top, left, bottom, right = shape[5]
    if 0 in src.shape or 0 in weight.shape:
        return np.zeros((src.shape[0], shape[1] + top + bottom - 2, shape[2] + left + right - 2, weight.shape[0]))
    padded = F.pad(torch.from_numpy(src.astype(np.float64)).permute(0, 3, 1, 2), (left, right, top, bottom))
    filters = torch.from_numpy(weight.astype(np.float64))
    return F.conv2d(padded, filters, groups=groups).permute(0, 2, 3, 1).numpy()


def case(shape: Any) -> dict[str, Array]:
    """Random operands."""
    images, ih, iw, c, n, (top, left, bottom, right) = shape
    rng = np.random.default_rng(crc32(repr(shape).encode()))
    dst_shape = (images, ih + top + bottom - 2, iw + left + right - 2, n)
    return {
        "src": rng.standard_normal((images, ih, iw, c), np.float32),
        "weight": rng.standard_normal((n, c, 3, 3), np.float32),
        "bias": rng.standard_normal(n, np.float32),
        "residual": rng.standard_normal(dst_shape, np.float32),
        "dst": np.full(dst_shape, np.nan, np.float32),
    }


def run(
    row: Any,
    params: dict[str, Any],
    weight: Array,
    dst: Array,
    threads: int = 1,
    chunk: int = 1,
    in_place: bool = False,
    **operands: Any,
) -> Array:
    """`dst` takes the memory of the residual if `in_place`."""
    raw = pack_params("winograd", **params)
    operands["weight"] = _core.pack(row.symbol, raw, np.ascontiguousarray(weight))
    memory = {name: fenced(array) for name, array in (operands | {"dst": dst}).items() if array is not None}
    if in_place:
        memory["dst"] = memory["residual"]
    order = ("src", "weight", "bias", "scale", "residual", "dst")
    views = [memory[name][0].reshape(-1).view(np.uint8) if name in memory else None for name in order]
    _core.run_kernel(row.symbol, raw, views, threads, chunk)
    for _, before in memory.values():
        assert (before == 0xA5).all()
    return np.array(memory["dst"][0])


def tolerance(given: dict[str, Array], shape: Any) -> Array:
    """Per column: the chains' and transforms' roundings, as they add up for operands of the size given."""
    size = convolve(np.abs(given["src"]), np.abs(given["weight"]), shape).max(axis=(0, 1, 2), initial=0)
    return 2.0**-19 * size + 1e-6


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@both_tiles
@every_row
def test_like_float64(row: Any, tile: int, shape: Any) -> None:
    given = case(shape)
    sums = convolve(given["src"], given["weight"], shape)
    bound = tolerance(given, shape)
    plain = run(row, geometry(shape, tile), **{**given, "residual": None, "bias": None})
    assert (np.abs(plain - sums) <= bound).all()
    fused = run(row, geometry(shape, tile, activation=KINDS.index("relu")), **given)
    assert (np.abs(fused - np.maximum(sums + given["bias"] + given["residual"], 0)) <= bound).all()
    silu = run(row, geometry(shape, tile, activation=KINDS.index("silu")), **{**given, "residual": None})
    expected = torch.nn.functional.silu(torch.from_numpy(sums + given["bias"])).numpy()
    assert (np.abs(silu - expected) <= 1.1 * bound + 1e-6 * np.abs(expected)).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@both_tiles
@every_row
def test_bits_do_not_depend_on_row_or_tasks(row: Any, tile: int, shape: Any) -> None:
    given = case(shape)
    params = geometry(shape, tile, activation=KINDS.index("clamp"), alpha=-0.5, beta=6.0)
    first = run(GENERIC, params, **given)
    assert same_bits(run(row, params, **given), first)
    assert same_bits(run(row, params, threads=3, chunk=2, **given), first)
    assert same_bits(run(row, params, in_place=True, **given), first)


@both_tiles
@every_row
def test_bits_do_not_depend_on_batch(row: Any, tile: int) -> None:
    """Large enough for several blocks of tiles and of panels."""
    shape = (5, 13, 13, 72, 200, (1, 1, 1, 1))
    given = case(shape)
    params = geometry(shape, tile)
    if row.isa == "generic":
        shape, params = (2, *shape[1:]), params | {"images": 2}
        given |= {name: given[name][:2] for name in ("src", "residual", "dst")}
    raw = pack_params("winograd", **params)
    assert _core.tasks(row.symbol, raw) > 1
    every = run(row, params, threads=2, **given)
    for i in range(shape[0]):
        single = given | {name: given[name][i : i + 1] for name in ("src", "residual", "dst")}
        assert same_bits(run(row, params | {"images": 1}, **single), every[i : i + 1])


GROUPED = (2, 9, 10, 5, 20, (1, 1, 1, 1)), (1, 15, 30, 24, 24, (1, 0, 1, 0)), (1, 4, 5, 33, 1, (1, 1, 1, 1))


@pytest.mark.parametrize("shape", GROUPED, ids=str)
@both_tiles
@every_row
def test_groups(row: Any, tile: int, shape: Any) -> None:
    """The bits of a convolution for every group; `shape` is that of one."""
    groups, (c, n) = 3, shape[3:5]
    whole = (*shape[:3], groups * c, groups * n, shape[5])
    given = case(whole)
    given["weight"] = np.ascontiguousarray(given["weight"][:, :c])
    changes = {"groups": groups, "c": c, "n": n}
    every = run(row, geometry(whole, tile, **changes), **given)
    assert same_bits(run(row, geometry(whole, tile, **changes), threads=3, chunk=2, **given), every)
    for group in range(groups):
        columns = slice(group * n, group * n + n)
        part = {name: np.ascontiguousarray(given[name][..., columns]) for name in ("bias", "residual", "dst")}
        part["src"] = np.ascontiguousarray(given["src"][..., group * c : group * c + c])
        part["weight"] = given["weight"][columns]
        assert same_bits(run(row, geometry(shape, tile), **part), every[..., columns])


@both_tiles
@every_row
def test_rows_of_wider_tensors(row: Any, tile: int) -> None:
    """Pixels of src, residual and dst that lie apart: what is between them stays."""
    shape = (2, 6, 5, 12, 20, (1, 1, 1, 1))
    given = case(shape)
    expected = run(row, geometry(shape, tile), **given)
    rng = np.random.default_rng(1)
    src = rng.standard_normal((2, 6, 5, 29), np.float32)
    src[..., :12] = given["src"]
    residual = rng.standard_normal((2, 6, 5, 23), np.float32)
    residual[..., :20] = given["residual"]
    dst = np.full((2, 6, 5, 40), 7, np.float32)
    params = geometry(shape, tile, src_image=6 * 5 * 29, src_row=5 * 29, src_pixel=29, dst_row=40, residual_row=23)
    out = run(row, params, **given | {"src": src, "residual": residual, "dst": dst})
    assert same_bits(out[..., :20], expected)
    assert (out[..., 20:] == 7).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e15, 1e30])
@both_tiles
@every_row
def test_any_magnitude(row: Any, tile: int, scale: float) -> None:
    shape = SHAPES[3]
    given = case(shape) | {"residual": None, "bias": None}
    given["src"] = given["src"] * np.float32(scale)
    out = run(row, geometry(shape, tile), **given)
    sums = convolve(given["src"], given["weight"], shape)
    assert np.abs(out - sums).max() <= 1e-5 * np.abs(sums).max()


@both_tiles
@every_row
def test_pixels_of_very_different_size(row: Any, tile: int) -> None:
    """The error is relative to what a tile's patch holds, and stays in that tile."""
    shape = SHAPES[8]
    given = case(shape) | {"residual": None, "bias": None}
    given["src"][0, 0, 0] *= 1e6
    out = run(row, geometry(shape, tile), **given)
    sums = convolve(given["src"], given["weight"], shape)
    assert np.abs(out - sums).max() <= 1e-5 * np.abs(sums).max()
    far = (slice(None), slice(tile, None), slice(tile, None))
    assert np.abs(out[far] - sums[far]).max() <= 1e-5 * np.abs(sums[far]).max()


@pytest.mark.parametrize("value", [np.nan, np.inf])
@both_tiles
@every_row
def test_what_is_not_finite_stays_in_its_tiles(row: Any, tile: int, value: float) -> None:
    shape = SHAPES[3]
    given = case(shape) | {"residual": None, "bias": None}
    clean = run(row, geometry(shape, tile), **given)
    given["src"][1, 6, 6, 3] = value
    out = run(row, geometry(shape, tile), **given)
    tiles = {t // tile for t in (5, 6, 7)}  # of the results that the pixel reaches
    reached = np.zeros((14, 14), bool)
    for y in tiles:
        for x in tiles:
            reached[y * tile : (y + 1) * tile, x * tile : (x + 1) * tile] = True
    assert not np.isfinite(out[1, 5:8, 5:8]).any()
    out[1, reached] = clean[1, reached]
    assert same_bits(out, clean)


@pytest.mark.parametrize("activation", KINDS)
@both_tiles
def test_activations(tile: int, activation: str) -> None:
    """Like those of the unary kernels, on every instruction set."""
    shape = SHAPES[1]
    given, params = case(shape), {"alpha": 0.25, "beta": 2.0}
    sums = run(GENERIC, geometry(shape, tile), **given)
    expected = sums
    if activation != "none":
        unary = next(row for row in available_rows("unary") if row.op == activation and row.isa == "generic")
        expected = run_kernel(unary, {"x": sums, "out": np.empty_like(sums)}, {"n": sums.size, **params})
    for row in ROWS:
        out = run(row, geometry(shape, tile, activation=KINDS.index(activation), **params), **given)
        assert same_bits(out, expected)


ATTRS = {"groups": 1, "stride": (1, 1), "dilation": (1, 1)}


def test_choice() -> None:
    """Of a tile, by the layer alone."""
    assert choose_tile(ATTRS, (64, 64, 3, 3), 56, 56) == 4
    assert choose_tile(ATTRS, (512, 512, 3, 3), 7, 7) == 2  # few tiles share a weight
    assert choose_tile(ATTRS, (256, 256, 3, 3), 14, 14) == 4
    assert choose_tile(ATTRS, (512, 512, 3, 3), 14, 14) == 2  # 36 MiB of weights, 16 MiB
    assert choose_tile(ATTRS, (512, 256, 3, 3), 32, 32) == 4
    assert choose_tile(ATTRS, (64, 3, 3, 3), 224, 224) is None  # the transforms would take longer than the products
    assert choose_tile(ATTRS, (64, 64, 3, 3), 1, 1) is None
    assert choose_tile(ATTRS, (64, 64, 5, 5), 56, 56) is None
    assert choose_tile(ATTRS, (64, 64, 1, 3), 56, 56) is None
    for change in ({"stride": (2, 1)}, {"dilation": (1, 2)}):
        assert choose_tile({**ATTRS, **change}, (64, 64, 3, 3), 56, 56) is None
    assert choose_tile({**ATTRS, "groups": 14}, (336, 24, 3, 3), 14, 14) == 4
    assert choose_tile({**ATTRS, "groups": 37}, (888, 24, 3, 3), 7, 7) is None
    assert choose_tile({**ATTRS, "groups": 64}, (64, 2, 3, 3), 56, 56) is None  # registers of 16 columns, one in use


@pytest.mark.parametrize(
    ("size", "groups", "kernel"), [(12, 1, "winograd"), ("H", 1, "winograd"), (12, 2, "winograd"), (2, 1, "gemm")]
)
def test_lowering(size: Any, groups: int, kernel: str) -> None:
    """A convolution with everything in its epilogue through a plan, at two batch sizes."""
    rng = np.random.default_rng(3)
    weight, bias = rng.standard_normal((48, 32 // groups, 3, 3), np.float32), rng.standard_normal(48, np.float32)
    b = GraphBuilder()
    x, residual = b.input("x", np.float32, ("N", size, size, 32)), b.input("r", np.float32, ("N", size, size, 48))
    attrs = {"layout": "NHWC", "padding": (1, 1, 1, 1), "activation": "leaky_relu", "alpha": 0.1, "groups": groups}
    b.output("out", b.add_node("conv2d", [x, weight, bias, residual], attrs)[0])
    plan = Plan(b.graph, cpu_backend(_core.available_isas()[-1]))
    (step,) = plan.steps
    assert isinstance(step, KernelStep)
    assert step.family == kernel
    pixels = size if isinstance(size, int) else 20
    given = [rng.standard_normal((3, pixels, pixels, c), np.float32) for c in (32, 48)]
    outs = []
    for images in (3, 1):
        arrays = [np.ascontiguousarray(a[:images]) for a in given]
        sizes = {str(s): pixels if str(s) == "H" else images for s in b.graph.symbols}
        outs.append(CpuExecution(plan, plan.bind(sizes), _core.Executor(plan.constants, 2)).run(arrays)[0])
    sums = convolve(given[0], weight, (3, pixels, pixels, 32, 48, (1, 1, 1, 1)), groups) + bias + given[1]
    assert np.abs(outs[0] - np.where(sums < 0, 0.1 * sums, sums)).max() <= 1e-5 * np.abs(sums).max()
    assert same_bits(outs[0][:1], outs[1])
