"""Reductions along dimensions, and running sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..types import TensorType
from .opdef import Array, Attr, Case, define
from .samples import sample
from .shapes import BOOL, FLOAT, NUMBER, check_kind, check_not_empty, normalize_axes, normalize_axis, reduced_shape

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value

DIMS = Attr("ints", (), "dimensions to reduce; none given means all")
KEEPDIM = Attr("bool", False, "reduced dimensions stay, with size 1")
_ATTRS = {"dim": DIMS, "keepdim": KEEPDIM}


def _infer(kinds: str, has_identity: bool) -> Callable[..., TensorType]:
    def infer(x: TensorType, dim: Sequence[int], keepdim: bool) -> TensorType:
        check_kind("x", x, kinds)
        axes = normalize_axes(dim, x.rank)
        if not has_identity:
            check_not_empty(x.shape, axes)
        return x.with_shape(reduced_shape(x.shape, axes, keepdim))

    return infer


def _reference(function: Callable[..., Any]) -> Callable[..., Array]:
    def reference(x: Array, dim: Sequence[int], keepdim: bool) -> Array:
        out = function(x, axis=normalize_axes(dim, x.ndim), keepdims=keepdim)
        return np.asarray(out).astype(x.dtype, copy=False)

    return reference


def _cases(kinds: str, has_identity: bool, low: float = -4) -> Callable[[], Iterator[Case]]:
    def cases() -> Iterator[Case]:
        first = bool if kinds == BOOL else np.float32
        for shape, dim, keepdim in (
            ((), (), False),
            ((1,), (0,), False),
            ((131,), (-1,), True),
            ((3, 64), (1,), False),
            ((3, 65), (0,), False),
            ((2, 3, 5, 7), (2, 3), True),
            ((2, 3, 5, 7), (-1, 1), False),
            ((2, 3, 5, 7), (), False),
            ((2, 0, 5), (2,), False),
        ):
            yield Case((sample(shape, first, low),), {"dim": dim, "keepdim": keepdim})
        if has_identity:
            yield Case((sample((2, 0, 5), first),), {"dim": (1,)})
        if kinds == NUMBER:
            for dtype in (np.int8, np.uint8, np.int64):
                yield Case((sample((4, 9), dtype),), {"dim": (1,)})
        if kinds != BOOL:
            yield Case((sample((4, 9), np.float64, low),), {"dim": (0,), "keepdim": True})

    return cases


def _decompose_mean(b: GraphBuilder, x: Value, dim: Sequence[int], keepdim: bool) -> Value:
    count: Any = 1
    for axis in normalize_axes(dim, x.type.rank):
        count = count * x.shape[axis]
    size = b.cast(b.dim_values(values=(count,)), dtype=x.dtype.name)
    return b.div(b.sum(x, dim=dim, keepdim=keepdim), b.reshape(size, shape=()))  # type: ignore[no-any-return]


def _mean(x: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    count = int(np.prod([x.shape[i] for i in axis], dtype=np.int64))
    return np.asarray(np.sum(x, axis=axis, keepdims=keepdims) / x.dtype.type(count))


_REDUCTIONS: tuple[tuple[str, Callable[..., Any], str, bool, float, str, dict[str, Any]], ...] = (
    ("sum", np.sum, NUMBER, True, 1e-5, "Sum along `dim`, in the dtype of x.", {}),
    (
        "mean",
        _mean,
        FLOAT,
        True,
        1e-5,
        "Mean along `dim`; NaN where nothing is there.",
        {"decompose": _decompose_mean, "aten": "mean.dim"},
    ),
    (
        "prod",
        np.prod,
        NUMBER,
        True,
        1e-5,
        "Product along `dim`, in the dtype of x.",
        {"cases": _cases(NUMBER, True, 0.9)},
    ),
    ("amax", np.max, NUMBER, False, 0.0, "Largest element along `dim`, NaN if one is.", {"aten": "amax.default"}),
    ("amin", np.min, NUMBER, False, 0.0, "Smallest element along `dim`, NaN if one is.", {"aten": "amin.default"}),
    ("any", np.any, BOOL, True, 0.0, "True where at least one element along `dim` is.", {}),
    ("all", np.all, BOOL, True, 0.0, "True where every element along `dim` is.", {}),
)
for _name, _function, _kinds, _identity, _tolerance, _doc, _fields in _REDUCTIONS:
    define(
        _name,
        family="reduce",
        inputs=("x",),
        attrs=_ATTRS,
        infer=_infer(_kinds, _identity),
        reference=_reference(_function),
        tolerance=_tolerance,
        doc=_doc,
        **{"cases": _cases(_kinds, _identity), **_fields},
    )


def _infer_arg(x: TensorType, dim: int, keepdim: bool) -> TensorType:
    check_kind("x", x, NUMBER)
    axis = normalize_axis(dim, x.rank)
    check_not_empty(x.shape, (axis,))
    return TensorType(np.dtype(np.int64), reduced_shape(x.shape, (axis,), keepdim))


def _arg_cases() -> Iterator[Case]:
    for shape, dim, keepdim in (((7,), 0, False), ((3, 33), -1, True), ((2, 5, 3), 1, False), ((0, 4), 1, False)):
        for dtype in (np.float32, np.int32):
            yield Case((sample(shape, dtype),), {"dim": dim, "keepdim": keepdim})
    yield Case((np.array([[1, np.nan, 3, np.nan]], np.float32),), {"dim": 1})


_POSITIONS: tuple[tuple[str, Callable[..., Any], str], ...] = (
    ("argmax", np.argmax, "Index of the first largest element along `dim`; NaN counts as the largest."),
    ("argmin", np.argmin, "Index of the first smallest element along `dim`; NaN counts as the smallest."),
)
for _name, _function, _doc in _POSITIONS:
    define(
        _name,
        family="reduce",
        inputs=("x",),
        attrs={"dim": Attr("int"), "keepdim": KEEPDIM},
        infer=_infer_arg,
        reference=lambda x, dim, keepdim, function=_function: np.asarray(function(x, axis=dim, keepdims=keepdim)),
        cases=_arg_cases,
        tolerance=0.0,
        doc=_doc,
        aten=f"{_name}.default",
    )


def _infer_cumsum(x: TensorType, dim: int) -> TensorType:
    check_kind("x", x, NUMBER)
    normalize_axis(dim, x.rank)
    return x


cumsum = define(
    "cumsum",
    family="reduce",
    inputs=("x",),
    attrs={"dim": Attr("int")},
    infer=_infer_cumsum,
    reference=lambda x, dim: np.cumsum(x, axis=dim, dtype=x.dtype),
    cases=lambda: (
        Case((sample(shape, dtype),), {"dim": dim})
        for shape, dim in (((65,), 0), ((3, 7), -1), ((2, 3, 5), 1), ((0, 3), 0))
        for dtype in (np.float32, np.int64)
    ),
    doc="Sum of all elements up to each one along `dim`, itself included, in the dtype of x.",
)
