"""Checks that a graph is sound. Everything that reads a graph from outside verifies it before using it."""

from __future__ import annotations

from ..errors import ShapeError
from ..types import Dim, TensorType
from .graph import Graph, Node, Value

MAX_DEPTH = 16
"""How deep sub-graphs may be nested."""

MAX_BYTES = 1 << 46
"""Of one tensor, a dimension of 0 counting as 1: more than any machine has, and so little that the 64-bit arithmetic of
kernels on sizes and offsets cannot overflow."""


def verify(graph: Graph, depth: int = 0) -> None:
    """Raises ShapeError, naming the node, unless the graph is sound.

    Checked: every value is assigned once and before its use, declared types are the inferred ones, constants have the
    type that they claim, symbols are declared, names of inputs and outputs are unique.
    """
    if depth > MAX_DEPTH:
        raise ShapeError(f"sub-graphs nested more than {MAX_DEPTH} deep")
    known: set[Value] = set()
    for value in [*graph.inputs, *(state.before for state in graph.states)]:
        if value.is_constant or value.producer is not None:
            raise ShapeError(f"input {value} is not free")
        if value in known:
            raise ShapeError(f"input {value} is listed twice")
        known.add(value)
        _check_symbols(graph, value)
    _check_unique("input", [value.name for value in graph.inputs])
    _check_unique("output", [name for name, _ in graph.outputs])
    for index, node in enumerate(graph.nodes):
        where = f"node {index} ({node.op.name}{' ' + node.name if node.name else ''})"
        for read in node.inputs:
            if read is not None:
                _check_known(read, known, where)
        _check_node(node, where)
        for out in node.outputs:
            if out in known:
                raise ShapeError(f"{where}: {out} is assigned twice")
            if out.producer is not node:
                raise ShapeError(f"{where}: {out} is produced elsewhere")
            known.add(out)
        for attr in node.attrs.values():
            if isinstance(attr, Graph):
                verify(attr, depth + 1)
    for name, value in graph.outputs:
        _check_known(value, known, f"output '{name}'")
    for state in graph.states:
        _check_known(state.after, known, f"state '{state.name}'")
        if state.after.type != state.before.type:
            raise ShapeError(f"state '{state.name}' is {state.before.type} before and {state.after.type} after")


def check_bytes(type: TensorType) -> None:
    """Raises ShapeError where a dimension is negative, or the static ones alone make the tensor too large."""
    total = type.dtype.itemsize
    for dim in type.shape:
        if isinstance(dim, int):
            if dim < 0:
                raise ShapeError(f"{type} has a negative dimension")
            total *= max(dim, 1)
    if total > MAX_BYTES:
        raise ShapeError(f"{type} takes more than {MAX_BYTES} bytes")


def _check_node(node: Node, where: str) -> None:
    try:
        for value in (*node.inputs, *node.outputs):
            if value is not None:
                check_bytes(value.type)
        attrs = node.op.complete_attrs(node.attrs)
        types = node.op.infer_types([None if v is None else v.type for v in node.inputs], attrs)
    except ShapeError as error:
        raise ShapeError(f"{where}: {error}") from None
    declared = tuple(out.type for out in node.outputs)
    if types != declared:
        raise ShapeError(f"{where}: declares {_list(declared)}, but gives {_list(types)}")


def _check_known(value: Value, known: set[Value], where: str) -> None:
    if value.stored is not None:
        if value.stored.shape != value.type.shape or value.stored.dtype != value.type.dtype:
            raise ShapeError(f"{where}: constant {value} holds {value.stored.dtype}{list(value.stored.shape)}")
    elif value not in known:
        raise ShapeError(f"{where}: {value} is used before it is assigned")


def _check_symbols(graph: Graph, value: Value) -> None:
    for dim in value.type.shape:
        if isinstance(dim, Dim):
            missing = dim.symbols() - set(graph.symbols)
            if missing:
                raise ShapeError(f"input {value}: undeclared dimension {', '.join(sorted(missing))}")


def _check_unique(kind: str, names: list[str]) -> None:
    for name in names:
        if not name:
            raise ShapeError(f"an {kind} has no name")
        if names.count(name) > 1:
            raise ShapeError(f"{kind} '{name}' is listed twice")


def _list(types: tuple[TensorType, ...]) -> str:
    return ", ".join(map(str, types))
