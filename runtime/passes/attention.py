"""Finds scaled dot-product attention that a model spells out as products and a softmax."""

from __future__ import annotations

import math

import numpy as np

from ..ir import Graph, Node, Value
from .rewrite import Rewriter, Rules, array_of, scalar_of, with_constant


def match_attention(graph: Graph) -> bool:
    """scaled_dot_product_attention in place of what computes it. True if there was any."""
    return Rewriter(graph).apply(_RULES)


def _strip_scale(rewriter: Rewriter, value: Value | None) -> tuple[Value | None, float]:
    """`value` without factors that are numbers, and their product."""
    factor = 1.0
    while True:
        node = rewriter.private(value, "mul", "div")
        operands = with_constant(node) if node else None
        number = scalar_of(operands[1]) if operands else None
        if node is None or operands is None or not number or operands[0].type != node.output.type:
            return value, factor
        if node.op.name == "div" and operands[0] is not node.inputs[0]:
            return value, factor
        factor *= number if node.op.name == "mul" else 1 / number
        value = operands[0]


def _strip_mask(rewriter: Rewriter, value: Value) -> tuple[Value | None, Value | None]:
    """Scores without their mask, and the mask: true where it keeps, or a float to add."""
    where = rewriter.private(value, "where")
    if where is not None:
        condition, a, b = where.inputs
        if scalar_of(b) == -math.inf and a is not None and a.type == value.type:
            return a, condition
        if scalar_of(a) == -math.inf and b is not None and b.type == value.type:
            return b, rewriter.builder.logical_not(condition)
        return value, None
    add = rewriter.private(value, "add")
    if add is not None:
        for scores, mask in (add.inputs, add.inputs[::-1]):
            if _product(rewriter, scores) and scores is not None and scores.type == value.type:
                return scores, mask
    return _strip_window_mask(rewriter, value)


def _strip_window_mask(rewriter: Rewriter, value: Value) -> tuple[Value | None, Value | None]:
    """Masks [1, W, 1 or H, L, L] of W windows an image, added while the scores stand as [B, W, H, L, L]."""
    outer = rewriter.private(value, "reshape")
    add = rewriter.private(outer.inputs[0], "add") if outer else None
    if add is None or add.output.type.rank != 5 or value.type.rank != 4:
        return value, None
    for apart, mask in (add.inputs, add.inputs[::-1]):
        inner = rewriter.private(apart, "reshape")
        if inner is None or mask is None or mask.type.rank != 5 or apart is None or apart.type != add.output.type:
            continue
        scores = inner.inputs[0]
        if scores is None or scores.type != value.type or apart.shape[2:] != value.shape[1:] or mask.shape[0] != 1:
            continue
        found, bias = _strip_mask(rewriter, scores)
        b, shape = rewriter.builder, (*apart.shape[:2], *mask.shape[2:])
        mask = b.reshape(b.expand(mask, shape=shape), shape=(value.shape[0], *mask.shape[2:]))
        if bias is not None and bias.dtype != mask.dtype:
            continue
        return found, mask if bias is None else b.add(bias, mask)
    return value, None


def _product(rewriter: Rewriter, scores: Value | None) -> Node | None:
    stripped, _ = _strip_scale(rewriter, scores)
    return rewriter.private(stripped, "matmul")


def _softmax(rewriter: Rewriter, weights: Value | None) -> Node | None:
    """The softmax; exporters wrap it so that rows without a key give 0, as the operator does by itself."""
    where = rewriter.private(weights, "where")
    if where is not None and scalar_of(where.inputs[1]) == 0.0:
        softmax = rewriter.producer(where.inputs[2], "softmax")
        is_nan = rewriter.private(where.inputs[0], "isnan")
        wrapped = softmax is not None and is_nan is not None and is_nan.inputs[0] is softmax.output
        return softmax if wrapped and softmax is not None and rewriter.reads(softmax.output) == 2 else None
    return rewriter.private(weights, "softmax")


def _simple_mask(mask: Value | None, scores: Value) -> tuple[Value | None, bool]:
    """The mask and `is_causal`, without a mask that is constant and says no more than `is_causal` does."""
    data = array_of(mask)
    if data is None:
        return mask, False
    keeps = data if data.dtype.kind == "b" else data == 0
    if data.dtype.kind != "b" and not np.all(keeps | np.isneginf(data)):
        return mask, False
    if np.all(keeps):
        return None, False
    rows, columns = scores.shape[-2:]
    plain = keeps.reshape(keeps.shape[-2:]) if keeps.ndim >= 2 and keeps.size == rows * columns else None
    is_causal = plain is not None and np.array_equal(plain, np.tril(np.ones((rows, columns), bool)))
    return (None, True) if is_causal else (mask, False)


def _match(rewriter: Rewriter, node: Node) -> Value | None:
    """matmul(softmax(mask(matmul(q, kT) * scale)), v)"""
    weights, v = node.inputs
    softmax = _softmax(rewriter, weights)
    if softmax is None or v is None or softmax.inputs[0] is None:
        return None
    rank = softmax.output.type.rank
    if rank not in (3, 4) or softmax.attrs["dim"] % rank != rank - 1:
        return None
    scores, mask = _strip_mask(rewriter, softmax.inputs[0])
    stripped, scale = _strip_scale(rewriter, scores)
    product = rewriter.private(stripped, "matmul")
    if product is None or (mask is not None and mask.type.rank > rank):
        return None
    q, q_scale = _strip_scale(rewriter, product.inputs[0])
    k, k_scale = _strip_scale(rewriter, product.inputs[1])
    if q is None or k is None:
        return None
    turned = rewriter.producer(k, "permute", "reshape")
    if turned is None or not q.type.rank == k.type.rank == v.type.rank == rank:
        return None
    if q.shape[:-2] != k.shape[:-2] or q.shape[:-2] != v.shape[:-2]:
        return None
    b = rewriter.builder
    if rewriter.reads(k) == 1 and turned.op.name == "permute":
        # A scale before the transposition: fold it in as well, the permutation stays outside of it.
        inner, inner_scale = _strip_scale(rewriter, turned.inputs[0])
        if inner_scale != 1.0:
            k, k_scale = b.permute(inner, dims=turned.attrs["dims"]), k_scale * inner_scale
    k = b.permute(k, dims=(*range(rank - 2), rank - 1, rank - 2))
    if rank == 3:
        q, k, v = (b.reshape(x, shape=(1, *x.shape)) for x in (q, k, v))
    mask, is_causal = _simple_mask(mask, softmax.output)
    out: Value = b.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal, scale=scale * q_scale * k_scale)
    return b.reshape(out, shape=out.shape[1:]) if rank == 3 else out


_RULES: Rules = {"matmul": (_match,)}
