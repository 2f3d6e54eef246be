"""Channels last: image operators run in NHWC, and permutations disappear where they can.

One walk in execution order. Every value is held in some physical order of its axes together with the permutation that
would give the logical one; a permutation becomes a node only where an operator needs the logical order and no
layout-free form of it is known. So the permutations that importers wrote, and
those around image operators, cancel by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..ir import Graph, Node, State, Value, make_node, rearranged
from ..types import DimLike
from .axes import axis_groups

Perm: TypeAlias = tuple[int, ...]
"""`logical = permute(physical, perm)`: logical axis i is physical axis perm[i]."""

NCHW_OF_NHWC: Perm = (0, 3, 1, 2)
HEADS_OF_ROWS: Perm = (0, 2, 1, 3)
SECOND_FIRST: Perm = (1, 0, 2)

ELEMENTWISE = ("unary", "cast", "binary")


@dataclass(frozen=True)
class Held:
    """A value in physical order."""

    value: Value
    perm: Perm

    @property
    def is_logical(self) -> bool:
        return self.perm == tuple(range(len(self.perm)))


def channels_last(graph: Graph) -> None:
    """Rewrites `graph` in place; inputs and outputs keep their layout."""
    _Walk(graph).run()


def _inverse(perm: Perm) -> Perm:
    return tuple(int(i) for i in np.argsort(perm))


class _Walk:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.held: dict[Value, Held] = {}
        self.made: dict[tuple[Value, Perm], Value] = {}
        self.kept = graph.kept()

    def run(self) -> None:
        graph = self.graph
        for node in graph.nodes:
            self.visit(node)
        graph.outputs = [(name, self.logical(value)) for name, value in graph.outputs]
        graph.states = [State(s.name, s.before, self.logical(s.after), s.initial) for s in graph.states]
        graph.nodes = self.nodes
        graph.prune()

    def holding(self, value: Value) -> Held:
        return self.held.get(value) or Held(value, tuple(range(value.type.rank)))

    def emit(self, op: str, inputs: Sequence[Value | None], attrs: Mapping[str, Any], like: Node | None = None) -> Node:
        node = make_node(op, inputs, attrs, like.name if like else "")
        self.nodes.append(node)
        return node

    def record(self, old: Value, new: Value, perm: Perm) -> None:
        new.name = old.name
        self.held[old] = Held(new, perm)

    def logical(self, value: Value) -> Value:
        return self.in_order(value, tuple(range(value.type.rank)))

    def in_order(self, value: Value, perm: Perm) -> Value:
        """`value` held so that `permute(result, perm)` is the logical value."""
        held = self.holding(value)
        return self.reorder(held.value, tuple(held.perm[i] for i in _inverse(perm)))

    def reorder(self, value: Value, dims: Perm) -> Value:
        """permute(value, dims), as cheaply as the shapes allow."""
        if dims == tuple(range(len(dims))):
            return value
        key = (value, dims)
        if key not in self.made:
            shape = [value.shape[d] for d in dims]
            moved = [d for d in dims if value.shape[d] != 1]
            if value.is_constant:
                self.made[key] = rearranged(value, lambda array: np.transpose(array, dims))
            elif moved == sorted(moved):
                self.made[key] = self.emit("reshape", [value], {"shape": tuple(shape)}).output
            else:
                self.made[key] = self.emit("permute", [value], {"dims": dims}).output
        return self.made[key]

    def visit(self, node: Node) -> None:
        rule = self.rule_for(node)
        if rule is None or not rule(node):
            inputs = [None if v is None else self.logical(v) for v in node.inputs]
            new = Node(node.op, inputs, node.attrs, [Value(v.type, v.name) for v in node.outputs], node.name)
            new.origin = node.origin
            self.nodes.append(new)
            for old, out in zip(node.outputs, new.outputs, strict=True):
                self.held[old] = Held(out, tuple(range(old.type.rank)))

    def rule_for(self, node: Node) -> Callable[[Node], bool] | None:
        if "layout" in node.op.attrs:
            return self.image
        if node.op.family in ELEMENTWISE or node.op.name in ("qadd", "qmul", "qlut"):
            return self.elementwise
        return getattr(self, f"visit_{node.op.name}", None) or (self.reduce if node.op.family == "reduce" else None)

    def image(self, node: Node) -> bool:
        x = node.inputs[0]
        if x is None or x.type.rank != 4 or node.attrs["layout"] != "NCHW":
            return False
        inputs = list(node.inputs)
        for i, name in enumerate(node.op.inputs):
            value = inputs[i] if i < len(inputs) else None
            if value is not None and name.rstrip("?") in ("x", "residual"):
                inputs[i] = self.in_order(value, NCHW_OF_NHWC)
            elif value is not None:
                inputs[i] = self.logical(value)
        new = self.emit(node.op.name, inputs, {**node.attrs, "layout": "NHWC"}, node)
        self.record(node.output, new.output, NCHW_OF_NHWC)
        return True

    def common_perm(self, values: Sequence[Value | None], rank: int) -> Perm | None:
        """The order that the first reordered full-rank input is held in; None if all are in logical order."""
        for value in values:
            if value is not None and value.type.rank == rank and not value.is_constant:
                held = self.holding(value)
                if not held.is_logical:
                    return held.perm
        return None

    def elementwise(self, node: Node) -> bool:
        rank = node.output.type.rank
        perm = self.common_perm(node.inputs, rank)
        if perm is None:
            return False
        table = node.op.name == "qlut"
        inputs = [
            v if v is None or (table and i) else self.broadcast_in_order(v, perm) for i, v in enumerate(node.inputs)
        ]
        new = self.emit(node.op.name, inputs, node.attrs, node)
        self.record(node.output, new.output, perm)
        return True

    def broadcast_in_order(self, value: Value, perm: Perm) -> Value:
        """An operand of a broadcasting operator in the order `perm`, missing leading axes added."""
        missing = len(perm) - value.type.rank
        if value.type.rank == 0:
            return value
        if missing:
            shape = (1,) * missing + tuple(self.holding(value).value.shape[a] for a in self.holding(value).perm)
            flat = self.logical(value)
            if flat.is_constant:
                value = rearranged(flat, lambda array: array.reshape([int(d) for d in shape]))
            else:
                value = self.emit("reshape", [flat], {"shape": shape}).output
        return self.in_order(value, perm)

    def mapped(self, node: Node, attrs: Callable[[Perm], Mapping[str, Any]]) -> bool:
        """One data input; the attributes name axes, which `attrs` translates to physical ones."""
        x = node.inputs[0]
        assert x is not None
        held = self.holding(x)
        if held.is_logical:
            return False
        rest = [None if v is None else self.logical(v) for v in node.inputs[1:]]
        new = self.emit(node.op.name, [held.value, *rest], {**node.attrs, **attrs(held.perm)}, node)
        self.record(node.output, new.output, held.perm)
        return True

    def visit_scaled_dot_product_attention(self, node: Node) -> bool:
        """Rows first, as linear layers make and take them: backends that take strides need no permutation then."""
        if node.attrs["rows_first"]:
            return False
        heads = [None if v is None else self.in_order(v, HEADS_OF_ROWS) for v in node.inputs[:3]]
        rest = [None if v is None else self.logical(v) for v in node.inputs[3:]]
        new = self.emit(node.op.name, [*heads, *rest], {**node.attrs, "rows_first": True}, node)
        self.record(node.output, new.output, HEADS_OF_ROWS)
        return True

    visit_qattention = visit_scaled_dot_product_attention

    def rows(self, node: Node) -> bool:
        """Operators on the last axis: the others may lie in any order."""
        x = node.inputs[0]
        assert x is not None
        held = self.holding(x)
        rank, kept = len(held.perm), node.attrs.get("normalized_dims", 1)
        if held.is_logical or held.perm[rank - kept :] != tuple(range(rank - kept, rank)):
            return False
        names = [name.rstrip("?") for name in node.op.inputs]
        rest = [
            v if v is None else self.in_order(v, held.perm) if name == "residual" else self.logical(v)
            for name, v in zip(names[1:], node.inputs[1:], strict=False)
        ]
        new = self.emit(node.op.name, [held.value, *rest], node.attrs, node)
        self.record(node.output, new.output, held.perm)
        return True

    def recurrence(self, node: Node) -> bool:
        """Time or batch first, as the inputs are held."""
        x = node.inputs[0]
        assert x is not None
        held = self.holding(x)
        if held.perm != SECOND_FIRST:
            return False
        rest = [None if v is None else self.logical(v) for v in node.inputs[1:]]
        attrs = {**node.attrs, "batch_first": not node.attrs["batch_first"]}
        new = self.emit(node.op.name, [held.value, *rest], attrs, node)
        for old, out in zip(node.outputs, new.outputs, strict=True):
            self.record(old, out, SECOND_FIRST if old is node.outputs[0] else (0, 1, 2))
        return True

    visit_lstm = visit_gru = visit_lstm_scan = visit_gru_scan = visit_qlstm_scan = visit_qgru_scan = recurrence

    visit_linear = visit_qlinear = visit_layer_norm = visit_rms_norm = rows

    def visit_permute(self, node: Node) -> bool:
        (x,) = node.inputs
        assert x is not None
        held = self.holding(x)
        rank = len(held.perm)
        self.held[node.output] = Held(held.value, tuple(held.perm[d % rank] for d in node.attrs["dims"]))
        return True

    def visit_softmax(self, node: Node) -> bool:
        # A kernel along any but the last axis is slower than the permutation that it saves.
        last = node.output.type.rank - 1
        return (
            self.mapped(node, lambda perm: {"dim": perm[node.attrs["dim"]]}) if self.axis_is_last(node, last) else False
        )

    visit_log_softmax = visit_softmax

    def axis_is_last(self, node: Node, last: int) -> bool:
        (x,) = node.inputs
        assert x is not None
        return bool(self.holding(x).perm[node.attrs["dim"]] == last)

    def visit_cumsum(self, node: Node) -> bool:
        return self.mapped(node, lambda perm: {"dim": perm[node.attrs["dim"]]})

    def visit_flip(self, node: Node) -> bool:
        return self.mapped(node, lambda perm: {"dims": tuple(perm[d] for d in node.attrs["dims"])})

    def visit_slice(self, node: Node) -> bool:
        return self.mapped(node, lambda perm: {"axes": tuple(perm[d] for d in node.attrs["axes"])})

    def visit_pad(self, node: Node) -> bool:
        def attrs(perm: Perm) -> Mapping[str, Any]:
            rank, pads = len(perm), node.attrs["pads"]
            order = _inverse(perm)
            return {"pads": tuple(pads[i] for i in order) + tuple(pads[rank + i] for i in order)}

        return self.mapped(node, attrs)

    def visit_quantize(self, node: Node) -> bool:
        axis = node.attrs["axis"]
        return self.mapped(node, lambda perm: {} if axis is None else {"axis": perm[axis]})

    visit_dequantize = visit_quantize
    visit_qaffine = visit_quantize

    def visit_concat(self, node: Node) -> bool:
        perm = self.common_perm(node.inputs, node.output.type.rank)
        if perm is None:
            return False
        inputs = [self.in_order(v, perm) for v in node.inputs if v is not None]
        new = self.emit("concat", inputs, {"dim": perm[node.attrs["dim"]]}, node)
        self.record(node.output, new.output, perm)
        return True

    def reduce(self, node: Node) -> bool:
        (x,) = node.inputs
        assert x is not None
        held = self.holding(x)
        rank = x.type.rank
        if held.is_logical:
            return False
        dims = node.attrs["dim"]
        reduced = [d % rank for d in (dims if isinstance(dims, tuple) else (dims,))] or list(range(rank))
        physical = tuple(held.perm[d] for d in reduced)
        attrs = {**node.attrs, "dim": physical if isinstance(dims, tuple) else physical[0]}
        new = self.emit(node.op.name, [held.value], attrs, node)
        if node.attrs.get("keepdim", False):
            self.record(node.output, new.output, held.perm)
        else:
            kept = [held.perm[d] for d in range(rank) if d not in reduced]
            ranks = {axis: i for i, axis in enumerate(sorted(kept))}
            self.record(node.output, new.output, tuple(ranks[axis] for axis in kept))
        return True

    visit_qmean = reduce

    def visit_reshape(self, node: Node) -> bool:
        """Merges or splits axes in the order that they are held in; axes to be merged become neighbours first."""
        (x,) = node.inputs
        assert x is not None
        held = self.holding(x)
        if held.is_logical:
            return False
        rank, groups = len(held.perm), axis_groups(x.shape, node.output.shape)
        if groups is None:
            return False
        groups.sort(key=lambda group: min((held.perm[d] for d in group[0] if x.shape[d] != 1), default=rank))
        order = tuple(held.perm[d] for before, _ in groups for d in before)
        if order != tuple(range(len(order))) and node.output in self.kept:
            return False
        perm = [0] * node.output.type.rank
        shape: list[DimLike] = []
        for _, after in groups:
            for d in after:
                perm[d] = len(shape)
                shape.append(node.output.shape[d])
        new = self.emit("reshape", [self.reorder(held.value, order)], {"shape": tuple(shape)}, node)
        self.record(node.output, new.output, tuple(perm))
        return True
