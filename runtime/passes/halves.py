"""16-bit floats: constants of them are widened while they are packed, everything else is float32 arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ..ir import Graph, GraphBuilder, Half, Node, State, Value, constant, make_node
from ..types import TensorType

MOVES = frozenset({"reshape", "permute", "expand", "slice", "concat", "flip", "tile", "index_select", "gather"})
"""Operators that give what they read of their first inputs, whatever it is."""

_HALF, _SINGLE = np.dtype(np.float16), np.dtype(np.float32)


def fold_halves(node: Node) -> Half | None:
    """The result of a node of constants as halves: of a cast that widens, or of one that moves halves."""
    first = node.inputs[0] if node.inputs else None
    if first is None:
        return None
    if node.op.name == "cast" and node.output.dtype == _SINGLE:
        if isinstance(first.stored, Half):
            return first.stored
        return Half(first.stored) if isinstance(first.stored, np.ndarray) and first.dtype == _HALF else None
    if node.op.name not in MOVES or not isinstance(first.stored, Half):
        return None
    arrays = [None if v is None else v.stored.bits if isinstance(v.stored, Half) else v.data for v in node.inputs]
    read = [v.stored for v in node.inputs if v is not None and v.dtype == _SINGLE]
    if not all(isinstance(stored, Half) and stored.format == first.stored.format for stored in read):
        return None
    (bits,) = node.op.run_reference(arrays, node.attrs)
    return Half(np.asarray(bits))


def widen_halves(graph: Graph) -> bool:
    """float32 in place of every float16 between the inputs and outputs of `graph`, which keep their types: results are
    not rounded, and do not overflow, where float16 arithmetic would. True if there was any."""
    read = {value for node in graph.nodes for value in node.inputs}
    if all(_is_edge(node, read) for node in graph.nodes if _touches_halves(node)):
        return False
    edge = GraphBuilder()
    known: dict[Value, Value] = {}
    for value in [*graph.inputs, *(state.before for state in graph.states)]:
        if value.dtype == _HALF:
            known[value] = edge.cast(value, dtype="float32", name=value.name)
    _widen_nodes(graph, known)
    graph.nodes = edge.graph.nodes + graph.nodes
    end = GraphBuilder()

    def narrowed(old: Value, name: str) -> Value:
        if old.dtype != _HALF or old.producer is None:
            return old
        out: Value = end.cast(known[old], dtype="float16", name=name)
        return out

    graph.outputs = [(name, narrowed(value, name)) for name, value in graph.outputs]
    graph.states = [State(s.name, s.before, narrowed(s.after, s.name), s.initial) for s in graph.states]
    graph.nodes += end.graph.nodes
    graph.prune()
    return True


def _touches_halves(node: Node) -> bool:
    """Whether a node reads or gives float16, or a node of its bodies does."""
    if any(value is not None and value.dtype == _HALF for value in (*node.inputs, *node.outputs)):
        return True
    return any(_touches_halves(inner) for body in _bodies(node) for inner in body.nodes)


def _bodies(node: Node) -> list[Graph]:
    return [attr for attr in node.attrs.values() if isinstance(attr, Graph)]


def _is_edge(node: Node, read: Collection[Value | None]) -> bool:
    """Whether a node widens an input of the graph, or makes an output of it that no node reads."""
    if node.op.name != "cast":
        return False
    x, out = node.inputs[0], node.output
    if x is None or x.is_constant:
        return False
    return (x.producer is None and out.dtype == _SINGLE) or (x.dtype == _SINGLE and out not in read)


def _widen_nodes(graph: Graph, known: dict[Value, Value], remakes_all: bool = False) -> None:
    """Makes the nodes anew that touch float16; `known`: what stands for values of it."""

    def widened(value: Value | None) -> Value | None:
        if value is None or value.dtype != _HALF:
            return value
        if value not in known:
            assert isinstance(value.stored, np.ndarray)
            known[value] = constant(Half(value.stored), value.name)
        return known[value]

    nodes: list[Node] = []
    for node in graph.nodes:
        inputs = [widened(value) for value in node.inputs]
        if remakes_all or _touches_halves(node):
            new = make_node(node.op, inputs, _widened_attrs(node.attrs, node), node.name)
            new.origin = node.origin
            for old, out in zip(node.outputs, new.outputs, strict=True):
                out.name = old.name
                known[old] = out
            node = new
        nodes.append(node)
    replaced = {old: new for old, new in known.items() if old.dtype != _HALF}
    graph.nodes = nodes
    graph.replace_many(replaced)


def _widened_attrs(attrs: Mapping[str, Any], node: Node) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, attr in attrs.items():
        if isinstance(attr, Graph):
            attr = attr.clone()
            _widen_body(attr)
        elif node.op.attrs[name].kind == "dtype" and attr == "float16":
            attr = "float32"
        out[name] = attr
    return out


def _widen_body(body: Graph) -> None:
    """A sub-graph, its inputs and outputs too."""
    known: dict[Value, Value] = {}
    for value in body.inputs:
        value.type = _wide(value.type)
    _widen_nodes(body, known, remakes_all=True)  # bodies within take the types of what they read
    outputs = []
    for name, value in body.outputs:
        if value.dtype == _HALF and value not in known and isinstance(value.stored, np.ndarray):
            known[value] = constant(Half(value.stored), value.name)
        outputs.append((name, known.get(value, value)))
    body.outputs = outputs


def _wide(type: TensorType) -> TensorType:
    return type.with_dtype(_SINGLE) if type.dtype == _HALF else type
