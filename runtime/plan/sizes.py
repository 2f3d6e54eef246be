"""Checks a graph of symbolic sizes once they are known: what held for symbols need not hold for every number."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ShapeError
from ..ir import Graph, Value, check_bytes
from ..reference import evaluate_attrs
from ..types import DimLike, TensorType, evaluate


def check_sizes(graph: Graph, sizes: Mapping[str, int]) -> None:
    """Raises ShapeError, naming the node, where the graph is not sound for these sizes: a window or a slice that does
    not fit, a negative dimension, a tensor beyond all memory."""
    known: dict[DimLike, int] = {}

    def number(dim: DimLike) -> int:
        if dim not in known:
            known[dim] = evaluate(dim, sizes)
        return known[dim]

    def concrete(value: Value) -> TensorType:
        return value.type.with_shape(map(number, value.shape))

    for node in graph.nodes:
        where = f"{node.op.name} '{node.outputs[0].name}'"
        declared = tuple(map(concrete, node.outputs))
        try:
            for type in declared:
                check_bytes(type)
            inputs = [None if value is None else concrete(value) for value in node.inputs]
            inferred = node.op.infer_types(inputs, evaluate_attrs(node.op, node.attrs, sizes))
        except ShapeError as error:
            raise ShapeError(f"{where}: {error}; the sizes are {_text(sizes)}") from None
        if inferred != declared:
            raise ShapeError(f"{where}: gives {', '.join(map(str, inferred))} where the sizes are {_text(sizes)}")


def _text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items())
