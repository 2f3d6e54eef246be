"""Convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter, Term
from rushlight.exporter.onnx.model import OnnxNode
from rushlight.exporter.onnx.windows import padding
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value


def Conv(b: Emitter, n: OnnxNode) -> Any:
    bias = n.optional(2)
    return convolve(b, n, b.constant(n.input(0)), b.constant(n.input(1)), bias)


def convolve(b: Emitter, n: OnnxNode, x: Value, weight: Value, bias: Term | None) -> Any:
    """The convolution that the attributes of `n` describe."""
    kernel = list(weight.type.static_shape()[2:])
    rank = len(kernel)
    if not 1 <= rank <= 3:
        raise UnsupportedError(f"{rank} spatial axes")
    stride = n.attr("strides", [1] * rank)
    dilation = n.attr("dilations", [1] * rank)
    groups = n.attr("group", 1)
    b.unify(x.shape[1], weight.type.static_shape()[1] * groups)
    pads = padding(n, x.shape[2:], kernel, stride, dilation)
    op = {1: "conv1d", 2: "conv2d", 3: "conv3d"}[rank]
    attrs = {"stride": stride, "padding": pads, "dilation": dilation, "groups": groups}
    if min(pads) < 0:
        raise UnsupportedError("negative padding")
    return b.add_node(op, [x, weight, bias], attrs)[0]


def ConvTranspose(b: Emitter, n: OnnxNode) -> Any:
    x, weight = b.constant(n.input(0)), b.constant(n.input(1))
    kernel = list(weight.type.static_shape()[2:])
    rank = len(kernel)
    if rank not in (1, 2):
        raise UnsupportedError(f"{rank} spatial axes")
    stride = n.attr("strides", [1] * rank)
    dilation = n.attr("dilations", [1] * rank)
    extra = n.attr("output_padding", [0] * rank)
    mode = n.attr("auto_pad", "NOTSET")
    wanted = n.attr("output_shape")
    window = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if wanted is not None or mode in ("SAME_UPPER", "SAME_LOWER"):
        begins, ends = [], []
        for axis in range(rank):
            size = x.shape[2 + axis]
            target = wanted[axis] if wanted is not None else size * stride[axis]
            total = stride[axis] * (size - 1) + extra[axis] + window[axis] - target
            if not isinstance(total, int) or total < 0:
                raise UnsupportedError("output_shape that the padding cannot reach")
            small, large = total // 2, total - total // 2
            begins.append(small if mode == "SAME_UPPER" else large)
            ends.append(large if mode == "SAME_UPPER" else small)
        pads = begins + ends
    elif mode == "VALID":
        pads = [0] * 2 * rank
    else:
        pads = list(n.attr("pads", [0] * 2 * rank))
    attrs = {
        "stride": stride,
        "padding": pads,
        "output_padding": extra,
        "dilation": dilation,
        "groups": n.attr("group", 1),
    }
    return b.add_node(f"conv_transpose{rank}d", [x, weight, n.optional(2)], attrs)[0]


def ConvInteger(b: Emitter, n: OnnxNode) -> Any:
    """Computed in float64, where sums of products of 8-bit numbers are exact."""
    operands = []
    for index in (0, 1):
        value = b.cast(n.input(index), np.float64)
        zero = n.optional(index + 2)
        if zero is not None:
            point = b.cast(zero, np.float64)
            if index == 1 and point.type.rank == 1:
                point = b.reshape(point, (point.shape[0], *[1] * (value.type.rank - 1)))
            value = b.sub(value, b.reshape(point, ()) if index == 0 else point)
        operands.append(value)
    return b.cast(convolve(b, n, operands[0], operands[1], None), np.int32)
