"""Pooling over windows of images. `padding` is (top, left, bottom, right)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError, UnsupportedError
from ..types import DimLike, TensorType, exact_div
from .conv import LAYOUT
from .opdef import Array, Attr, Case, define
from .samples import sample
from .windows import (
    check_windows,
    from_channels_first,
    pad_spatial,
    spatial_axes,
    to_channels_first,
    window_count,
    windows,
)

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value

_WINDOW = {
    "kernel_size": Attr("ints"),
    "stride": Attr("ints"),
    "padding": Attr("ints", (0, 0, 0, 0), "top, left, bottom, right"),
}
_CEIL = {"ceil_mode": Attr("bool", False, "a last window may hang over the end"), "layout": LAYOUT}


def infer_pool(
    x: TensorType,
    *,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
    layout: str = "NCHW",
) -> TensorType:
    """The type of a pool's result. Padding must be smaller than the window, so that no window misses the input."""
    if x.rank != 4:
        raise ShapeError(f"x {x} must have 4 dimensions")
    check_windows(2, padding, kernel_size=kernel_size, stride=stride, dilation=dilation)
    shape = list(x.shape)
    for i, axis in enumerate(spatial_axes(4, layout)):
        begin, end = padding[i], padding[2 + i]
        extent = dilation[i] * (kernel_size[i] - 1) + 1
        if max(begin, end) >= extent:
            raise ShapeError(f"padding {tuple(padding)} is not smaller than the window {tuple(kernel_size)}")
        shape[axis] = window_count(shape[axis], kernel_size[i], stride[i], begin, end, dilation[i], ceil_mode)
    return x.with_shape(shape)


def pool_windows(
    x: Array,
    fill: float | int,
    *,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> Array:
    """All windows ``[N, C, OH, OW, KH, KW]`` of ``x[N, C, H, W]``; whatever lies outside `x` is `fill`."""
    counts: list[int] = []
    overhang: list[int] = []
    for i, size in enumerate(x.shape[2:]):
        count = window_count(size, kernel_size[i], stride[i], padding[i], padding[2 + i], dilation[i], ceil_mode)
        assert isinstance(count, int)
        counts.append(count)
        reach = (count - 1) * stride[i] + dilation[i] * (kernel_size[i] - 1) + 1
        overhang.append(max(0, reach - size - padding[i] - padding[2 + i]))
    return windows(pad_spatial(x, padding, fill, overhang), kernel_size, stride, dilation, counts)


def _lowest(dtype: np.dtype[Any]) -> float | int:
    if dtype.kind == "f":
        return -np.inf
    return 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)


def _max_pool2d(x: Array, *, layout: str, **attrs: Any) -> Array:
    taps = pool_windows(to_channels_first(x, layout), _lowest(x.dtype), **attrs)
    return from_channels_first(taps.max(axis=(-2, -1)), layout)


def window_sizes(
    shape: Sequence[int],
    *,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """How many elements each window ``[OH, OW]`` over an image of `shape` averages; parts hanging over never count."""
    sizes: list[Array] = []
    for size, kernel, step, begin, end in zip(shape, kernel_size, stride, padding[:2], padding[2:], strict=True):
        count = window_count(size, kernel, step, begin, end, ceil_mode=ceil_mode)
        assert isinstance(count, int)
        first = np.arange(count) * step - begin
        last = np.minimum(first + kernel, size + end)
        sizes.append(last - first if count_include_pad else np.minimum(last, size) - np.maximum(first, 0))
    return np.multiply.outer(*sizes)


def _avg_pool2d(x: Array, *, count_include_pad: bool, layout: str, **attrs: Any) -> Array:
    first = to_channels_first(x, layout)
    total = pool_windows(first, 0, **attrs).sum(axis=(-2, -1))
    sizes = window_sizes(first.shape[2:], count_include_pad=count_include_pad, **attrs)
    return from_channels_first(total / sizes.astype(x.dtype), layout)


def _infer_avg_pool2d(x: TensorType, *, count_include_pad: bool, **attrs: Any) -> TensorType:
    if x.dtype.kind != "f":
        raise ShapeError(f"x {x} must be floating-point")
    return infer_pool(x, **attrs)


def _infer_adaptive(x: TensorType, *, output_size: Sequence[int], layout: str) -> TensorType:
    if x.rank != 4 or x.dtype.kind != "f":
        raise ShapeError(f"x {x} must be floating-point and have 4 dimensions")
    if len(output_size) != 2 or min(output_size) < 1:
        raise ShapeError(f"output_size must be 2 positive numbers, not {tuple(output_size)}")
    shape = list(x.shape)
    for axis, size in zip(spatial_axes(4, layout), output_size, strict=True):
        shape[axis] = size
    return x.with_shape(shape)


def adaptive_weights(size: int, outputs: int) -> Array:
    """float64 ``[outputs, size]``: row i averages elements floor(i size / outputs) to ceil((i + 1) size / outputs)."""
    weights = np.zeros((outputs, size))
    for i in range(outputs):
        begin, end = i * size // outputs, -(-(i + 1) * size // outputs)
        weights[i, begin:end] = 1 / (end - begin)
    return weights


def _adaptive_avg_pool2d(x: Array, *, output_size: Sequence[int], layout: str) -> Array:
    first = to_channels_first(x, layout)
    rows = adaptive_weights(first.shape[2], output_size[0])
    columns = adaptive_weights(first.shape[3], output_size[1])
    return from_channels_first((rows @ first @ columns.T).astype(x.dtype), layout)


def _decompose_adaptive(b: GraphBuilder, x: Value, *, output_size: Sequence[int], layout: str) -> Value:
    """A mean, an ordinary pool where windows are equal, or a product with a constant matrix on each side."""
    axes = spatial_axes(4, layout)
    if tuple(output_size) == (1, 1):
        return b.mean(x, dim=axes, keepdim=True)  # type: ignore[no-any-return]
    sizes: list[DimLike] = [x.shape[axis] for axis in axes]
    steps = [exact_div(size, out) for size, out in zip(sizes, output_size, strict=True)]
    if all(isinstance(step, int) for step in steps):
        return b.avg_pool2d(x, kernel_size=steps, stride=steps, layout=layout)  # type: ignore[no-any-return]
    height, width = sizes
    if not isinstance(height, int) or not isinstance(width, int):
        raise UnsupportedError(f"adaptive_avg_pool2d of {x.type} to {tuple(output_size)} depends on the size")
    if layout == "NHWC":
        x = b.permute(x, dims=(0, 3, 1, 2))
    out = b.matmul(adaptive_weights(height, output_size[0]).astype(x.dtype), x)
    out = b.matmul(out, adaptive_weights(width, output_size[1]).T.astype(x.dtype))
    return b.permute(out, dims=(0, 2, 3, 1)) if layout == "NHWC" else out  # type: ignore[no-any-return]


def _shape(layout: str, n: int, c: int, h: int, w: int) -> tuple[int, ...]:
    return (n, c, h, w) if layout == "NCHW" else (n, h, w, c)


_WINDOWS: tuple[tuple[tuple[int, int], dict[str, Any]], ...] = (
    ((6, 7), {"kernel_size": (2, 2), "stride": (2, 2)}),
    ((9, 8), {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0, 2, 1)}),
    ((7, 7), {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1, 1, 1), "ceil_mode": True}),
    ((6, 5), {"kernel_size": (2, 2), "stride": (3, 3), "padding": (1, 0, 1, 0), "ceil_mode": True}),
    ((1, 1), {"kernel_size": (1, 1), "stride": (1, 1)}),
    ((5, 6), {"kernel_size": (5, 6), "stride": (5, 6)}),
)
"""Sizes of images and windows on them."""


def _pool_cases(**more: Any) -> Iterator[Case]:
    for layout in ("NCHW", "NHWC"):
        for size, attrs in _WINDOWS:
            yield Case((sample(_shape(layout, 2, 5, *size)),), {**attrs, **more, "layout": layout})
    yield Case((np.zeros((0, 3, 4, 4), np.float32),), {"kernel_size": (2, 2), "stride": (2, 2), **more})


def _max_pool_cases() -> Iterator[Case]:
    yield from _pool_cases()
    dilated = {"kernel_size": (2, 3), "stride": (1, 2), "padding": (0, 1, 1, 0), "dilation": (2, 3)}
    yield Case((sample((1, 3, 7, 9)),), dilated)
    yield Case((sample((1, 7, 9, 3)),), {**dilated, "layout": "NHWC", "ceil_mode": True})
    for dtype in ("uint8", "int8", "int64"):
        yield Case((sample((1, 3, 9, 8), dtype, -100, 100),), _WINDOWS[1][1])


def _avg_pool_cases() -> Iterator[Case]:
    yield from _pool_cases(count_include_pad=True)
    yield from _pool_cases(count_include_pad=False)


def _adaptive_cases() -> Iterator[Case]:
    for layout in ("NCHW", "NHWC"):
        for size, out in (((7, 5), (1, 1)), ((6, 8), (3, 2)), ((7, 10), (3, 4)), ((2, 1), (7, 7)), ((1, 1), (1, 1))):
            yield Case((sample(_shape(layout, 2, 3, *size)),), {"output_size": out, "layout": layout})


max_pool2d = define(
    "max_pool2d",
    family="pool",
    inputs=("x",),
    attrs={**_WINDOW, "dilation": Attr("ints", (1, 1)), **_CEIL},
    infer=infer_pool,
    reference=_max_pool2d,
    cases=_max_pool_cases,
    tolerance=0.0,
    doc="The largest element of each window; padding never wins. Any dtype.",
)

avg_pool2d = define(
    "avg_pool2d",
    family="pool",
    inputs=("x",),
    attrs={**_WINDOW, **_CEIL, "count_include_pad": Attr("bool", True, "padding counts as elements of value 0")},
    infer=_infer_avg_pool2d,
    reference=_avg_pool2d,
    cases=_avg_pool_cases,
    doc="The mean of each window. What hangs over the end by ceil_mode is never counted.",
)

adaptive_avg_pool2d = define(
    "adaptive_avg_pool2d",
    family="pool",
    inputs=("x",),
    attrs={"output_size": Attr("ints"), "layout": LAYOUT},
    infer=_infer_adaptive,
    reference=_adaptive_avg_pool2d,
    decompose=_decompose_adaptive,
    cases=_adaptive_cases,
    doc="Means over a grid of output_size windows that cover the image and may overlap.",
)
