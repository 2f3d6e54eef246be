"""Finds attention within windows, as in Swin transformers: rows are rolled and cut into windows, and put back after it.

The layers around it work on single rows, so that the windows need not exist: attention reads and writes the rows of
each where they lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..ir import Graph, GraphBuilder, Node, Value
from ..ops import Array
from ..types import Dim, DimLike, evaluate, exact_div, product
from .rewrite import Rewriter, Rules
from .views import place_of

MOVES = ("reshape", "permute", "slice", "concat")

TRIED = (2, 3)
"""Sizes of symbolic dimensions for which rows are followed: all images must be treated alike."""

LARGEST = 1 << 22
"""Elements of a mask that is computed from constants here."""


def match_windows(graph: Graph) -> bool:
    """window_attention in place of movements around attention. True if there was any."""
    if not any(node.op.name == "scaled_dot_product_attention" for node in graph.nodes):
        return False
    return Rewriter(graph).apply(_RULES)


@dataclass(frozen=True)
class _Windows:
    """Attention between two layers over rows that were moved into `count` windows an image."""

    attention: Node
    layers: list[Node]  # for q, k and v
    offsets: list[int]  # where in the result of its layer each begins
    after: Node  # the layer
    rows: Array  # [count, length]
    source: Value  # of the rows, before they are moved
    bias: Array | None
    mask: Array | None


def _match(rewriter: Rewriter, node: Node) -> Value | None:
    found = _find(rewriter, node)
    if found is None:
        return None
    b, source = rewriter.builder, found.source
    batch, tokens, width = source.shape[0], found.rows.size, source.shape[-1]
    x = b.reshape(source, shape=(batch, tokens, width))
    made: dict[Node, Value] = {}
    operands: list[Value] = []
    for value, layer, offset in zip(found.attention.inputs, found.layers, found.offsets, strict=False):
        assert value is not None
        if layer not in made:
            (made[layer],) = b.add_node("linear", [x, *layer.inputs[1:]], layer.attrs, layer.name)
        heads, d = value.shape[1], value.shape[3]
        part = b.slice(made[layer], axes=(2,), starts=(offset,), ends=(offset + heads * d,), steps=(1,))
        operands.append(b.reshape(part, shape=(batch, tokens, heads, d)))
    bias, mask = (None if array is None else b.constant(array, "mask") for array in (found.bias, found.mask))
    rows = b.constant(found.rows, "rows")
    out = b.window_attention(*operands, rows, bias, mask, scale=found.attention.attrs["scale"])
    out = b.reshape(out, shape=(*node.output.shape[:-1], out.shape[2] * out.shape[3]))
    (result,) = b.add_node("linear", [out, *found.after.inputs[1:]], found.after.attrs, found.after.name)
    return result


def _find(rewriter: Rewriter, node: Node) -> _Windows | None:
    end = _source(node.output)
    after = rewriter.private(end, "linear")
    inner = rewriter.private(after.inputs[0], "reshape") if after and not _has_residual(after) else None
    turned = rewriter.private(inner.inputs[0], "permute") if inner else None
    attention = rewriter.private(turned.inputs[0], "scaled_dot_product_attention") if turned else None
    if end is None or after is None or inner is None or turned is None or attention is None:
        return None
    q, k, v, mask = (*attention.inputs, None)[:4]
    if turned.attrs["dims"] != (0, 2, 1, 3) or inner.output.shape[:2] != turned.output.shape[:2]:
        return None
    if attention.attrs["is_causal"] or attention.attrs["rows_first"] or q is None or k is None or v is None:
        return None
    layers: list[Node] = []
    offsets: list[int] = []
    for value in (q, k, v):
        base, offset, strides = place_of(value)
        layer = rewriter.producer(base, "linear")
        if layer is None or _has_residual(layer) or value.shape[1] != q.shape[1]:
            return None
        (_, _, length, d), n = value.shape, base.shape[-1]
        if strides != (length * n, d, n, 1) or not isinstance(offset, int) or offset >= n:
            return None
        layers.append(layer)
        offsets.append(offset)
    moved = layers[0].inputs[0]
    source = _source(moved)
    if source is None or moved is None or source is moved or any(layer.inputs[0] is not moved for layer in layers):
        return None
    windows = exact_div(q.shape[0], source.shape[0]) if source.shape[0] != 0 else None
    if not isinstance(windows, int) or k.shape[2] != q.shape[2]:
        return None
    rows = _window_rows((moved, source), (node.output, end), windows, q.shape[2])
    if rows is None:
        return None
    masks = _masks(mask, len(rows), source.shape[0])
    return None if masks is None else _Windows(attention, layers, offsets, after, rows, source, *masks)


def _has_residual(layer: Node) -> bool:
    return len(layer.inputs) > 3 and layer.inputs[3] is not None


def _window_rows(taken: tuple[Value, Value], given: tuple[Value, Value], windows: int, length: DimLike) -> Array | None:
    """Which row of an image each row of its windows is, [windows, length]. `taken` and `given` are rows and what they
    were moved from, before and after attention; None unless they come back where they were."""
    source = taken[1]
    batch = source.shape[0]
    tokens = product(source.shape[1:-1])
    if not isinstance(tokens, int) or given[0].shape[0] != batch or windows * length != tokens:
        return None
    found: Array | None = None
    for size in TRIED:
        sizes = {symbol: size for value in (*taken, *given) for symbol in _symbols(value)}
        images = np.arange(evaluate(batch, sizes))[:, None] * tokens
        of_windows, of_rows = (_one_image(_follow(*moved, sizes), images, tokens) for moved in (taken, given))
        if of_windows is None or of_rows is None or not np.array_equal(of_windows[of_rows], np.arange(tokens)):
            return None
        if found is not None and not np.array_equal(found, of_windows):
            return None
        found = of_windows
    return None if found is None else found.reshape(windows, -1)


def _one_image(rows: Array | None, starts: Array, tokens: int) -> Array | None:
    """Rows of the first of several images that begin at `starts`, if all are alike and keep to themselves."""
    if rows is None or rows.size != len(starts) * tokens:
        return None
    own = rows.reshape(len(starts), tokens) - starts
    return own[0] if (own == own[0]).all() and own.min() >= 0 and own.max() < tokens else None


def _symbols(value: Value) -> Iterator[str]:
    for dim in value.shape:
        if isinstance(dim, Dim):
            yield from dim.symbols()


def _source(value: Value | None, depth: int = 16) -> Value | None:
    """What operators that move rows made `value` of, if that is one value."""
    node = value.producer if value is not None else None
    if node is None or node.op.name not in MOVES:
        return value
    sources = {_source(x, depth - 1) for x in node.inputs} if depth else {None}
    return sources.pop() if len(sources) == 1 else None


def _follow(value: Value, source: Value, sizes: dict[str, int]) -> Array | None:
    """Which row of `source` each row of `value` is, for these sizes; None where rows are taken apart."""

    def concrete(shape: tuple[DimLike, ...]) -> list[int]:
        return [*(evaluate(dim, sizes) for dim in shape[:-1]), 1]

    if value is source:
        shape = concrete(source.shape)
        return np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)
    node = value.producer
    if node is None:
        return None
    last = value.type.rank - 1
    parts: list[Array] = []
    for x in node.inputs:
        rows = _follow(x, source, sizes) if x is not None and x.shape[-1] == value.shape[-1] else None
        if rows is None:
            return None
        parts.append(rows)
    if node.op.name == "reshape":
        return parts[0].reshape(concrete(value.shape))
    if node.op.name == "permute":
        dims = [dim % (last + 1) for dim in node.attrs["dims"]]
        return parts[0].transpose(dims) if dims[-1] == last else None
    if node.op.name == "concat":
        axis = node.attrs["dim"] % (last + 1)
        return np.concatenate(parts, axis) if axis != last else None
    cut = [slice(None)] * (last + 1)
    for axis, start, end, step in zip(*(node.attrs[key] for key in ("axes", "starts", "ends", "steps")), strict=True):
        cut[axis % (last + 1)] = slice(evaluate(start, sizes), evaluate(end, sizes), step)
    return parts[0][tuple(cut)] if cut[-1] == slice(None) else None


def _masks(mask: Value | None, windows: int, batch: DimLike) -> tuple[Array | None, Array | None] | None:
    """What is added to the scores of every window, [H, L, L], and of single windows, [W, L, L]; None if neither."""
    bias: Array | None = None
    own: Array | None = None
    for term in _terms(mask):
        array = _constant(_without_batch(term, batch))
        if array is None or array.dtype.kind != "f":
            return None
        array = array.reshape((1,) * (4 - array.ndim) + array.shape) if array.ndim < 4 else array
        if array.shape[0] == 1:
            bias = array[0] if bias is None else bias + array[0]
        elif array.shape[:2] == (windows, 1):
            own = array[:, 0] if own is None else own + array[:, 0]
        else:
            return None
    return bias, own


def _terms(mask: Value | None) -> Iterator[Value]:
    if mask is None:
        return
    node = mask.producer
    if node is not None and node.op.name == "add":
        for value in node.inputs:
            yield from _terms(value)
    else:
        yield mask


def _without_batch(term: Value, batch: DimLike) -> Value:
    """A mask of windows before it was repeated for every image."""
    node = term.producer
    inner = node.inputs[0].producer if node is not None and node.op.name == "reshape" and node.inputs[0] else None
    if inner is None or inner.op.name != "expand" or inner.inputs[0] is None or inner.output.shape[0] != batch:
        return term
    one = inner.inputs[0]
    if one.type.rank != 5 or one.shape[:2] != (1, inner.output.shape[1]) or one.shape[1:] != inner.output.shape[1:]:
        return term
    b = GraphBuilder()
    out: Value = b.reshape(one, shape=one.shape[1:])
    return out


def _constant(value: Value) -> Array | None:
    """The array of a value that depends on constants only."""
    if value.data is not None:
        return value.data
    node = value.producer
    if node is None or not value.type.is_static or len(node.outputs) != 1:
        return None
    if np.prod(value.type.static_shape(), dtype=np.int64) > LARGEST:
        return None
    inputs: list[Array | None] = []
    for x in node.inputs:
        array = None if x is None else _constant(x)
        if x is not None and array is None:
            return None
        inputs.append(array)
    (out,) = node.op.run_reference(inputs, node.attrs)
    return np.asarray(out).astype(value.dtype)


_RULES: Rules = {"reshape": (_match,), "concat": (_match,)}
