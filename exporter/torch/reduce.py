"""Reductions, softmax, searches and sums along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter, ShapeTensor
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value

Dims = Any
"""None (all axes), an axis or a list of axes."""


def _reduce(b: Emitter, op: str, x: Value, dim: Dims, keepdim: bool) -> Value:
    axes = (
        tuple(range(x.type.rank)) if dim is None or dim in ([], ()) else (dim,) if isinstance(dim, int) else tuple(dim)
    )
    if x.type.rank == 0:
        return x
    return b.add_node(op, [x], {"dim": axes, "keepdim": keepdim})[0]


def _floating(b: Emitter, x: Value, dtype: Any) -> Value:
    if dtype is not None:
        return b.cast(x, dtype)
    return x if x.dtype.kind == "f" else b.cast(x, np.float32)


def _integral(b: Emitter, x: Value, dtype: Any) -> Value:
    if dtype is not None:
        return b.cast(x, dtype)
    return x if x.dtype.kind == "f" else b.cast(x, np.int64)


def sum_(b: Emitter, x: Value, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Value:
    return _reduce(b, "sum", _integral(b, x, dtype), dim, keepdim)


def mean(b: Emitter, x: Value, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Value:
    return _reduce(b, "mean", _floating(b, x, dtype), dim, keepdim)


def prod(b: Emitter, x: Value, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Value:
    return _reduce(b, "prod", _integral(b, x, dtype), dim, keepdim)


def amax(b: Emitter, x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    return _reduce(b, "amax", x, dim, keepdim)


def amin(b: Emitter, x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    return _reduce(b, "amin", x, dim, keepdim)


def max_(b: Emitter, x: Value, dim: Any = None, keepdim: bool = False) -> Any:
    return _extreme(b, "amax", "argmax", "maximum", x, dim, keepdim)


def min_(b: Emitter, x: Value, dim: Any = None, keepdim: bool = False) -> Any:
    return _extreme(b, "amin", "argmin", "minimum", x, dim, keepdim)


def _extreme(b: Emitter, reduction: str, search: str, binary: str, x: Value, dim: Any, keepdim: bool) -> Any:
    if isinstance(dim, Value):
        return b.add_broadcast(binary, [x, dim])
    if dim is None:
        return _reduce(b, reduction, x, None, False)
    found = b.add_node(search, [x], {"dim": dim, "keepdim": keepdim})[0]
    return _reduce(b, reduction, x, dim, keepdim), found


def any_(b: Emitter, x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    return _reduce(b, "any", b.cast(x, np.bool_), dim, keepdim)


def all_(b: Emitter, x: Value, dim: Dims = None, keepdim: bool = False) -> Value:
    return _reduce(b, "all", b.cast(x, np.bool_), dim, keepdim)


def _search(b: Emitter, op: str, x: Value, dim: int | None, keepdim: bool) -> Value:
    if dim is None:
        x, dim = b.reshape(x, (x.type.size,)), 0
    return b.add_node(op, [x], {"dim": dim, "keepdim": keepdim})[0]


def argmax(b: Emitter, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    return _search(b, "argmax", x, dim, keepdim)


def argmin(b: Emitter, x: Value, dim: int | None = None, keepdim: bool = False) -> Value:
    return _search(b, "argmin", x, dim, keepdim)


def cumsum(b: Emitter, x: Value, dim: int, *, dtype: Any = None) -> Value:
    return b.cumsum(_integral(b, x, dtype), dim=dim)  # type: ignore[no-any-return]


def _variance(b: Emitter, x: Value, dim: Dims, correction: Any, keepdim: bool) -> tuple[Value, Value]:
    center = _reduce(b, "mean", x, dim, True)
    squares = b.square(b.sub(x, center))
    kept = _reduce(b, "mean", squares, dim, keepdim)
    center = center if keepdim else b.reshape(center, kept.shape)
    if correction in (None, 1) or correction:
        axes = range(x.type.rank) if dim is None else [dim] if isinstance(dim, int) else dim
        count: Any = 1
        for axis in axes:
            count = count * x.shape[axis]
        less = 1 if correction is None else int(correction)
        total, divisor = (b.cast(ShapeTensor(size), x.dtype) for size in (count, count - less))
        kept = b.mul(kept, b.div(total, divisor))
    return kept, center


def _correction(dim: Any, unbiased: Any, correction: Any) -> tuple[Any, Any]:
    """The overloads: (unbiased), (dim, unbiased, keepdim) and (dim, correction=, keepdim=)."""
    if isinstance(dim, bool):
        return None, int(dim)
    return dim, int(unbiased) if isinstance(unbiased, bool) else correction


def var(
    b: Emitter, x: Value, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = 1
) -> Value:
    axes, less = _correction(dim, unbiased, correction)
    return _variance(b, x, axes, less, keepdim)[0]


def std(
    b: Emitter, x: Value, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = 1
) -> Value:
    return b.sqrt(var(b, x, dim, unbiased, keepdim, correction=correction))  # type: ignore[no-any-return]


def var_mean(
    b: Emitter, x: Value, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = 1
) -> tuple[Value, Value]:
    axes, less = _correction(dim, unbiased, correction)
    return _variance(b, x, axes, less, keepdim)


def linalg_vector_norm(
    b: Emitter, x: Value, order: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None
) -> Value:
    x = _floating(b, x, dtype)
    if order == 2:
        return b.sqrt(_reduce(b, "sum", b.square(x), dim, keepdim))  # type: ignore[no-any-return]
    if order == 1:
        return _reduce(b, "sum", b.abs(x), dim, keepdim)
    if order == float("inf"):
        return _reduce(b, "amax", b.abs(x), dim, keepdim)
    raise UnsupportedError(f"of order {order}")


def norm(b: Emitter, x: Value, p: Any = 2, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Value:
    return linalg_vector_norm(b, x, 2 if p is None else p, dim, keepdim, dtype=dtype)


def softmax(b: Emitter, x: Value, dim: int, dtype: Any = None) -> Value:
    return b.softmax(_floating(b, x, dtype), dim=dim)  # type: ignore[no-any-return]


def _softmax(b: Emitter, x: Value, dim: int, half_to_float: bool) -> Value:
    return softmax(b, x, dim)


def log_softmax(b: Emitter, x: Value, dim: int, dtype: Any = None) -> Value:
    return b.log_softmax(_floating(b, x, dtype), dim=dim)  # type: ignore[no-any-return]


def _log_softmax(b: Emitter, x: Value, dim: int, half_to_float: bool) -> Value:
    return log_softmax(b, x, dim)


def logsumexp(b: Emitter, x: Value, dim: Dims, keepdim: bool = False) -> Value:
    return _reduce(b, "logsumexp", x, dim, keepdim)


def topk(b: Emitter, x: Value, k: Any, dim: int = -1, largest: bool = True, ordered: bool = True) -> Any:
    if not isinstance(k, int):
        raise UnsupportedError(f"of the dynamic number {k}")
    return b.topk(x, k=k, dim=dim, largest=largest, sorted=ordered)


def sort(b: Emitter, x: Value, dim: int = -1, descending: bool = False) -> Any:
    return topk(b, x, x.shape[dim], dim, descending)


def argsort(b: Emitter, x: Value, dim: int = -1, descending: bool = False) -> Value:
    return sort(b, x, dim, descending)[1]  # type: ignore[no-any-return]
