"""Attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .opdef import Array, Attr, Case, define
from .samples import sample
from .shapes import FLOAT, broadcast_shapes, check_kind, check_same_dtype

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value


ROWS_FIRST = (0, 2, 1, 3)
"""The order of [B, H, L, D] in which rows come first, and back."""


def infer_attention(
    q: TensorType,
    k: TensorType,
    v: TensorType,
    mask: TensorType | None = None,
    *,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
    rows_first: bool,
) -> TensorType:
    check_kind("q", q, FLOAT)
    check_same_dtype("q", q, "k", k)
    check_same_dtype("q", q, "v", v)
    if not q.rank == k.rank == v.rank == 4:
        raise ShapeError(f"q {q}, k {k} and v {v} must be [B, H, L, D]")
    if rows_first:
        q, k, v = (x.with_shape([x.shape[axis] for axis in ROWS_FIRST]) for x in (q, k, v))
    if k.shape[:3] != v.shape[:3] or q.shape[3] != k.shape[3] or q.shape[0] != k.shape[0]:
        raise ShapeError(f"q {q}, k {k} and v {v} do not fit")
    heads, shared = q.shape[1], k.shape[1]
    if heads != shared:
        whole = isinstance(heads, int) and isinstance(shared, int) and shared > 0 and heads % shared == 0
        if not (enable_gqa and whole):
            raise ShapeError(f"{heads} heads of q and {shared} of k")
    if scale is None and not isinstance(q.shape[3], int):
        raise ShapeError("scale is needed where the width of a head is symbolic")
    if scale is None and q.shape[3] == 0:
        raise ShapeError("scale is needed where the width of a head is 0")
    if mask is not None:
        if mask.dtype.kind != "b":
            check_same_dtype("mask", mask, "q", q)
        scores = (*q.shape[:3], k.shape[2])
        if broadcast_shapes(scores, mask.shape) != scores:
            raise ShapeError(f"mask {mask} does not broadcast to the scores {scores}")
    out = (*q.shape[:3], v.shape[3])
    return q.with_shape([out[axis] for axis in ROWS_FIRST] if rows_first else out)


def repeat_heads(x: Array, heads: int) -> Array:
    return x if x.shape[1] == heads else np.repeat(x, heads // x.shape[1], axis=1)


def _reference(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    *,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
    rows_first: bool,
) -> Array:
    if rows_first:
        q, k, v = (x.transpose(ROWS_FIRST) for x in (q, k, v))
    k, v = (repeat_heads(x, q.shape[1]) for x in (k, v))
    factor = scale if scale is not None else q.shape[-1] ** -0.5
    scores = (q @ k.swapaxes(-1, -2)) * factor
    if mask is not None:
        scores = np.where(mask, scores, -np.inf).astype(q.dtype) if mask.dtype.kind == "b" else scores + mask
    if is_causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf).astype(q.dtype)
    peak = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    weights = np.exp(scores - np.where(np.isneginf(peak), 0, peak))
    total = weights.sum(axis=-1, keepdims=True)
    out: Array = (weights / np.where(total == 0, 1, total)) @ v
    return out.transpose(ROWS_FIRST) if rows_first else out


def _decompose(
    b: GraphBuilder,
    q: Value,
    k: Value,
    v: Value,
    mask: Value | None = None,
    *,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
    rows_first: bool,
) -> Value:
    """Two products and a softmax, whose weights at masked places are set to 0 again: no row becomes NaN."""
    if rows_first:
        q, k, v = (b.permute(x, dims=ROWS_FIRST) for x in (q, k, v))
    heads = q.shape[1]
    if heads != k.shape[1]:
        batch, shared, length, _ = k.shape
        apart = [b.reshape(x, shape=(batch, shared, 1, length, x.shape[3])) for x in (k, v)]
        wide = [b.expand(x, shape=(batch, shared, heads // shared, length, x.shape[4])) for x in apart]
        k, v = (b.reshape(x, shape=(batch, heads, length, x.shape[4])) for x in wide)
    number = q.dtype.type
    factor = scale if scale is not None else q.shape[3] ** -0.5
    scores = b.mul(b.matmul(q, b.permute(k, dims=(0, 1, 3, 2))), number(factor))
    seen: list[Value] = []
    if mask is not None:
        if mask.dtype.kind == "b":
            seen.append(mask)
        else:
            scores = b.add(scores, mask)
            seen.append(b.gt(mask, number(-np.inf)))
    if is_causal:
        seen.append(b.tril(b.full(shape=scores.shape[2:], value=1.0, dtype="bool")))
    for keep in seen:
        scores = b.where(keep, scores, number(-np.inf))
    weights = b.softmax(scores, dim=-1)
    for keep in seen:
        weights = b.where(keep, weights, number(0))
    out: Value = b.matmul(weights, v)
    return b.permute(out, dims=ROWS_FIRST) if rows_first else out


def attention_cases() -> Iterator[Case]:
    def case(
        q: Sequence[int], k: Sequence[int], width: int | None = None, mask: Array | None = None, **attrs: Any
    ) -> Case:
        v = (*k[:3], width or k[3])
        return Case((sample(q, seed=1), sample(k, seed=2), sample(v, seed=3), mask), attrs)

    yield case((1, 2, 5, 8), (1, 2, 7, 8))
    yield case((2, 3, 9, 16), (2, 3, 9, 16), is_causal=True)
    yield case((1, 4, 3, 7), (1, 2, 5, 7), enable_gqa=True, scale=0.3)
    yield case((1, 1, 1, 1), (1, 1, 1, 1))
    yield case((2, 2, 4, 8), (2, 2, 6, 8), 5, mask=sample((2, 1, 4, 6), bool))
    yield case((2, 2, 4, 8), (2, 2, 6, 8), mask=sample((4, 6)))
    yield case((1, 2, 33, 64), (1, 2, 65, 64), mask=sample((1, 2, 1, 65), bool), is_causal=True)
    yield case((2, 5, 2, 8), (2, 7, 2, 8), 3, mask=sample((2, 1, 5, 7), bool), rows_first=True)
    none_left = np.ones((3, 4), bool)
    none_left[1] = False
    yield case((1, 1, 3, 4), (1, 1, 4, 4), mask=none_left)


scaled_dot_product_attention = define(
    "scaled_dot_product_attention",
    family="attention",
    inputs=("q", "k", "v", "mask?"),
    attrs={
        "is_causal": Attr("bool", False, "query i sees keys 0 to i"),
        "scale": Attr("float", None, "1 / sqrt(D) where absent", optional=True),
        "enable_gqa": Attr("bool", False, "neighbouring heads of q share a head of k and v"),
        "rows_first": Attr("bool", False, "q, k, v and the result are [B, L, H, D]"),
    },
    infer=infer_attention,
    reference=_reference,
    decompose=_decompose,
    cases=attention_cases,
    doc="softmax(q kᵀ scale + mask) v for [B, H, L, D]; a bool mask keeps what is true. A row without a key gives 0.",
)


def infer_windows(
    q: TensorType,
    k: TensorType,
    v: TensorType,
    rows: TensorType,
    bias: TensorType | None = None,
    mask: TensorType | None = None,
    *,
    scale: float | None,
) -> TensorType:
    if rows.dtype != np.int64 or rows.rank != 2:
        raise ShapeError(f"rows {rows} must be int64 [W, L]")
    out = infer_attention(q, k, v, is_causal=False, scale=scale, enable_gqa=False, rows_first=True)
    windows, length = rows.shape
    if q.shape[1] != k.shape[1] or q.shape[1] != windows * length:
        raise ShapeError(f"rows {rows} are not those of q {q} and k {k}")
    for name, value, first in (("bias", bias, q.shape[2]), ("mask", mask, windows)):
        if value is None:
            continue
        check_same_dtype(name, value, "q", q)
        scores = (first, length, length)
        if value.rank != 3 or broadcast_shapes(scores, value.shape) != scores:
            raise ShapeError(f"{name} {value} does not broadcast to {scores}")
    return out


def _window_reference(
    q: Array,
    k: Array,
    v: Array,
    rows: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    scale: float | None,
) -> Array:
    out = np.zeros((*q.shape[:3], v.shape[3]), q.dtype)
    for window, chosen in enumerate(rows):
        total = np.zeros((1, 1, 1), q.dtype)
        if bias is not None:
            total = total + bias
        if mask is not None:
            total = total + mask[window if len(mask) > 1 else 0]
        out[:, chosen] = _reference(
            q[:, chosen],
            k[:, chosen],
            v[:, chosen],
            total[None],
            is_causal=False,
            scale=scale,
            enable_gqa=False,
            rows_first=True,
        )
    return out


def window_cases() -> Iterator[Case]:
    def case(batch: int, heads: int, rows: Sequence[Sequence[int]], width: int, *masks: Array, **attrs: Any) -> Case:
        windows, length = np.shape(rows)
        q, k, v = (sample((batch, windows * length, heads, width), seed=i) for i in range(3))
        return Case((q, k, v, np.array(rows, np.int64), *masks), attrs)

    yield case(2, 2, [[0, 2, 4], [5, 3, 1]], 8)
    yield case(1, 3, [[3, 1], [0, 2], [4, 5]], 5, sample((3, 2, 2), seed=4), scale=0.5)
    yield case(2, 2, [[1, 0, 3, 2]], 16, sample((1, 4, 4), seed=5), sample((1, 4, 4), seed=6))
    order = np.random.default_rng(1).permutation(4 * 49).reshape(4, 49)
    yield case(1, 2, order.tolist(), 32, sample((2, 49, 49), seed=7), sample((4, 49, 49), seed=8))


window_attention = define(
    "window_attention",
    family="attention",
    inputs=("q", "k", "v", "rows", "bias?", "mask?"),
    attrs={"scale": Attr("float", None, "1 / sqrt(D) where absent", optional=True)},
    infer=infer_windows,
    reference=_window_reference,
    cases=window_cases,
    doc="Attention for [B, T, H, D] among the rows of each window: rows [W, L] holds each of 0 to T - 1 once. "
    "softmax(q kᵀ scale + bias + mask) v with bias [H, L, L] and mask [W, L, L].",
)
