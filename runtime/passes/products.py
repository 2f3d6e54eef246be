"""Products with constant matrices become linear layers."""

from __future__ import annotations

from ..ir import Graph, Node, Value
from .rewrite import Rewriter, Rules


def match_linear(graph: Graph) -> bool:
    """linear in place of matmul with a constant matrix, quantized or not. True if there was any."""
    return Rewriter(graph).apply(_RULES)


def _match(rewriter: Rewriter, node: Node) -> Value | None:
    x, matrix = node.inputs
    assert x is not None
    assert matrix is not None
    quantized = rewriter.producer(matrix, "dequantize")
    source = quantized.inputs[0] if quantized else matrix
    if matrix.type.rank != 2 or x.dtype.kind != "f" or source is None or not source.is_constant:
        return None
    b = rewriter.builder
    out: Value = b.linear(x, b.permute(matrix, dims=(1, 0)))
    return out


_RULES: Rules = {"matmul": (_match,)}
