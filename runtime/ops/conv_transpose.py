"""Transposed convolutions: the gradient of a convolution as an operator. Weights are ``[in, out / groups, ...]``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .conv import LAYOUT, check_operands, lift_window_attrs
from .opdef import Array, Attr, Case, define
from .windows import channel_axis, check_windows, from_channels_first, spatial_axes, to_channels_first

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value


def _attrs(spatial: int) -> dict[str, Attr]:
    return {
        "stride": Attr("ints", (1,) * spatial),
        "padding": Attr("ints", (0,) * (2 * spatial), "cut off the begins of all spatial axes, then off the ends"),
        "output_padding": Attr("ints", (0,) * spatial, "added to the ends"),
        "dilation": Attr("ints", (1,) * spatial),
        "groups": Attr("int", 1),
    }


def _infer(
    spatial: int,
    x: TensorType,
    weight: TensorType,
    bias: TensorType | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    layout: str = "NCHW",
) -> TensorType:
    rank = spatial + 2
    if x.rank != rank or weight.rank != rank:
        raise ShapeError(f"x {x} and weight {weight} must have {rank} dimensions")
    check_windows(spatial, padding, stride=stride, dilation=dilation)
    if len(output_padding) != spatial or any(p < 0 for p in output_padding):
        raise ShapeError(f"output_padding must be {spatial} numbers >= 0, not {tuple(output_padding)}")
    inputs, per_group, *kernel = weight.static_shape()
    channels = x.shape[channel_axis(rank, layout)]
    check_operands(x, weight, bias, channels, per_group * groups)
    if groups < 1 or inputs != channels or inputs % groups:
        raise ShapeError(f"{channels} channels in {groups} groups do not fit weight {weight}")
    shape = list(x.shape)
    shape[channel_axis(rank, layout)] = per_group * groups
    for i, axis in enumerate(spatial_axes(rank, layout)):
        cut = padding[i] + padding[spatial + i] - output_padding[i]
        size = (shape[axis] - 1) * stride[i] + (dilation[i] * (kernel[i] - 1) + 1 - cut)
        if isinstance(size, int) and size < 1:
            raise ShapeError(f"padding {tuple(padding)} leaves nothing of a result from {x}")
        shape[axis] = size
    return x.with_shape(shape)


def _reference(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    layout: str = "NCHW",
) -> Array:
    x = to_channels_first(x, layout)
    _, per_group, *kernel = weight.shape
    batch, channels, *sizes = x.shape
    n = len(sizes)
    grouped = x.reshape(batch, groups, channels // groups, int(np.prod(sizes)))
    rows = weight.reshape(groups, channels // groups, per_group * int(np.prod(kernel)))
    taps = (rows.swapaxes(1, 2) @ grouped).reshape(batch, groups * per_group, *kernel, *sizes)
    full = [
        (size - 1) * s + d * (k - 1) + 1 + p
        for size, s, d, k, p in zip(sizes, stride, dilation, kernel, output_padding, strict=True)
    ]
    out = np.zeros((batch, groups * per_group, *full), taps.dtype)
    every = slice(None)
    for tap in product(*map(range, kernel)):
        spots = [
            slice(t * d, t * d + (size - 1) * s + 1, s)
            for t, d, size, s in zip(tap, dilation, sizes, stride, strict=True)
        ]
        target, source = (every, every, *spots), (every, every, *tap)
        out[target] += taps[source]
    kept = (every, every, *(slice(padding[i], full[i] - padding[n + i]) for i in range(n)))
    out = out[kept]
    if bias is not None:
        out = out + bias.reshape(-1, *(1,) * n)
    return from_channels_first(out, layout)


def _insert_zeros(b: GraphBuilder, x: Value, axes: Sequence[int], stride: Sequence[int]) -> Value:
    """`stride` - 1 zeros between neighbours along each of `axes`."""
    apart: list[Any] = []
    ends: list[int] = []
    joined: list[Any] = []
    for axis, size in enumerate(x.shape):
        apart.append(size)
        ends.append(0)
        joined.append(size)
        if axis in axes:
            step = stride[axes.index(axis)]
            apart.append(1)
            ends.append(step - 1)
            joined[-1] = size * step
    x = b.reshape(x, shape=apart)
    x = b.pad(x, pads=(*(0,) * len(apart), *ends))
    x = b.reshape(x, shape=joined)
    kept = [x.shape[axis] - (step - 1) for axis, step in zip(axes, stride, strict=True)]
    return b.slice(x, axes=axes, starts=(0,) * len(axes), ends=kept, steps=(1,) * len(axes))  # type: ignore[no-any-return]


def _swap_channels(b: GraphBuilder, weight: Value, groups: int) -> Value:
    """``[I, O / groups, kh, kw]`` as ``[O, I / groups, kh, kw]``, taps in reverse order."""
    inputs, per_group, *kernel = weight.type.static_shape()
    weight = b.reshape(weight, shape=(groups, inputs // groups, per_group, *kernel))
    weight = b.permute(weight, dims=(0, 2, 1, 3, 4))
    weight = b.reshape(weight, shape=(groups * per_group, inputs // groups, *kernel))
    return b.flip(weight, dims=(2, 3))  # type: ignore[no-any-return]


def _decompose(
    b: GraphBuilder,
    x: Value,
    weight: Value,
    bias: Value | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    layout: str,
) -> Value:
    """Zeros between the elements, then a convolution with the flipped weights."""
    axes = spatial_axes(4, layout)
    if any(s > 1 for s in stride):
        x = _insert_zeros(b, x, axes, stride)
    kernel = weight.type.static_shape()[2:]
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    pads = [reach[0] - padding[0], reach[1] - padding[1]]
    pads += [reach[0] - padding[2] + output_padding[0], reach[1] - padding[3] + output_padding[1]]
    if min(pads) < 0:
        starts = [max(0, -p) for p in pads[:2]]
        ends = [x.shape[axis] - max(0, -p) for axis, p in zip(axes, pads[2:], strict=True)]
        x = b.slice(x, axes=axes, starts=starts, ends=ends, steps=(1, 1))
    flipped = _swap_channels(b, weight, groups)
    padding = tuple(max(0, p) for p in pads)
    return b.conv2d(x, flipped, bias, padding=padding, dilation=dilation, groups=groups, layout=layout)  # type: ignore[no-any-return]


def _decompose_1d(b: GraphBuilder, x: Value, weight: Value, bias: Value | None = None, **attrs: Any) -> Value:
    x = b.reshape(x, shape=(*x.shape[:2], 1, x.shape[2]))
    weight = b.reshape(weight, shape=(*weight.shape[:2], 1, weight.shape[2]))
    out = b.conv_transpose2d(x, weight, bias, **lift_window_attrs(attrs))
    return b.reshape(out, shape=(*out.shape[:2], out.shape[3]))  # type: ignore[no-any-return]


def _cases(*entries: tuple[Sequence[int], Sequence[int], int | None, dict[str, Any]]) -> Iterator[Case]:
    rng = np.random.default_rng(3)
    for x, w, bias, attrs in entries:
        weight = rng.standard_normal(w).astype(np.float32) / np.float32(np.sqrt(w[0]))
        b = None if bias is None else rng.standard_normal(bias).astype(np.float32)
        yield Case((rng.standard_normal(x).astype(np.float32), weight, b), attrs)


conv_transpose2d = define(
    "conv_transpose2d",
    family="conv",
    inputs=("x", "weight", "bias?"),
    attrs={**_attrs(2), "layout": LAYOUT},
    infer=lambda *types, **attrs: _infer(2, *types, **attrs),
    reference=_reference,
    decompose=_decompose,
    cases=lambda: _cases(
        ((1, 3, 4, 5), (3, 4, 2, 2), 4, {"stride": (2, 2)}),
        ((2, 3, 5, 4), (3, 2, 3, 3), None, {"stride": (2, 3), "padding": (1, 0, 1, 2), "output_padding": (1, 0)}),
        ((1, 4, 3, 3), (4, 3, 3, 2), 6, {"groups": 2, "dilation": (2, 3)}),
        ((1, 2, 6, 6), (2, 2, 2, 2), 2, {"padding": (2, 3, 1, 2)}),
        ((1, 5, 4, 3), (3, 2, 4, 4), 2, {"stride": (2, 2), "padding": (1, 1, 1, 1), "layout": "NHWC"}),
        ((1, 1, 1, 1), (1, 1, 1, 1), 1, {}),
        ((0, 2, 3, 3), (2, 3, 2, 2), None, {"stride": (2, 2)}),
    ),
    doc="Transposed convolution of x with weight [I, O / groups, KH, KW]; padding (top, left, bottom, right) is cut.",
)

conv_transpose1d = define(
    "conv_transpose1d",
    family="conv",
    inputs=("x", "weight", "bias?"),
    attrs=_attrs(1),
    infer=lambda *types, **attrs: _infer(1, *types, **attrs),
    reference=_reference,
    decompose=_decompose_1d,
    cases=lambda: _cases(
        ((1, 3, 5), (3, 4, 4), 4, {"stride": (2,), "padding": (1, 1)}),
        ((2, 4, 3), (4, 1, 3), None, {"stride": (3,), "groups": 2, "padding": (0, 1), "output_padding": (2,)}),
        ((1, 1, 1), (1, 1, 1), 1, {"dilation": (2,)}),
    ),
    doc="1-D transposed convolution of x [N, C, L] with weight [I, O / groups, K].",
)
