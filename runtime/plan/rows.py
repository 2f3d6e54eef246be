"""Values inside the rows of others: concatenations and slices along the last axis that copy nothing.

The rows of a value are its vectors along the last axis. A part of a concatenation may be written straight into the
rows of the result, and a slice may be read from the rows of its source, where the kernels on both sides can step from
row to row by more than a row's length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..ir import Graph, Node, Value


class RowAccess(Protocol):
    """Which operators' kernels take values that lie inside the rows of others."""

    def reads_rows(self, node: Node, index: int) -> bool:
        """Whether input `index` of the node may lie so."""
        ...

    def writes_rows(self, node: Node) -> bool:
        """Whether the node's result may lie so."""
        ...


@dataclass(frozen=True)
class Inside:
    """A value's rows are columns `column`, ... of the rows of `host`, which may itself lie inside another."""

    host: Value
    column: int


Placement: TypeAlias = Mapping[Value, Inside]


def place_rows(graph: Graph, access: RowAccess, has_kernel: Callable[[Node], bool]) -> dict[Value, Inside]:
    """Where values of `graph` may lie inside others, by value."""
    readers: dict[Value, list[tuple[Node, int]]] = {}
    for node in graph.nodes:
        for index, value in enumerate(node.inputs):
            if value is not None:
                readers.setdefault(value, []).append((node, index))
    kept = graph.kept()

    def can_be_read(value: Value) -> bool:
        return value not in kept and all(
            access.reads_rows(node, index) and has_kernel(node) for node, index in readers.get(value, ())
        )

    placed: dict[Value, Inside] = {}
    for node in graph.nodes:
        if node.op.name == "slice":
            column = _sliced_column(node)
            source = node.inputs[0]
            if column is not None and source is not None and not source.is_constant and can_be_read(node.output):
                placed[node.output] = Inside(source, column)
    for node in graph.nodes:
        columns = _joined_columns(node)
        if columns is None or not has_kernel(node):
            continue
        for value, column in columns.items():
            chain = _renamed(value, readers)
            producer = chain[-1].producer
            if value in placed or producer is None or not access.writes_rows(producer) or not has_kernel(producer):
                continue
            if can_be_read(value) and not kept & set(chain):
                placed.update(dict.fromkeys(chain, Inside(node.output, column)))
    return placed


def _renamed(value: Value, readers: Mapping[Value, list[tuple[Node, int]]]) -> list[Value]:
    """The value, and before it those that are the same rows under other leading axes and that nobody else reads."""
    chain = [value]
    while True:
        node = chain[-1].producer
        x = node.inputs[0] if node is not None and node.op.name == "reshape" else None
        if x is None or x.type.rank < 2 or x.shape[-1] != value.shape[-1] or len(readers[x]) > 1:
            return chain
        chain.append(x)


def _sliced_column(node: Node) -> int | None:
    """The first column of a slice of neighbouring columns, None for other slices."""
    rank = node.output.type.rank
    if rank < 2 or node.output.shape[-1] == 1 or [axis % rank for axis in node.attrs["axes"]] != [rank - 1]:
        return None
    (start,), (step,) = node.attrs["starts"], node.attrs["steps"]
    x = node.inputs[0]
    is_fixed = x is not None and isinstance(start, int) and isinstance(x.shape[-1], int)
    return start if is_fixed and step == 1 and start >= 0 else None


def _joined_columns(node: Node) -> dict[Value, int] | None:
    """The first column of every part of a concatenation along the last axis that occurs once in it."""
    rank = node.outputs[0].type.rank
    if node.op.name != "concat" or rank < 2 or node.attrs["dim"] % rank != rank - 1:
        return None
    columns: dict[Value, int] = {}
    at = 0
    for value in node.inputs:
        assert value is not None
        width = value.shape[-1]
        if not isinstance(width, int):
            return None
        if node.inputs.count(value) == 1 and width > 1:  # one column would have no dense axis
            columns[value] = at
        at += width
    return columns
