"""Convolutions. Weights are ``[out, in / groups, kh, kw]`` in every layout.

`padding` lists the begins of all spatial axes, then their ends: (top, left, bottom, right).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..types import DimLike, TensorType
from .activation import ACTIVATION_ATTRS, activate
from .opdef import Array, Attr, Case, define
from .windows import (
    channel_axis,
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

LAYOUT = Attr("str", "NCHW", "order of the axes of x and of the result", choices=("NCHW", "NHWC"))


def _window_attrs(spatial: int) -> dict[str, Attr]:
    return {
        "stride": Attr("ints", (1,) * spatial),
        "padding": Attr("ints", (0,) * (2 * spatial), "begins of all spatial axes, then ends"),
        "dilation": Attr("ints", (1,) * spatial),
        "groups": Attr("int", 1),
    }


def check_operands(
    x: TensorType, weight: TensorType, bias: TensorType | None, channels: DimLike, outputs: DimLike
) -> None:
    """Raises ShapeError unless dtypes agree, channels are static and the bias has one entry a channel of the result."""
    for name, other in (("weight", weight), ("bias", bias)):
        if other is not None and other.dtype != x.dtype:
            raise ShapeError(f"{name} is {other.dtype}, x is {x.dtype}")
    if bias is not None and bias.shape != (outputs,):
        raise ShapeError(f"bias is {bias}, expected [{outputs}]")
    if not isinstance(channels, int):
        raise ShapeError(f"the number of channels of {x} is symbolic")


def infer_conv(
    spatial: int,
    x: TensorType,
    weight: TensorType,
    bias: TensorType | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    layout: str = "NCHW",
) -> TensorType:
    """The type of a convolution over `spatial` axes."""
    rank = spatial + 2
    if x.rank != rank or weight.rank != rank:
        raise ShapeError(f"x {x} and weight {weight} must have {rank} dimensions")
    check_windows(spatial, padding, stride=stride, dilation=dilation)
    outputs, inner, *kernel = weight.static_shape()
    channels = x.shape[channel_axis(rank, layout)]
    check_operands(x, weight, bias, channels, outputs)
    if groups < 1 or inner * groups != channels or outputs % groups:
        raise ShapeError(f"{channels} channels in {groups} groups do not fit weight {weight}")
    shape = list(x.shape)
    shape[channel_axis(rank, layout)] = outputs
    for i, axis in enumerate(spatial_axes(rank, layout)):
        shape[axis] = window_count(shape[axis], kernel[i], stride[i], padding[i], padding[spatial + i], dilation[i])
    return x.with_shape(shape)


def convolve(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    layout: str = "NCHW",
) -> Array:
    """Reference of every convolution: any number of spatial axes, any dtype; sums in the dtype of `x`."""
    x = pad_spatial(to_channels_first(x, layout), padding, 0)
    outputs, inner, *kernel = weight.shape
    counts = [
        (size - d * (k - 1) - 1) // s + 1 for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    view = windows(x, kernel, stride, dilation, counts)
    n, area = len(kernel), int(np.prod(counts))
    taps = np.moveaxis(view, range(2, 2 + n), range(-n, 0))  # [N, C, *kernel, *counts]
    depth = inner * int(np.prod(kernel))
    columns = taps.reshape(x.shape[0], groups, depth, area)
    rows = weight.reshape(groups, outputs // groups, depth)
    out = (rows @ columns).reshape(x.shape[0], outputs, *counts)
    if bias is not None:
        out = out + bias.reshape(-1, *(1,) * n)
    return from_channels_first(out, layout)


def _infer_conv2d(
    x: TensorType,
    weight: TensorType,
    bias: TensorType | None = None,
    residual: TensorType | None = None,
    *,
    activation: str,
    alpha: float,
    beta: float,
    **attrs: Any,
) -> TensorType:
    out = infer_conv(2, x, weight, bias, **attrs)
    if residual is not None and residual != out:
        raise ShapeError(f"residual is {residual}, the result {out}")
    return out


def _conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    activation: str,
    alpha: float,
    beta: float,
    **attrs: Any,
) -> Array:
    out = convolve(x, weight, bias, **attrs)
    return activate(out if residual is None else out + residual, activation, alpha, beta)


def _conv2d_cases() -> Iterator[Case]:
    rng = np.random.default_rng(1)

    def case(x: Sequence[int], w: Sequence[int], bias: bool = True, residual: bool = False, **attrs: Any) -> Case:
        arrays = [rng.standard_normal(shape).astype(np.float32) for shape in (x, w)]
        weight = arrays[1] * np.float32(1 / np.sqrt(np.prod(w[1:])))
        b = rng.standard_normal(w[0]).astype(np.float32) if bias else None
        inputs = (arrays[0], weight, b)
        if residual:
            types = [None if a is None else TensorType(a.dtype, a.shape) for a in inputs]
            shape = conv2d.infer_types(types, conv2d.complete_attrs(attrs))[0].static_shape()
            return Case((*inputs, rng.standard_normal(shape).astype(np.float32)), attrs)
        return Case(inputs, attrs)

    for layout in ("NCHW", "NHWC"):

        def shape(n: int, c: int, h: int, w: int, layout: str = layout) -> tuple[int, ...]:
            return (n, c, h, w) if layout == "NCHW" else (n, h, w, c)

        yield case(shape(1, 3, 8, 9), (5, 3, 3, 3), padding=(1, 1, 1, 1), layout=layout)
        yield case(shape(2, 4, 7, 5), (6, 4, 1, 1), bias=False, layout=layout)
        yield case(shape(1, 3, 11, 10), (7, 3, 5, 3), stride=(2, 3), padding=(0, 1, 2, 3), layout=layout)
        yield case(shape(1, 6, 9, 9), (4, 3, 3, 2), groups=2, dilation=(2, 3), padding=(2, 2, 2, 2), layout=layout)
        yield case(shape(2, 17, 6, 7), (17, 1, 3, 3), groups=17, padding=(1, 1, 1, 1), layout=layout)
        yield case(shape(1, 5, 6, 6), (10, 1, 5, 5), groups=5, stride=(2, 2), padding=(2, 2, 2, 2), layout=layout)
        yield case(shape(1, 1, 1, 1), (1, 1, 1, 1), layout=layout)
        yield case(shape(0, 3, 4, 4), (2, 3, 3, 3), layout=layout)
        yield case(shape(1, 33, 5, 5), (65, 33, 1, 1), residual=True, activation="relu", layout=layout)
        yield case(
            shape(1, 3, 6, 5), (16, 3, 3, 3), stride=(2, 2), activation="clamp", alpha=0.0, beta=6.0, layout=layout
        )
        yield case(
            shape(1, 4, 5, 5), (4, 4, 3, 3), residual=True, padding=(1, 1, 1, 1), activation="silu", layout=layout
        )
    for activation in ("sigmoid", "tanh", "gelu", "gelu_tanh", "hardswish", "hardsigmoid", "mish", "softplus"):
        yield case((1, 4, 3, 5), (6, 4, 1, 1), activation=activation)
    yield case((1, 4, 3, 5), (6, 4, 1, 1), activation="leaky_relu", alpha=0.1)
    yield case((1, 4, 3, 5), (6, 4, 1, 1), activation="elu", alpha=0.5)


conv2d = define(
    "conv2d",
    family="conv",
    inputs=("x", "weight", "bias?", "residual?"),
    attrs={**_window_attrs(2), "layout": LAYOUT, **ACTIVATION_ATTRS},
    infer=_infer_conv2d,
    reference=_conv2d,
    cases=_conv2d_cases,
    doc="activation(conv2d(x, weight) + bias + residual); weight [O, I / groups, KH, KW], padding (t, l, b, r).",
)


def _infer_conv1d(*types: TensorType | None, **attrs: Any) -> TensorType:
    return infer_conv(1, *types, **attrs)  # type: ignore[arg-type]


def _infer_conv3d(*types: TensorType | None, **attrs: Any) -> TensorType:
    return infer_conv(3, *types, **attrs)  # type: ignore[arg-type]


def _lift(b: GraphBuilder, x: Value) -> Value:
    """``[A, B, L]`` as ``[A, B, 1, L]``."""
    return b.reshape(x, shape=(*x.shape[:2], 1, x.shape[2]))  # type: ignore[no-any-return]


def _lower_axis(b: GraphBuilder, x: Value) -> Value:
    return b.reshape(x, shape=(*x.shape[:2], x.shape[3]))  # type: ignore[no-any-return]


def _decompose_conv1d(b: GraphBuilder, x: Value, weight: Value, bias: Value | None = None, **attrs: Any) -> Value:
    attrs = lift_window_attrs(attrs)
    return _lower_axis(b, b.conv2d(_lift(b, x), _lift(b, weight), bias, **attrs))


def lift_window_attrs(attrs: dict[str, Any]) -> dict[str, Any]:
    """Attributes of a 1-D window as those of a 2-D window with height 1."""
    neutral = {"stride": 1, "dilation": 1, "kernel_size": 1, "output_padding": 0}
    out = dict(attrs)
    for key, value in neutral.items():
        if key in attrs:
            out[key] = (value, *attrs[key])
    begin, end = attrs["padding"]
    out["padding"] = (0, begin, 0, end)
    return out


def _cases(*entries: tuple[Sequence[int], Sequence[int], int | None, dict[str, Any]]) -> Iterator[Case]:
    """From (shape of x, shape of the weight, size of the bias, attributes)."""
    rng = np.random.default_rng(2)
    for x, w, bias, attrs in entries:
        weight = rng.standard_normal(w).astype(np.float32) / np.float32(np.sqrt(np.prod(w[1:])))
        b = None if bias is None else rng.standard_normal(bias).astype(np.float32)
        yield Case((rng.standard_normal(x).astype(np.float32), weight, b), attrs)


conv1d = define(
    "conv1d",
    family="conv",
    inputs=("x", "weight", "bias?"),
    attrs=_window_attrs(1),
    infer=_infer_conv1d,
    reference=convolve,
    decompose=_decompose_conv1d,
    cases=lambda: _cases(
        ((1, 3, 10), (4, 3, 3), 4, {"padding": (1, 1)}),
        ((2, 4, 11), (6, 2, 2), None, {"stride": (2,), "dilation": (3,), "groups": 2, "padding": (0, 3)}),
        ((1, 1, 1), (1, 1, 1), 1, {}),
        ((0, 2, 5), (3, 2, 2), 3, {}),
    ),
    doc="1-D convolution of x [N, C, L] with weight [O, I / groups, K].",
)

conv3d = define(
    "conv3d",
    family="conv",
    inputs=("x", "weight", "bias?"),
    attrs=_window_attrs(3),
    infer=_infer_conv3d,
    reference=convolve,
    cases=lambda: _cases(
        ((2, 2, 4, 5, 6), (3, 2, 3, 3, 3), 3, {"padding": (1, 1, 1, 1, 1, 1)}),
        ((1, 4, 5, 4, 7), (4, 2, 2, 1, 3), None, {"stride": (2, 1, 2), "groups": 2, "padding": (0, 1, 0, 1, 0, 2)}),
        ((1, 1, 1, 1, 1), (1, 1, 1, 1, 1), 1, {}),
    ),
    doc="3-D convolution of x [N, C, D, H, W] with weight [O, I / groups, KD, KH, KW].",
)
