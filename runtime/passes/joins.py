"""Concatenations of what is whole already: neighbouring slices of one tensor, the parts of an earlier concatenation."""

from __future__ import annotations

from typing import Any, TypeAlias

from ..ir import Graph, Node, Value, make_node

_Key: TypeAlias = tuple[Any, ...]


def reuse_joins(graph: Graph) -> bool:
    """Rewrites ``concat(x[:, :8], x[:, 8:], y)`` to ``concat(x, y)``, and ``concat(a, b, c)`` after ``concat(a, b)``
    to ``concat(concat(a, b), c)``: fewer and longer copies, and one home for values that many concatenations share.
    True if there was any."""
    known: dict[_Key, Value] = {}
    nodes: list[Node] = []
    changed = False
    for node in graph.nodes:
        if node.op.name == "concat":
            parts = [value for value in node.inputs if value is not None]
            dim = node.attrs["dim"] % node.output.type.rank
            whole = _joined_slices(parts, dim, nodes)
            joined = _shared_prefix(whole, dim, known)
            if joined != parts:
                node.inputs = list(joined)
                changed = True
            known.setdefault((dim, *whole), node.output)
        nodes.append(node)
    graph.nodes = nodes
    if changed:
        graph.prune()
    return changed


def _shared_prefix(parts: list[Value], dim: int, known: dict[_Key, Value]) -> list[Value]:
    """The parts, as many of the first ones as possible replaced by a concatenation of them that exists."""
    for count in range(len(parts) - 1, 1, -1):
        whole = known.get((dim, *parts[:count]))
        if whole is not None:
            return [whole, *parts[count:]]
    return parts


def _joined_slices(parts: list[Value], dim: int, nodes: list[Node]) -> list[Value]:
    """The parts with runs of neighbouring slices of one tensor replaced by one slice, or by the tensor."""
    out: list[Value] = []
    index = 0
    while index < len(parts):
        first = _slice_along(parts[index], dim)
        end = index + 1
        if first is not None:
            source, start, stop = first
            while end < len(parts):
                following = _slice_along(parts[end], dim)
                if following is None or following[0] is not source or following[1] != stop:
                    break
                stop, end = following[2], end + 1
            if end > index + 1:
                out.append(_slice(source, dim, start, stop, nodes))
                index = end
                continue
        out.append(parts[index])
        index += 1
    return out


def _slice_along(value: Value, dim: int) -> tuple[Value, int, int] | None:
    """(source, start, stop) of a slice of neighbouring elements along `dim`."""
    node = value.producer
    if node is None or node.op.name != "slice" or len(node.attrs["axes"]) != 1:
        return None
    source = node.inputs[0]
    (axis,), (start,), (step,) = node.attrs["axes"], node.attrs["starts"], node.attrs["steps"]
    size = value.shape[dim]
    is_fixed = isinstance(start, int) and isinstance(size, int) and start >= 0
    if source is None or axis % value.type.rank != dim or step != 1 or not is_fixed:
        return None
    return source, start, start + size


def _slice(source: Value, dim: int, start: int, stop: int, nodes: list[Node]) -> Value:
    if start == 0 and stop == source.shape[dim]:
        return source
    node = make_node("slice", [source], {"axes": (dim,), "starts": (start,), "ends": (stop,), "steps": (1,)})
    nodes.append(node)
    return node.output
