"""Transposed convolutions: the gradient of a convolution as an operator. Weights are ``[in, out / groups, ...]``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

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


def _spread_taps(b: GraphBuilder, weight: Value, dilation: Sequence[int]) -> Value:
    """``[I, O, kh, kw]`` with the zeros of the dilation written out between the taps."""
    inputs, per_group, kh, kw = weight.type.static_shape()
    dh, dw = dilation
    weight = b.reshape(weight, shape=(inputs, per_group, kh, 1, kw, 1))
    weight = b.pad(weight, pads=(0,) * 9 + (dh - 1, 0, dw - 1))
    weight = b.reshape(weight, shape=(inputs, per_group, kh * dh, kw * dw))
    ends = [dh * (kh - 1) + 1, dw * (kw - 1) + 1]
    return b.slice(weight, axes=(2, 3), starts=(0, 0), ends=ends, steps=(1, 1))  # type: ignore[no-any-return]


class _Phases(NamedTuple):
    """How one axis of a strided transposed convolution becomes a convolution with `stride` times the channels.

    Element ``stride * q + p - crop`` of the result is phase p at place q, a sum of `taps` elements of x from place
    ``q - before``. Taps are padded by `lead` zeros, and at the end to a whole number of strides.
    """

    taps: int
    lead: int
    crop: int
    before: int
    after: int


def _phases(kernel: int, stride: int, begin: int, end: int, extra: int) -> _Phases:
    """For padding `begin` and `end`, output padding `extra`. Cropping costs less than another tap everywhere."""
    for crop in (0, begin % stride):
        last = (stride - 1 + begin - crop) // stride
        lead = last * stride - (begin - crop)
        taps = -(-(lead + kernel) // stride)
        if taps == -(-kernel // stride):
            break
    places = -(-(kernel - begin - end + extra + crop) // stride)  # beyond one for every element of x but the first
    return _Phases(taps, lead, crop, taps - 1 - last, places - 1 + last)


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
    """A convolution that makes the elements between two strides of the result as channels, which then move apart."""
    if layout == "NHWC":
        x = b.permute(x, dims=(0, 3, 1, 2))
    if any(d > 1 for d in dilation):
        weight = _spread_taps(b, weight, dilation)
    inputs, per_group, kh, kw = weight.type.static_shape()
    sh, sw = stride
    rows = _phases(kh, sh, padding[0], padding[2], output_padding[0])
    columns = _phases(kw, sw, padding[1], padding[3], output_padding[1])
    out_h, out_w = _infer(2, x.type, weight.type, None, stride=stride, padding=padding, output_padding=output_padding,
                          dilation=(1, 1), groups=groups).shape[2:]  # fmt: skip

    fill = (rows.taps * sh - kh - rows.lead, columns.taps * sw - kw - columns.lead)
    weight = b.pad(weight, pads=(0, 0, rows.lead, columns.lead, 0, 0, *fill))
    weight = b.reshape(weight, shape=(groups, inputs // groups, per_group, rows.taps, sh, columns.taps, sw))
    weight = b.flip(b.permute(weight, dims=(0, 4, 6, 2, 1, 3, 5)), dims=(5, 6))
    channels = groups * sh * sw * per_group
    weight = b.reshape(weight, shape=(channels, inputs // groups, rows.taps, columns.taps))
    if bias is not None and sh * sw > 1:
        bias = b.reshape(bias, shape=(groups, 1, per_group))
        bias = b.reshape(b.expand(bias, shape=(groups, sh * sw, per_group)), shape=(channels,))

    pads = (rows.before, columns.before, rows.after, columns.after)
    if min(pads) < 0:
        starts = [max(0, -p) for p in pads[:2]]
        ends = [size - max(0, -p) for size, p in zip(x.shape[2:], pads[2:], strict=True)]
        x = b.slice(x, axes=(2, 3), starts=starts, ends=ends, steps=(1, 1))
    out = b.conv2d(x, weight, bias, padding=tuple(max(0, p) for p in pads), groups=groups)
    if sh * sw > 1:
        batch, _, h, w = out.shape
        out = b.reshape(out, shape=(batch, groups, sh, sw, per_group, h, w))
        out = b.permute(out, dims=(0, 1, 4, 5, 2, 6, 3))
        out = b.reshape(out, shape=(batch, groups * per_group, h * sh, w * sw))
        starts = [rows.crop, columns.crop]
        ends = [start + size for start, size in zip(starts, (out_h, out_w), strict=True)]
        out = b.slice(out, axes=(2, 3), starts=starts, ends=ends, steps=(1, 1))
    return b.permute(out, dims=(0, 2, 3, 1)) if layout == "NHWC" else out  # type: ignore[no-any-return]


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
        ((2, 4, 3, 4), (4, 2, 3, 2), 4, {"groups": 2, "stride": (2, 3), "dilation": (2, 2), "padding": (1, 2, 3, 0)}),
        ((1, 2, 4, 4), (2, 3, 1, 3), 3, {"stride": (3, 2), "padding": (0, 1, 0, 1), "output_padding": (2, 1)}),
        ((1, 2, 5, 5), (2, 3, 5, 2), None, {"stride": (2, 2), "padding": (4, 3, 3, 2)}),
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
