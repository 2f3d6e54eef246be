"""Tensors made of sizes and numbers, and conversions of dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter, ShapeTensor, Term
from rushlight.exporter.torch.promotion import to_value
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import Dim, DimLike


def _full(b: Emitter, shape: Sequence[DimLike], value: Any, dtype: Any) -> Value:
    if isinstance(value, (Value, ShapeTensor, Dim)):
        scalar = to_value(b, value, dtype)
        return b.expand(scalar, shape=tuple(shape)) if shape else scalar
    return b.full(shape=tuple(shape), value=float(value), dtype=np.dtype(dtype).name)  # type: ignore[no-any-return]


def full(b: Emitter, shape: Sequence[DimLike], value: Any, *, dtype: Any = None, **options: Any) -> Value:
    if dtype is None:
        dtype = np.bool_ if isinstance(value, bool) else np.float32 if isinstance(value, float) else np.int64
    return _full(b, shape, value, dtype)


def zeros(b: Emitter, shape: Sequence[DimLike], *, dtype: Any = np.float32, **options: Any) -> Value:
    return _full(b, shape, 0, dtype or np.float32)


def ones(b: Emitter, shape: Sequence[DimLike], *, dtype: Any = np.float32, **options: Any) -> Value:
    return _full(b, shape, 1, dtype or np.float32)


def empty(b: Emitter, shape: Sequence[DimLike], *, dtype: Any = np.float32, **options: Any) -> Value:
    return _full(b, shape, 0, dtype or np.float32)


def full_like(b: Emitter, x: Value, value: Any, *, dtype: Any = None, **options: Any) -> Value:
    return _full(b, x.shape, value, dtype or x.dtype)


def zeros_like(b: Emitter, x: Value, *, dtype: Any = None, **options: Any) -> Value:
    return _full(b, x.shape, 0, dtype or x.dtype)


def ones_like(b: Emitter, x: Value, *, dtype: Any = None, **options: Any) -> Value:
    return _full(b, x.shape, 1, dtype or x.dtype)


def empty_like(b: Emitter, x: Value, *, dtype: Any = None, **options: Any) -> Value:
    return _full(b, x.shape, 0, dtype or x.dtype)


def new_full(b: Emitter, x: Value, shape: Sequence[DimLike], value: Any, *, dtype: Any = None, **options: Any) -> Value:
    return _full(b, shape, value, dtype or x.dtype)


def new_zeros(b: Emitter, x: Value, shape: Sequence[DimLike], *, dtype: Any = None, **options: Any) -> Value:
    return _full(b, shape, 0, dtype or x.dtype)


def new_ones(b: Emitter, x: Value, shape: Sequence[DimLike], *, dtype: Any = None, **options: Any) -> Value:
    return _full(b, shape, 1, dtype or x.dtype)


def new_empty(b: Emitter, x: Value, shape: Sequence[DimLike], *, dtype: Any = None, **options: Any) -> Value:
    return _full(b, shape, 0, dtype or x.dtype)


def scalar_tensor(b: Emitter, value: Any, *, dtype: Any = None, **options: Any) -> Value:
    return to_value(b, value, dtype or np.float32)


def arange(b: Emitter, start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, **options: Any) -> Value:
    if end is None:
        start, end = 0, start
    if any(isinstance(limit, float) for limit in (start, end, step)):
        if any(isinstance(limit, Dim) for limit in (start, end, step)):
            raise UnsupportedError("of dimensions and fractions")
        return b.constant(np.arange(start, end, step).astype(dtype or np.float32))
    return b.arange(bounds=(start, end, step), dtype=np.dtype(dtype or np.int64).name)  # type: ignore[no-any-return]


def linspace(b: Emitter, start: Any, end: Any, steps: Any, *, dtype: Any = None, **options: Any) -> Value:
    if not isinstance(steps, int) or isinstance(start, Value) or isinstance(end, Value):
        raise UnsupportedError("of limits that are not fixed")
    return b.constant(np.linspace(start, end, steps).astype(dtype or np.float32))


def eye(b: Emitter, rows: Any, columns: Any = None, *, dtype: Any = None, **options: Any) -> Value:
    if isinstance(rows, Dim) or isinstance(columns, Dim):
        raise UnsupportedError("of a dynamic size")
    return b.constant(np.eye(rows, columns, dtype=dtype or np.float32))


def to(b: Emitter, x: Value, *args: Any, dtype: Any = None, **options: Any) -> Value:
    """The overloads take the dtype by name, a dtype first, a device first, or another tensor."""
    for argument in args:
        if isinstance(argument, np.dtype):
            dtype = argument
        elif isinstance(argument, Value):
            dtype = argument.dtype
    return x if dtype is None else _convert(b, x, dtype)


def _to_copy(b: Emitter, x: Value, *, dtype: Any = None, **options: Any) -> Value:
    return x if dtype is None else _convert(b, x, dtype)


def _convert(b: Emitter, x: Value, dtype: Any) -> Value:
    if np.dtype(dtype).kind == "b" and x.dtype.kind != "b":
        return b.ne(x, b.scalar(0, x))  # type: ignore[no-any-return]
    return b.cast(x, dtype)


def type_as(b: Emitter, x: Value, other: Value) -> Value:
    return _convert(b, x, other.dtype)


def clone(b: Emitter, x: Term, **options: Any) -> Term:
    return x


def contiguous(b: Emitter, x: Term, **options: Any) -> Term:
    return x


def detach(b: Emitter, x: Term) -> Term:
    return x


def alias(b: Emitter, x: Term) -> Term:
    return x


def lift_fresh_copy(b: Emitter, x: Term) -> Term:
    return x


def positive(b: Emitter, x: Term) -> Term:
    return x


def item(b: Emitter, x: Term) -> Any:
    """The element of a constant, as a number."""
    return b.array(x, "the tensor").item()


def _local_scalar_dense(b: Emitter, x: Term) -> Any:
    return item(b, x)
