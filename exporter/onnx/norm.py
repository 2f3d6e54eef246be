"""Normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter
from rushlight.exporter.onnx.model import OnnxNode
from rushlight.runtime.errors import UnsupportedError


def BatchNormalization(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    if n.attr("training_mode", 0) or len([name for name in n.outputs if name]) > 1:
        raise UnsupportedError("training mode")
    weight, bias, mean, var = (b.cast(n.input(i), x.dtype) for i in range(1, 5))
    return b.batch_norm(x, mean, var, weight, bias, eps=n.attr("epsilon", 1e-5))


def InstanceNormalization(b: Emitter, n: OnnxNode) -> Any:
    x, weight, bias = (b.constant(n.input(i)) for i in range(3))
    return b.group_norm(x, weight, bias, num_groups=weight.shape[0], eps=n.attr("epsilon", 1e-5))


def GroupNormalization(b: Emitter, n: OnnxNode) -> Any:
    x, weight, bias = (b.constant(n.input(i)) for i in range(3))
    groups = n.attr("num_groups")
    channels = x.shape[1]
    if n.opset < 21:
        if not isinstance(channels, int):
            raise UnsupportedError("over a dynamic number of channels")
        per_group = channels // groups
        weight, bias = (
            b.reshape(b.expand(b.reshape(p, (groups, 1)), shape=(groups, per_group)), (channels,))
            for p in (weight, bias)
        )
    return b.group_norm(x, weight, bias, num_groups=groups, eps=n.attr("epsilon", 1e-5))


def LayerNormalization(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    axis = n.attr("axis", -1) % x.type.rank
    count = x.type.rank - axis
    eps = n.attr("epsilon", 1e-5)
    parameters = [None if t is None else b.constant(t) for t in (n.optional(1), n.optional(2))]
    shape = x.shape[axis:]
    if len(n.outputs) == 1 and all(p is None or p.shape == shape for p in parameters):
        return b.layer_norm(x, *parameters, normalized_dims=count, eps=eps)
    dims = tuple(range(axis, x.type.rank))
    mean = b.mean(x, dim=dims, keepdim=True)
    centered = b.sub(x, mean)
    variance = b.mean(b.square(centered), dim=dims, keepdim=True)
    inverse = b.rsqrt(b.add(variance, b.scalar(eps, x)))
    out = b.mul(centered, inverse)
    for op, parameter in zip(("mul", "add"), parameters, strict=True):
        if parameter is not None:
            out = b.add_broadcast(op, [out, parameter])
    return (out, mean, inverse)[: max(1, len(n.outputs))]


def RMSNormalization(b: Emitter, n: OnnxNode) -> Any:
    x, weight = b.constant(n.input(0)), b.constant(n.input(1))
    axis = n.attr("axis", -1) % x.type.rank
    eps = n.attr("epsilon", 1e-5)
    if weight.shape == x.shape[axis:]:
        return b.rms_norm(x, weight, normalized_dims=x.type.rank - axis, eps=eps)
    return b.add_broadcast("mul", [b.rms_norm(x, normalized_dims=x.type.rank - axis, eps=eps), weight])


def LpNormalization(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    axis = (n.attr("axis", -1),)
    if n.attr("p", 2) == 1:
        norm = b.sum(b.abs(x), dim=axis, keepdim=True)
    else:
        norm = b.sqrt(b.sum(b.square(x), dim=axis, keepdim=True))
    return b.where(b.eq(norm, b.scalar(0, x)), b.scalar(0, x), b.div(x, norm))


def LRN(b: Emitter, n: OnnxNode) -> Any:
    """The mean over neighbouring channels is an average pool over the channel axis."""
    x = b.constant(n.input(0))
    if x.type.rank != 4:
        raise UnsupportedError(f"of {x.type.rank} axes")
    size = n.attr("size")
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    batch, channels, height, width = x.shape
    planes = b.reshape(b.square(x), (batch, 1, channels, height * width))
    mean = b.avg_pool2d(planes, kernel_size=(size, 1), stride=(1, 1), padding=(before, 0, after, 0))
    mean = b.reshape(mean, x.shape)
    scale = b.add(b.mul(mean, b.scalar(n.attr("alpha", 1e-4), x)), b.scalar(n.attr("bias", 1.0), x))
    return b.div(x, b.pow(scale, b.constant(np.asarray(n.attr("beta", 0.75), x.dtype))))
