"""Normalizations. Variances are biased: the mean of squared differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..types import DimLike, TensorType
from .opdef import Array, Attr, Case, define
from .samples import sample
from .shapes import FLOAT, check_kind, check_vector
from .windows import channel_axis

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value

_EPS = Attr("float", 1e-5, "added to the variance")
_LAYOUT = Attr("str", "NCHW", "channels at axis 1, or last, for any rank", choices=("NCHW", "NHWC"))
_TRAILING = {"normalized_dims": Attr("int", 1, "number of trailing dimensions"), "eps": _EPS}


def _scaled(x: Array, weight: Array | None, bias: Array | None) -> Array:
    out = x if weight is None else x * weight
    return out if bias is None else out + bias


def _infer_trailing(
    x: TensorType, weight: TensorType | None = None, bias: TensorType | None = None, *, normalized_dims: int, eps: float
) -> TensorType:
    check_kind("x", x, FLOAT)
    if not 1 <= normalized_dims <= x.rank:
        raise ShapeError(f"cannot normalize {normalized_dims} dimensions of {x}")
    for name, given in (("weight", weight), ("bias", bias)):
        expected = x.with_shape(x.shape[-normalized_dims:])
        if given is not None and given != expected:
            raise ShapeError(f"{name} is {given}, must be {expected}")
    return x


def _layer_norm(
    x: Array, weight: Array | None = None, bias: Array | None = None, *, normalized_dims: int, eps: float
) -> Array:
    axes = tuple(range(-normalized_dims, 0))
    centred = x - np.mean(x, axis=axes, keepdims=True)
    variance = np.mean(np.square(centred), axis=axes, keepdims=True)
    return _scaled(centred / np.sqrt(variance + x.dtype.type(eps)), weight, bias)


def _rms_norm(x: Array, weight: Array | None = None, *, normalized_dims: int, eps: float) -> Array:
    power = np.mean(np.square(x), axis=tuple(range(-normalized_dims, 0)), keepdims=True)
    return _scaled(x / np.sqrt(power + x.dtype.type(eps)), weight, None)


def _trailing_cases(has_bias: bool) -> Iterator[Case]:
    for shape, dims, scaled in (
        ((7,), 1, True),
        ((3, 1), 1, True),
        ((5, 65), 1, False),
        ((2, 3, 33), 1, True),
        ((2, 3, 5, 7), 2, True),
        ((0, 8), 1, True),
    ):
        parameters = [sample(shape[-dims:], seed=i) for i in (1, 2)] if scaled else [None, None]
        yield Case((sample(shape), *parameters[: 2 if has_bias else 1]), {"normalized_dims": dims})
    yield Case((sample((4, 9), np.float64), None), {"eps": 1e-3})


def _decompose_layer_norm(
    b: GraphBuilder,
    x: Value,
    weight: Value | None = None,
    bias: Value | None = None,
    *,
    normalized_dims: int,
    eps: float,
) -> Value:
    dim = tuple(range(-normalized_dims, 0))
    centred = b.sub(x, b.mean(x, dim=dim, keepdim=True))
    return _normalize(b, centred, dim, weight, bias, eps)


def _decompose_rms_norm(
    b: GraphBuilder, x: Value, weight: Value | None = None, *, normalized_dims: int, eps: float
) -> Value:
    return _normalize(b, x, tuple(range(-normalized_dims, 0)), weight, None, eps)


def _normalize(
    b: GraphBuilder, x: Value, dim: Sequence[int], weight: Value | None, bias: Value | None, eps: float
) -> Value:
    """`x` over the root of its mean square along `dim`, scaled and shifted."""
    power = b.mean(b.square(x), dim=dim, keepdim=True)
    out = b.mul(x, b.rsqrt(b.add(power, b.constant(np.array(eps, x.dtype)))))
    out = out if weight is None else b.mul(out, weight)
    return out if bias is None else b.add(out, bias)  # type: ignore[no-any-return]


layer_norm = define(
    "layer_norm",
    family="norm",
    inputs=("x", "weight?", "bias?"),
    attrs=_TRAILING,
    infer=_infer_trailing,
    reference=_layer_norm,
    decompose=_decompose_layer_norm,
    cases=lambda: _trailing_cases(True),
    doc="(x - mean) / sqrt(variance + eps) over the last dimensions, times weight, plus bias (of these dimensions).",
)

rms_norm = define(
    "rms_norm",
    family="norm",
    inputs=("x", "weight?"),
    attrs=_TRAILING,
    infer=_infer_trailing,
    reference=_rms_norm,
    decompose=_decompose_rms_norm,
    cases=lambda: _trailing_cases(False),
    doc="x / sqrt(mean(x x) + eps) over the last dimensions, times weight (of these dimensions).",
)


def _channels(x: TensorType, layout: str) -> DimLike:
    check_kind("x", x, FLOAT)
    if x.rank < 2:
        raise ShapeError(f"x {x} has no channel dimension")
    return x.shape[channel_axis(x.rank, layout)]


def _per_channel(parameter: Any, rank: int, layout: str) -> tuple[DimLike, ...]:
    """Shape that makes ``[C]`` broadcast along the channels."""
    return tuple(parameter.shape[0] if i == channel_axis(rank, layout) else 1 for i in range(rank))


def _infer_batch_norm(x: TensorType, *parameters: TensorType | None, eps: float, layout: str) -> TensorType:
    channels = _channels(x, layout)
    for name, given in zip(("mean", "var", "weight", "bias"), parameters, strict=False):
        if given is not None:
            check_vector(name, given, x.dtype, channels)
    return x


def _batch_norm(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
    layout: str,
) -> Array:
    shape = _per_channel(mean, x.ndim, layout)
    out = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + x.dtype.type(eps))
    return _scaled(out, *(None if p is None else p.reshape(shape) for p in (weight, bias)))


def _decompose_batch_norm(
    b: GraphBuilder,
    x: Value,
    mean: Value,
    var: Value,
    weight: Value | None = None,
    bias: Value | None = None,
    *,
    eps: float,
    layout: str,
) -> Value:
    scale = b.rsqrt(b.add(var, b.constant(np.array(eps, x.dtype))))
    scale = scale if weight is None else b.mul(scale, weight)
    shift = b.neg(b.mul(mean, scale))
    shift = shift if bias is None else b.add(shift, bias)
    shape = _per_channel(mean, x.type.rank, layout)
    return b.add(b.mul(x, b.reshape(scale, shape=shape)), b.reshape(shift, shape=shape))  # type: ignore[no-any-return]


def _batch_norm_cases() -> Iterator[Case]:
    for shape, layout in (
        ((2, 3), "NCHW"),
        ((2, 3, 7), "NCHW"),
        ((1, 33, 3, 5), "NCHW"),
        ((1, 3, 5, 33), "NHWC"),
        ((0, 4, 2, 2), "NCHW"),
    ):
        channels = shape[channel_axis(len(shape), layout)]
        mean, var = sample((channels,), seed=1), sample((channels,), low=0.5, seed=2)
        weight, bias = sample((channels,), seed=3), sample((channels,), seed=4)
        yield Case((sample(shape), mean, var, weight, bias), {"layout": layout})
        yield Case((sample(shape), mean, var), {"layout": layout, "eps": 1e-3})


batch_norm = define(
    "batch_norm",
    family="norm",
    inputs=("x", "mean", "var", "weight?", "bias?"),
    attrs={"eps": _EPS, "layout": _LAYOUT},
    infer=_infer_batch_norm,
    reference=_batch_norm,
    decompose=_decompose_batch_norm,
    cases=_batch_norm_cases,
    doc="(x - mean) / sqrt(var + eps) weight + bias, all [C], as in evaluation: statistics are inputs.",
)


def _infer_group_norm(
    x: TensorType,
    weight: TensorType | None = None,
    bias: TensorType | None = None,
    *,
    num_groups: int,
    eps: float,
    layout: str,
) -> TensorType:
    channels = _channels(x, layout)
    if not isinstance(channels, int) or num_groups < 1 or channels % num_groups:
        raise ShapeError(f"{channels} channels do not split into {num_groups} groups")
    for name, given in (("weight", weight), ("bias", bias)):
        if given is not None:
            check_vector(name, given, x.dtype, channels)
    return x


def _split_groups(
    shape: Sequence[DimLike], num_groups: int, layout: str
) -> tuple[tuple[DimLike, ...], tuple[int, ...]]:
    """`shape` with the channels as (groups, channels a group), and the axes that a group spans."""
    axis = channel_axis(len(shape), layout)
    channels = shape[axis]
    grouped = (*shape[:axis], num_groups, channels // num_groups, *shape[axis + 1 :])
    return grouped, tuple(i for i in range(1, len(grouped)) if i != axis)


def _group_norm(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    num_groups: int,
    eps: float,
    layout: str,
) -> Array:
    grouped, axes = _split_groups(x.shape, num_groups, layout)
    y = x.reshape(grouped)
    centred = y - np.mean(y, axis=axes, keepdims=True)
    variance = np.mean(np.square(centred), axis=axes, keepdims=True)
    out = (centred / np.sqrt(variance + x.dtype.type(eps))).reshape(x.shape)
    return _scaled(out, *(None if p is None else p.reshape(_per_channel(p, x.ndim, layout)) for p in (weight, bias)))


def _decompose_group_norm(
    b: GraphBuilder,
    x: Value,
    weight: Value | None = None,
    bias: Value | None = None,
    *,
    num_groups: int,
    eps: float,
    layout: str,
) -> Value:
    grouped, axes = _split_groups(x.shape, num_groups, layout)
    y = b.reshape(x, shape=grouped)
    centred = b.sub(y, b.mean(y, dim=axes, keepdim=True))
    out = b.reshape(_normalize(b, centred, axes, None, None, eps), shape=x.shape)
    if weight is not None:
        out = b.mul(out, b.reshape(weight, shape=_per_channel(weight, x.type.rank, layout)))
    if bias is not None:
        out = b.add(out, b.reshape(bias, shape=_per_channel(bias, x.type.rank, layout)))
    return out  # type: ignore[no-any-return]


def _group_norm_cases() -> Iterator[Case]:
    for shape, groups, layout in (
        ((2, 6), 3, "NCHW"),
        ((1, 4, 3, 5), 1, "NCHW"),
        ((2, 6, 5), 6, "NCHW"),
        ((2, 8, 3, 7), 2, "NCHW"),
        ((2, 3, 7, 8), 2, "NHWC"),
        ((0, 4, 2, 2), 2, "NHWC"),
    ):
        channels = shape[channel_axis(len(shape), layout)]
        attrs = {"num_groups": groups, "layout": layout}
        yield Case((sample(shape), sample((channels,), seed=1), sample((channels,), seed=2)), attrs)
        yield Case((sample(shape),), attrs)


group_norm = define(
    "group_norm",
    family="norm",
    inputs=("x", "weight?", "bias?"),
    attrs={"num_groups": Attr("int"), "eps": _EPS, "layout": _LAYOUT},
    infer=_infer_group_norm,
    reference=_group_norm,
    decompose=_decompose_group_norm,
    cases=_group_norm_cases,
    doc="(x - mean) / sqrt(variance + eps) over each group of channels of a sample, times weight [C], plus bias [C].",
    aten="group_norm.default",
)
