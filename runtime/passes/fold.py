"""Computes at once what depends on constants only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from ..errors import RushlightError
from ..ir import Graph, Half, Node, Value
from ..ops import Array
from ..types import Dim
from .halves import fold_halves
from .rewrite import Rewriter, Rule

GROWTH = 4
"""A folded result may be this many times as large as what it is computed from ..."""

SMALL = 1 << 16
"""... or have this many bytes: larger ones are cheaper to compute than to store."""

KEPT = frozenset({"dequantize"})
"""Operators that mark quantized constants, which later passes look for."""


def fold_constants(graph: Graph, kept: Collection[str] = KEPT) -> bool:
    """Makes constants of nodes without variable inputs, but for operators in `kept` and results that grow too large."""
    rules: dict[str, tuple[Rule, ...]] = {node.op.name: (_fold,) for node in graph.nodes if node.op.name not in kept}
    return Rewriter(graph).apply(rules)


def _fold(rewriter: Rewriter, node: Node) -> list[Value] | None:
    inputs = [value for value in node.inputs if value is not None]
    if not all(value.is_constant for value in inputs) or _is_symbolic(node):
        return None
    read = sum(value.stored.nbytes for value in inputs if value.stored is not None)
    made = sum(int(np.prod(out.type.static_shape())) * out.dtype.itemsize for out in node.outputs)
    if made > max(SMALL, GROWTH * read):
        return None
    results = _compute(node)
    if results is None:
        return None
    constants = zip(results, node.outputs, strict=True)
    return [rewriter.builder.constant(_as(array, out), out.name or "constant") for array, out in constants]


def _as(array: Array | Half, out: Value) -> Array | Half:
    return array if isinstance(array, Half) else array.astype(out.dtype)


def _compute(node: Node) -> tuple[Array | Half, ...] | None:
    """The node's results; None where it has none, such as an index out of range: that is for the run to report."""
    try:
        with np.errstate(all="ignore"):
            halves = fold_halves(node)
            if halves is not None:
                return (halves,)
            return node.op.run_reference([None if v is None else v.data for v in node.inputs], node.attrs)
    except (ArithmeticError, LookupError, ValueError, RushlightError):
        return None


def _is_symbolic(node: Node) -> bool:
    def symbolic(attr: Any) -> bool:
        if isinstance(attr, tuple):
            return any(map(symbolic, attr))
        return isinstance(attr, (Dim, Graph))

    return any(map(symbolic, node.attrs.values())) or not all(out.type.is_static for out in node.outputs)
