"""Removes what does nothing, and joins movements that follow each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..ir import Graph, Node, Value, dense
from ..types import Dim, DimLike
from .axes import axis_groups
from .rewrite import Rewriter, Rule, Rules, scalar_of, with_constant

COMMUTATIVE = ("add", "mul", "maximum", "minimum", "eq", "ne", "logical_and", "logical_or", "logical_xor")

DEDUPLICATED = 1 << 10
"""Constants of at most this many bytes are compared by content when equal nodes are merged."""


def simplify(graph: Graph) -> bool:
    """Removes identities, joins neighbours. True if anything changed."""
    return Rewriter(graph).apply(_RULES)


def _input(node: Node) -> Value:
    value = node.inputs[0]
    assert value is not None
    return value


def _unchanged(_: Rewriter, node: Node) -> Value | None:
    """For operators that do nothing if they keep the type."""
    return _input(node) if node.output.type == _input(node).type else None


def _where(does_nothing: Callable[[Node], bool]) -> Rule:
    def rule(_: Rewriter, node: Node) -> Value | None:
        return _input(node) if does_nothing(node) and node.output.type == _input(node).type else None

    return rule


def _is_identity(node: Node) -> bool:
    rank = _input(node).type.rank
    return all(dim % rank == i for i, dim in enumerate(node.attrs["dims"]))


def _is_whole_slice(node: Node) -> bool:
    return all(step == 1 for step in node.attrs["steps"])


def _is_unit_pool(node: Node) -> bool:
    return all(set(node.attrs[key]) == {1} for key in ("kernel_size", "stride"))


def _neutral(number: float, *, either_side: bool) -> Rule:
    """For ``x op number`` that is x."""

    def rule(_: Rewriter, node: Node) -> Value | None:
        for x, constant in (node.inputs, node.inputs[::-1])[: 2 if either_side else 1]:
            if x is not None and scalar_of(constant) == number and x.type == node.output.type:
                return x
        return None

    return rule


def _constant_last(rewriter: Rewriter, node: Node) -> Value | None:
    a, b = node.inputs
    if a is None or b is None or not a.is_constant or b.is_constant:
        return None
    (out,) = rewriter.builder.add_node(node.op.name, [b, a], node.attrs)
    return out


def _join_reshapes(rewriter: Rewriter, node: Node) -> Value | None:
    inner = rewriter.producer(_input(node), "reshape")
    if inner is None:
        return None
    out: Value = rewriter.builder.reshape(inner.inputs[0], shape=node.attrs["shape"])
    return out


def _join_permutes(rewriter: Rewriter, node: Node) -> Value | None:
    inner = rewriter.producer(_input(node), "permute")
    if inner is None:
        return None
    dims = tuple(inner.attrs["dims"][dim] for dim in node.attrs["dims"])
    out: Value = rewriter.builder.permute(inner.inputs[0], dims=dims)
    return out


def _permute_to_reshape(rewriter: Rewriter, node: Node) -> Value | None:
    """A permutation that only moves axes of size 1 moves no element."""
    x = _input(node)
    order = [dim % x.type.rank for dim in node.attrs["dims"]]
    moved = [dim for dim in order if x.shape[dim] != 1]
    if moved != sorted(moved) or node.output.type == x.type:
        return None
    out: Value = rewriter.builder.reshape(x, shape=node.output.shape)
    return out


def _split_before_permute(rewriter: Rewriter, node: Node) -> Value | None:
    """reshape, permute, reshape, where the second reshape only splits axes: they are split by the first one at once."""
    permute = rewriter.producer(_input(node), "permute")
    inner = rewriter.producer(_input(permute), "reshape") if permute else None
    if permute is None or inner is None:
        return None
    groups = axis_groups(permute.output.shape, node.output.shape)
    if groups is None or any(len(before) != 1 for before, _ in groups):
        return None
    order = [dim % permute.output.type.rank for dim in permute.attrs["dims"]]
    parts = {order[before.start]: after for before, after in groups}
    shape: list[DimLike] = []
    at: dict[int, int] = {}  # where an axis of the result starts to be in the first reshape
    for axis in sorted(parts):
        at[axis] = len(shape)
        shape.extend(node.output.shape[i] for i in parts[axis])
    dims = [at[axis] + i for axis in order for i in range(len(parts[axis]))]
    b = rewriter.builder
    out: Value = b.permute(b.reshape(inner.inputs[0], shape=tuple(shape)), dims=tuple(dims))
    return out


def _linear_before_reshape(rewriter: Rewriter, node: Node) -> Value | None:
    """A layer over rows takes them from before their axes are merged."""
    x, weight, bias, residual = (*node.inputs, None, None)[:4]
    inner = rewriter.private(x, "reshape")
    if inner is None or x is None or residual is not None:
        return None
    groups = axis_groups(_input(inner).shape, x.shape)
    if groups is None or len(groups[-1][1]) != 1:
        return None
    lead = _input(inner).shape[: groups[-1][0].start]
    if len(lead) < x.type.rank:
        return None
    b = rewriter.builder
    rows = b.reshape(inner.inputs[0], shape=(*lead, x.shape[-1]))
    (out,) = b.add_node(node.op.name, [rows, weight, bias], node.attrs, node.name)
    result: Value = b.reshape(out, shape=node.output.shape)
    return result


def _permute_quantized(rewriter: Rewriter, node: Node) -> Value | None:
    """Permutes a quantized constant instead of what it stands for."""
    inner = rewriter.producer(_input(node), "dequantize")
    if inner is None or not _input(inner).is_constant:
        return None
    dims, axis = node.attrs["dims"], inner.attrs["axis"]
    if axis is not None:
        rank = len(dims)
        axis = [dim % rank for dim in dims].index(axis % rank)
    b = rewriter.builder
    out: Value = b.dequantize(b.permute(_input(inner), dims=dims), *inner.inputs[1:], axis=axis)
    return out


def _bounds(node: Node) -> tuple[float, float]:
    if node.op.name == "relu":
        return 0.0, math.inf
    low, high = node.attrs["min"], node.attrs["max"]
    return -math.inf if low is None else low, math.inf if high is None else high


def _clamp(rewriter: Rewriter, x: Value, low: float, high: float) -> Value:
    out: Value
    if low == 0 and high == math.inf:
        out = rewriter.builder.relu(x)
    else:
        out = rewriter.builder.clamp(x, min=None if low == -math.inf else low, max=None if high == math.inf else high)
    return out


def _limit_to_clamp(rewriter: Rewriter, node: Node) -> Value | None:
    """maximum and minimum with one finite number."""
    operands = with_constant(node)
    if operands is None:
        return None
    x, constant = operands
    number = scalar_of(constant)
    if number is None or not math.isfinite(number) or x.type != node.output.type or x.dtype.kind != "f":
        return None
    return _clamp(rewriter, x, *((number, math.inf) if node.op.name == "maximum" else (-math.inf, number)))


def _join_clamps(rewriter: Rewriter, node: Node) -> Value | None:
    """Clamps in a row, and a clamp that is a relu."""
    x = _input(node)
    if x.dtype.kind != "f":
        return None
    low, high = _bounds(node)
    inner = rewriter.private(x, "clamp", "relu")
    if inner is not None and low <= high:
        inner_low, inner_high = _bounds(inner)
        if inner_low <= inner_high and low <= inner_high and inner_low <= high:
            return _clamp(rewriter, _input(inner), max(low, inner_low), min(high, inner_high))
    if node.op.name == "clamp" and (low, high) == (0.0, math.inf):
        return _clamp(rewriter, x, low, high)
    return None


def _inline_cond(rewriter: Rewriter, node: Node) -> list[Value] | None:
    """The nodes of the branch that a constant predicate takes."""
    chosen = scalar_of(node.inputs[0])
    if chosen is None:
        return None
    branch: Graph = node.attrs["then" if chosen else "otherwise"].clone()
    if branch.symbols.keys() - rewriter.graph.symbols.keys():
        return None
    operands = [value for value in node.inputs[1:] if value is not None]
    branch.replace_many(dict(zip(branch.inputs, operands, strict=True)))
    for inner in branch.nodes:
        rewriter.builder.append(inner)
    return [value for _, value in branch.outputs]


_RULES: Rules = {
    **dict.fromkeys(COMMUTATIVE, (_constant_last,)),
    "reshape": (_unchanged, _join_reshapes, _split_before_permute),
    "linear": (_linear_before_reshape,),
    "permute": (_where(_is_identity), _permute_to_reshape, _join_permutes, _permute_quantized),
    "cast": (_unchanged,),
    "expand": (_unchanged,),
    "slice": (_where(_is_whole_slice),),
    "pad": (_unchanged,),
    "tile": (_unchanged,),
    "flip": (_where(lambda n: all(n.output.shape[dim] == 1 for dim in n.attrs["dims"])),),
    "concat": (_where(lambda n: len(n.inputs) == 1),),
    "max_pool2d": (_where(_is_unit_pool),),
    "avg_pool2d": (_where(_is_unit_pool),),
    "add": (_neutral(0, either_side=True), _constant_last),
    "sub": (_neutral(0, either_side=False),),
    "mul": (_neutral(1, either_side=True), _constant_last),
    "div": (_neutral(1, either_side=False),),
    "pow": (_neutral(1, either_side=False),),
    "maximum": (_limit_to_clamp, _constant_last),
    "minimum": (_limit_to_clamp, _constant_last),
    "clamp": (_where(lambda n: n.attrs["min"] is None and n.attrs["max"] is None), _join_clamps),
    "relu": (_join_clamps,),
    "cond": (_inline_cond,),
}


def merge_equal(graph: Graph) -> bool:
    """Computes equal nodes once. True if there were any."""
    known: dict[tuple[Any, ...], Node] = {}
    mapping: dict[Value, Value] = {}
    for node in graph.nodes:
        node.inputs = [None if value is None else mapping.get(value, value) for value in node.inputs]
        if any(isinstance(attr, Graph) for attr in node.attrs.values()):
            continue
        key = (node.op.name, tuple(map(_key, node.inputs)), tuple(map(_attr_key, node.attrs.values())))
        first = known.setdefault(key, node)
        if first is not node:
            mapping.update(zip(node.outputs, first.outputs, strict=True))
    if not mapping:
        return False
    graph.replace_many(mapping)
    graph.prune()
    return True


def _key(value: Value | None) -> Any:
    if value is not None and value.stored is not None and value.stored.nbytes <= DEDUPLICATED:
        return (value.dtype.name, value.shape, dense(value.stored).tobytes())
    return value


def _attr_key(attr: Any) -> Any:
    # 1 == 1.0 == True, 0.0 == -0.0 and nan != nan, but as attributes they say what they look like.
    if isinstance(attr, tuple):
        return tuple(map(_attr_key, attr))
    return attr if isinstance(attr, Dim) else (type(attr).__name__, repr(attr))
