"""Finds layer_norm, rms_norm and group_norm that a model spells out."""

from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, Value, dense
from ..ops.windows import channel_axis
from .rewrite import Rewriter, Rules, array_of, scalar_of, with_constant


def match_norms(graph: Graph) -> bool:
    """layer_norm, rms_norm and group_norm, with weight and bias, in place of what computes them. True if any."""
    return Rewriter(graph).apply(_RULES)


def _trailing(node: Node) -> int | None:
    """How many trailing axes the mean is over; None if it is over others or drops them."""
    value = node.inputs[0]
    assert value is not None
    rank = value.type.rank
    dims = sorted(dim % rank for dim in node.attrs["dim"]) or list(range(rank))
    return len(dims) if node.attrs["keepdim"] and dims == list(range(rank - len(dims), rank)) else None


def _root_argument(rewriter: Rewriter, node: Node) -> tuple[Value, Value] | None:
    """x and v of ``x / sqrt(v)`` in one of its forms."""
    a, b = node.inputs
    assert a is not None
    assert b is not None
    if node.op.name == "div":
        root = _sqrt(rewriter, b)
        return None if root is None else (a, root)
    for x, factor in ((a, b), (b, a)):
        inverse = rewriter.private(factor, "rsqrt", "reciprocal", "div", "pow")
        if inverse is None:
            continue
        argument, *rest = inverse.inputs
        v: Value | None = None
        if inverse.op.name == "rsqrt":
            v = argument
        elif inverse.op.name == "reciprocal":
            v = _sqrt(rewriter, argument)
        elif inverse.op.name == "div" and scalar_of(argument) == 1.0:
            v = _sqrt(rewriter, rest[0])
        elif inverse.op.name == "pow" and scalar_of(rest[0]) == -0.5:
            v = argument
        if v is not None:
            return x, v
    return None


def _sqrt(rewriter: Rewriter, value: Value | None) -> Value | None:
    node = rewriter.private(value, "sqrt", "pow")
    if node is None or (node.op.name == "pow" and scalar_of(node.inputs[1]) != 0.5):
        return None
    return node.inputs[0]


def _squared(rewriter: Rewriter, value: Value | None) -> tuple[Value, int] | None:
    """x of x², and how often the square reads it."""
    node = rewriter.private(value, "pow", "mul", "square")
    if node is None:
        return None
    x = node.inputs[0]
    assert x is not None
    if node.op.name == "mul":
        return (x, 2) if node.inputs[1] is x else None
    if node.op.name == "pow" and scalar_of(node.inputs[1]) != 2.0:
        return None
    return x, 1


def _match_core(rewriter: Rewriter, node: Node) -> Value | None:
    """x / sqrt(mean(x²) + eps): rms_norm, or layer_norm where x is y - mean(y)."""
    parts = _root_argument(rewriter, node)
    if parts is None:
        return None
    x, under_root = parts
    add = rewriter.private(under_root, "add")
    operands = with_constant(add) if add else None
    eps = scalar_of(operands[1]) if operands else None
    mean = rewriter.private(operands[0], "mean") if operands else None
    if eps is None or mean is None:
        return None
    count = _trailing(mean)
    squared = _squared(rewriter, mean.inputs[0])
    if count is None or squared is None or squared[0] is not x or x.type != node.output.type:
        return None
    out: Value
    centred = rewriter.producer(x, "sub")
    if centred is not None and rewriter.reads(x) == squared[1] + 1 and _is_centred(rewriter, centred, count):
        out = rewriter.builder.layer_norm(centred.inputs[0], normalized_dims=count, eps=eps)
    else:
        out = rewriter.builder.rms_norm(x, normalized_dims=count, eps=eps)
    return out


def _is_centred(rewriter: Rewriter, sub: Node, count: int) -> bool:
    y, subtracted = sub.inputs
    mean = rewriter.producer(subtracted, "mean")
    return mean is not None and mean.inputs[0] is y and _trailing(mean) == count


def _match_group_norm(rewriter: Rewriter, node: Node) -> Value | None:
    """Every group as one channel, normalized by itself, as ONNX before opset 18 had to write it."""
    norm = rewriter.private(node.inputs[0], "group_norm")
    inner = rewriter.producer(norm.inputs[0], "reshape") if norm else None
    if norm is None or inner is None or inner.inputs[0] is None:
        return None
    x, groups, weight, bias = inner.inputs[0], norm.attrs["num_groups"], *map(array_of, norm.inputs[1:3])
    if norm.attrs["layout"] != "NCHW" or inner.output.shape[:2] != (*x.shape[:1], groups):
        return None
    if x.type != node.output.type or any(v is not None and not v.is_constant for v in norm.inputs[1:3]):
        return None
    if (weight is not None and np.any(weight != 1)) or (bias is not None and np.any(bias != 0)):
        return None
    out: Value = rewriter.builder.group_norm(x, num_groups=groups, eps=norm.attrs["eps"])
    return out


def _channel_parameter(rewriter: Rewriter, value: Value, norm: Node) -> Value | None:
    """`value` as a vector, if it is a constant that has the shape of the channels but for axes of size 1."""
    rank = norm.output.type.rank
    axis = channel_axis(rank, norm.attrs["layout"])
    if value.stored is None or value.type.rank > rank:
        return None
    shape = (1,) * (rank - value.type.rank) + value.shape
    if shape != tuple(dim if i == axis else 1 for i, dim in enumerate(norm.output.shape)):
        return None
    return rewriter.builder.constant(dense(value.stored).reshape(-1), value.name or "weight")


def _parameter(rewriter: Rewriter, value: Value, norm: Node) -> Value | None:
    """`value` in the shape of the normalized axes, if it has that shape but for leading axes of size 1."""
    if norm.op.name == "group_norm":
        return _channel_parameter(rewriter, value, norm)
    count = norm.attrs["normalized_dims"]
    shape = norm.output.shape[-count:]
    if value.dtype != norm.output.dtype or value.type.rank < count or value.type.rank > norm.output.type.rank:
        return None
    if value.shape[-count:] != shape or any(dim != 1 for dim in value.shape[:-count]):
        return None
    if value.data is not None:
        return rewriter.builder.constant(
            np.reshape(value.data, value.type.static_shape()[-count:]), value.name or "weight"
        )
    out: Value = value if value.type.rank == count else rewriter.builder.reshape(value, shape=shape)
    return out


def _match_parameter(rewriter: Rewriter, node: Node) -> Value | None:
    """A product with a weight or a sum with a bias after a norm that has none."""
    for operand, other in (node.inputs, node.inputs[::-1]):
        norm = rewriter.private(operand, "layer_norm", "rms_norm", "group_norm")
        if norm is None or other is None:
            continue
        x, weight, bias = (*norm.inputs, None)[:3]
        is_weight = node.op.name == "mul"
        if bias is not None or (is_weight and weight is not None) or (not is_weight and norm.op.name == "rms_norm"):
            continue
        parameter = _parameter(rewriter, other, norm)
        if parameter is None:
            continue
        inputs = [x, parameter] if is_weight else [x, weight, parameter]
        (out,) = rewriter.builder.add_node(norm.op.name, inputs, norm.attrs)
        return out
    return None


_RULES: Rules = {
    "div": (_match_core,),
    "mul": (_match_core, _match_parameter),
    "add": (_match_parameter,),
    "reshape": (_match_group_norm,),
}
