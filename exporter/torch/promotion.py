"""PyTorch's rules for the dtype of a result, on graph values and Python numbers."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter, ShapeTensor, Term
from rushlight.runtime.ir import Value
from rushlight.runtime.types import Dim


def _category(dtype: np.dtype[Any]) -> int:
    return {"b": 0, "i": 1, "u": 1, "f": 2}[dtype.kind]


def _promote(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    if a == b:
        return a
    if _category(a) != _category(b):
        return a if _category(a) > _category(b) else b
    if {a.name, b.name} == {"uint8", "int8"}:
        return np.dtype(np.int16)
    return np.promote_types(a, b)


def _number_dtype(number: Any) -> np.dtype[Any]:
    if isinstance(number, bool):
        return np.dtype(np.bool_)
    return np.dtype(np.float32) if isinstance(number, float) else np.dtype(np.int64)


def result_dtype(*operands: Any) -> np.dtype[Any]:
    """The common dtype: tensors with axes first, then 0-d tensors, then numbers, which can only raise the category."""
    groups: list[list[np.dtype[Any]]] = [[], [], []]
    for operand in operands:
        if isinstance(operand, (Value, ShapeTensor)):
            groups[0 if operand.type.rank else 1].append(operand.type.dtype)
        elif operand is not None:
            groups[2].append(_number_dtype(operand))
    winners = [reduce(_promote, group) for group in groups if group]
    return reduce(lambda first, later: later if _category(later) > _category(first) else first, winners)


def to_value(b: Emitter, operand: Term | Dim | float, dtype: Any) -> Value:
    """An operand as a value of `dtype`; numbers and dimensions become scalars."""
    if isinstance(operand, (Value, ShapeTensor)):
        return b.cast(operand, dtype)
    if isinstance(operand, Dim):
        return b.cast(ShapeTensor(operand), dtype)
    return b.constant(np.asarray(operand).astype(dtype), "scalar")


def promoted(b: Emitter, *operands: Any) -> list[Value]:
    """Operands as values of their common dtype."""
    dtype = result_dtype(*operands)
    return [to_value(b, operand, dtype) for operand in operands]
