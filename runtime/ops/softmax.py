"""Softmax and its relatives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..types import TensorType
from .opdef import Array, Attr, Case, define
from .reduce import DIMS, KEEPDIM
from .samples import sample
from .shapes import FLOAT, check_kind, check_not_empty, normalize_axes, normalize_axis, reduced_shape

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value

_MASKED = np.array([[-np.inf, 1.0, -np.inf], [2.0, -np.inf, 3.0], [1e3, -1e3, 0.0]], np.float32)


def _infer(x: TensorType, dim: int) -> TensorType:
    check_kind("x", x, FLOAT)
    normalize_axis(dim, x.rank)
    return x


def softmax(x: Array, dim: int) -> Array:
    """Reference of `softmax`."""
    e = np.exp(x - np.max(x, axis=dim, keepdims=True, initial=-np.inf))
    return np.asarray(e / np.sum(e, axis=dim, keepdims=True))


def _log_softmax(x: Array, dim: int) -> Array:
    shifted = x - np.max(x, axis=dim, keepdims=True, initial=-np.inf)
    return np.asarray(shifted - np.log(np.sum(np.exp(shifted), axis=dim, keepdims=True)))


def _logsumexp(x: Array, dim: Sequence[int], keepdim: bool) -> Array:
    axes = normalize_axes(dim, x.ndim)
    top = np.max(x, axis=axes, keepdims=True)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    out = np.log(np.sum(np.exp(x - top), axis=axes, keepdims=True)) + top
    return out if keepdim else np.asarray(np.squeeze(out, axis=axes))


def _cases() -> Iterator[Case]:
    for shape, dim in (((1,), 0), ((7,), -1), ((3, 65), 1), ((65, 3), 0), ((2, 3, 5, 7), 1), ((0, 5), 1), ((5, 0), 0)):
        yield Case((sample(shape, low=-9, high=9),), {"dim": dim})
    yield Case((sample((4, 33), np.float64),), {"dim": 1})
    yield Case((_MASKED,), {"dim": 1})


def _logsumexp_cases() -> Iterator[Case]:
    for shape, dim, keepdim in (
        ((7,), (0,), False),
        ((3, 65), (-1,), True),
        ((2, 3, 5), (0, 2), False),
        ((4, 5), (), False),
    ):
        yield Case((sample(shape, low=-9, high=9),), {"dim": dim, "keepdim": keepdim})
    yield Case((_MASKED,), {"dim": (1,)})
    yield Case((np.full((2, 3), -np.inf, np.float32),), {"dim": (1,)})


def _sums_to_one(out: Array, dim: int) -> bool:
    sums = np.sum(out.astype(np.float64), axis=dim)
    return bool(np.all(out >= 0) and (not out.size or np.allclose(sums, 1, atol=1e-5)))


def _decompose_softmax(b: GraphBuilder, x: Value, dim: int) -> Value:
    e = b.exp(b.sub(x, b.amax(x, dim=(dim,), keepdim=True)))
    return b.div(e, b.sum(e, dim=(dim,), keepdim=True))  # type: ignore[no-any-return]


def _decompose_log_softmax(b: GraphBuilder, x: Value, dim: int) -> Value:
    shifted = b.sub(x, b.amax(x, dim=(dim,), keepdim=True))
    return b.sub(shifted, b.log(b.sum(b.exp(shifted), dim=(dim,), keepdim=True)))  # type: ignore[no-any-return]


def _decompose_logsumexp(b: GraphBuilder, x: Value, dim: Sequence[int], keepdim: bool) -> Value:
    lowest, highest = (float(bound) for bound in (np.finfo(x.dtype).min, np.finfo(x.dtype).max))
    top = b.clamp(b.amax(x, dim=dim, keepdim=True), min=lowest, max=highest)
    out = b.add(b.log(b.sum(b.exp(b.sub(x, top)), dim=dim, keepdim=True)), top)
    return out if keepdim else b.amax(out, dim=dim)  # type: ignore[no-any-return]


define(
    "softmax",
    family="softmax",
    inputs=("x",),
    attrs={"dim": Attr("int")},
    infer=_infer,
    reference=softmax,
    decompose=_decompose_softmax,
    cases=_cases,
    doc="exp(x) / sum(exp(x)) along `dim`; NaN where all of x is -inf.",
    aten="softmax.int",
    invariant=_sums_to_one,
)

define(
    "log_softmax",
    family="softmax",
    inputs=("x",),
    attrs={"dim": Attr("int")},
    infer=_infer,
    reference=_log_softmax,
    decompose=_decompose_log_softmax,
    cases=_cases,
    doc="log(softmax(x)) along `dim`.",
    aten="log_softmax.int",
    invariant=lambda out, dim: bool(np.all(out <= 0)),
)


def _infer_logsumexp(x: TensorType, dim: Sequence[int], keepdim: bool) -> TensorType:
    check_kind("x", x, FLOAT)
    axes = normalize_axes(dim, x.rank)
    check_not_empty(x.shape, axes)
    return x.with_shape(reduced_shape(x.shape, axes, keepdim))


define(
    "logsumexp",
    family="softmax",
    inputs=("x",),
    attrs={"dim": DIMS, "keepdim": KEEPDIM},
    infer=_infer_logsumexp,
    reference=_logsumexp,
    decompose=_decompose_logsumexp,
    cases=_logsumexp_cases,
    doc="log(sum(exp(x))) along `dim`.",
    aten="logsumexp.default",
)
