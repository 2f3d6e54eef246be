"""Moves what happens to single channels around a convolution or linear layer into its weights, bias and padding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from ..ir import Computed, Graph, Half, Lazy, Node, Value, dense
from ..ops import Array
from ..ops.windows import channel_axis, spatial_axes
from .axes import axis_groups
from .rewrite import Rewriter, Rules, with_constant

CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d")
LAYERS = (*CONVOLUTIONS, "linear")


def fold_channels(graph: Graph) -> bool:
    """Folds batch_norm, per-channel products and sums, and zero padding into layers with constant weights.

    A batch_norm without a layer before it becomes a product and a sum. Products with weights of 16 bits stay, as the
    result would need 32: see `fold_half_channels`. True if anything changed.
    """
    return Rewriter(graph).apply(_RULES)


def fold_half_channels(graph: Graph) -> bool:
    """`fold_channels` also into weights of 16 bits, which are multiplied when they are packed. Not for graphs that are
    saved. True if anything changed."""
    return _HalfRewriter(graph).apply(_RULES)


class _HalfRewriter(Rewriter):
    """One that may multiply weights of 16 bits."""


def _layer(rewriter: Rewriter, value: Value | None) -> Node | None:
    """The layer that makes `value`, if its weights may be changed and it does nothing after its bias."""
    node = rewriter.private(value, *LAYERS)
    if node is None or node.attrs.get("activation", "none") != "none" or (len(node.inputs) > 3 and node.inputs[3]):
        return None
    weight, bias = node.inputs[1:3]
    is_constant = weight is not None and weight.is_constant and (bias is None or bias.is_constant)
    return node if is_constant and node.output.dtype.kind == "f" else None


def _axis(layer: Node) -> int:
    """The axis of the result that has the output channels."""
    rank = layer.output.type.rank
    return rank - 1 if layer.op.name == "linear" else channel_axis(rank, layer.attrs.get("layout", "NCHW"))


def _per_channel(constant: Value, value: Value, axis: int) -> Array | None:
    """float64 ``[channels]`` of a constant that varies along one axis of `value` only."""
    rank = value.type.rank
    if not constant.is_constant or constant.type.rank > rank:
        return None
    shape = (1,) * (rank - constant.type.rank) + constant.shape
    channels = value.shape[axis]
    if any(dim != 1 for i, dim in enumerate(shape) if i != axis) or shape[axis] not in (1, channels):
        return None
    data = constant.data
    assert data is not None
    return np.broadcast_to(data.reshape(-1).astype(np.float64), (channels,))


def _scaled_weight(layer: Node, weight: Array | Lazy, scale: Array) -> Array:
    data = dense(weight).astype(np.float64)
    if not layer.op.name.startswith("conv_transpose"):
        return data * scale.reshape(-1, *(1,) * (data.ndim - 1))
    groups = layer.attrs["groups"]
    inputs, per_group, *kernel = data.shape
    grouped = data.reshape(groups, inputs // groups, per_group, *kernel)
    return (grouped * scale.reshape(groups, 1, per_group, *(1,) * len(kernel))).reshape(data.shape)


def _rebuild(rewriter: Rewriter, layer: Node, scale: Array | None, shift: Array | None) -> Value | None:
    """The layer followed by ``* scale + shift``, as a layer; None where weights of 16 bits would have to change."""
    x, weight, bias = layer.inputs[:3]
    assert weight is not None
    stored = weight.stored
    assert stored is not None
    dtype = weight.dtype
    b = rewriter.builder
    if scale is not None and isinstance(stored, Half) and not isinstance(rewriter, _HalfRewriter):
        return None
    total = np.zeros(layer.output.shape[_axis(layer)]) if bias is None or bias.data is None else bias.data.astype("f8")
    if scale is not None:
        scaled = partial(_scaled_weight, layer, stored, scale)
        made = Computed(stored, scaled) if isinstance(stored, Lazy) else scaled().astype(dtype)
        weight = b.constant(made, weight.name or "weight")
        total = total * scale
    if shift is not None:
        total = total + shift
    if bias is not None or shift is not None:
        bias = b.constant(total.astype(dtype), (bias.name if bias else "") or "bias")
    (out,) = b.add_node(layer.op.name, [x, weight, bias], layer.attrs, layer.name)
    return out


def _fold_batch_norm(rewriter: Rewriter, node: Node) -> Value | None:
    x, *parameters = node.inputs
    assert x is not None
    if any(value is not None and not value.is_constant for value in parameters):
        return None
    mean, var, weight, bias = (None if v is None or v.data is None else v.data.astype("f8") for v in parameters)
    assert mean is not None
    assert var is not None
    scale = 1 / np.sqrt(var + node.attrs["eps"])
    if weight is not None:
        scale = scale * weight
    shift = (0.0 if bias is None else bias) - mean * scale
    layer = _layer(rewriter, x)
    axis = channel_axis(x.type.rank, node.attrs["layout"])
    folded = _rebuild(rewriter, layer, scale, shift) if layer is not None and _axis(layer) == axis else None
    if folded is not None:
        return folded
    shape = [-1 if i == axis else 1 for i in range(x.type.rank)]
    b = rewriter.builder
    scaled = b.mul(x, scale.reshape(shape).astype(x.dtype))
    out: Value = b.add(scaled, shift.reshape(shape).astype(x.dtype))
    return out


def _fold_arithmetic(rewriter: Rewriter, node: Node) -> Value | None:
    """Into a layer, which a movement of its channels as a whole may follow."""
    operands = with_constant(node)
    if operands is None:
        return None
    value, constant = operands
    if node.output.type != value.type:
        return None
    layer = _layer(rewriter, value)
    if layer is not None:
        return _fold_into(rewriter, layer, node, value, _per_channel(constant, value, _axis(layer)))
    move = rewriter.private(value, "permute", "reshape")
    layer = _layer(rewriter, move.inputs[0]) if move is not None else None
    axis = None if move is None or layer is None else _moved_axis(move, _axis(layer))
    if move is None or layer is None or axis is None:
        return None
    out = _fold_into(rewriter, layer, node, value, _per_channel(constant, value, axis))
    if out is None:
        return None
    (moved,) = rewriter.builder.add_node(move.op.name, [out], move.attrs, move.name)
    return moved


def _moved_axis(move: Node, axis: int) -> int | None:
    """Where an axis is after a permutation, or after a reshape if that leaves it as it is."""
    x, rank = move.inputs[0], move.output.type.rank
    assert x is not None
    if move.op.name == "permute":
        return [dim % rank for dim in move.attrs["dims"]].index(axis)
    groups = axis_groups(x.shape, move.output.shape) or []
    own = [after for before, after in groups if list(before) == [axis] and len(after) == 1]
    return own[0].start if own else None


def _fold_into(rewriter: Rewriter, layer: Node, node: Node, value: Value, number: Array | None) -> Value | None:
    """`layer` with the sum or product of its result, `value` in `node`, and `number`."""
    if number is None:
        return None
    op, is_first = node.op.name, node.inputs[0] is value
    if op == "add":
        return _rebuild(rewriter, layer, None, number)
    if op == "mul":
        return _rebuild(rewriter, layer, number, None)
    if op == "sub":
        return _rebuild(rewriter, layer, *((None, -number) if is_first else (np.full(number.shape, -1.0), number)))
    return _rebuild(rewriter, layer, 1 / number, None) if is_first and np.all(number != 0) else None


def _spatial_padding(rewriter: Rewriter, node: Node, value: float) -> tuple[Value | None, tuple[int, ...]] | None:
    """The tensor before a constant padding of only the spatial axes, and both paddings together."""
    pad = rewriter.producer(node.inputs[0], "pad")
    if pad is None or pad.attrs["mode"] != "constant" or pad.attrs["value"] != value:
        return None
    pads: Sequence[object] = pad.attrs["pads"]
    rank = len(pads) // 2
    axes = spatial_axes(rank, node.attrs.get("layout", "NCHW"))
    added: list[int] = []
    for i, amount in enumerate(pads):
        if not isinstance(amount, int) or (i % rank not in axes and amount):
            return None
        if i % rank in axes:
            added.append(amount)
    return pad.inputs[0], tuple(a + b for a, b in zip(added, node.attrs["padding"], strict=True))


def _fold_padding(rewriter: Rewriter, node: Node) -> Value | None:
    found = _spatial_padding(rewriter, node, 0.0)
    if found is None:
        return None
    attrs = {**node.attrs, "padding": found[1]}
    (out,) = rewriter.builder.add_node(node.op.name, [found[0], *node.inputs[1:]], attrs, node.name)
    return out


def _fits_window(node: Node, padding: Sequence[int]) -> bool:
    extents = [
        d * (k - 1) + 1 for k, d in zip(node.attrs["kernel_size"], node.attrs.get("dilation", (1, 1)), strict=True)
    ]
    return all(p < extent for p, extent in zip(padding, (*extents, *extents), strict=True))


def _fold_pool_padding(rewriter: Rewriter, node: Node) -> Value | None:
    is_mean = node.op.name == "avg_pool2d"
    counts = node.attrs.get("count_include_pad", True) or not any(node.attrs["padding"])
    if node.attrs["ceil_mode"] or not counts:
        return None
    found = _spatial_padding(rewriter, node, 0.0 if is_mean else -np.inf)
    if found is None or not _fits_window(node, found[1]):
        return None
    attrs = {**node.attrs, "padding": found[1], **({"count_include_pad": True} if is_mean else {})}
    (out,) = rewriter.builder.add_node(node.op.name, [found[0]], attrs, node.name)
    return out


_RULES: Rules = {
    "batch_norm": (_fold_batch_norm,),
    **dict.fromkeys(("add", "sub", "mul", "div"), (_fold_arithmetic,)),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), (_fold_padding,)),
    **dict.fromkeys(("max_pool2d", "avg_pool2d"), (_fold_pool_padding,)),
}
