"""What shape inference shares between families: broadcasting, axes, reductions and checks of dtypes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import ShapeError
from ..types import DimLike, TensorType

FLOAT = "f"
INTEGER = "iu"
NUMBER = "fiu"
BOOL = "b"
ANY = "fiub"

_KINDS = {
    FLOAT: "floating point",
    INTEGER: "integer",
    NUMBER: "numeric",
    BOOL: "bool",
}


def check_kind(name: str, type: TensorType, kinds: str) -> None:
    """Raises ShapeError unless the dtype is one of `kinds` (characters of `np.dtype.kind`)."""
    if type.dtype.kind not in kinds:
        raise ShapeError(f"{name} is {type.dtype}, must be {_KINDS[kinds]}")


def check_same_dtype(first: str, a: TensorType, second: str, b: TensorType) -> None:
    if a.dtype != b.dtype:
        raise ShapeError(f"{first} is {a.dtype}, but {second} is {b.dtype}")


def check_vector(name: str, type: TensorType, dtype: np.dtype[np.generic], length: DimLike) -> None:
    """Raises ShapeError unless `type` is ``dtype[length]``."""
    if type.dtype != dtype or type.shape != (length,):
        raise ShapeError(f"{name} is {type}, must be {dtype}[{length}]")


def broadcast_dims(a: DimLike, b: DimLike) -> DimLike:
    """The common size: equal, or one of both is 1. A symbol and another number never fit, whatever its value."""
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    raise ShapeError(f"dimensions {a} and {b} do not broadcast")


def broadcast_shapes(*shapes: Sequence[DimLike]) -> tuple[DimLike, ...]:
    """NumPy's rule: aligned at the end, sizes equal or 1."""
    rank = max(map(len, shapes))
    out: list[DimLike] = [1] * rank
    for shape in shapes:
        for i, dim in enumerate(shape, start=rank - len(shape)):
            out[i] = broadcast_dims(out[i], dim)
    return tuple(out)


def normalize_axis(dim: int, rank: int) -> int:
    """`dim` counted from the front. Raises ShapeError where there is no such axis."""
    if not -rank <= dim < rank:
        raise ShapeError(f"dim {dim} of a tensor with {rank} dimensions")
    return dim % rank


def normalize_axes(dims: Iterable[int], rank: int) -> tuple[int, ...]:
    """Sorted axes counted from the front; none given means all. Raises ShapeError for a repeated axis."""
    axes = sorted(normalize_axis(dim, rank) for dim in dims)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"dim {list(dims)} names an axis twice")
    return tuple(axes) or tuple(range(rank))


def reduced_shape(shape: Sequence[DimLike], axes: Sequence[int], keepdim: bool) -> tuple[DimLike, ...]:
    """`shape` with the (normalized) `axes` gone, or 1 with `keepdim`."""
    if keepdim:
        return tuple(1 if i in axes else dim for i, dim in enumerate(shape))
    return tuple(dim for i, dim in enumerate(shape) if i not in axes)


def check_not_empty(shape: Sequence[DimLike], axes: Iterable[int]) -> None:
    """Raises ShapeError where nothing would be reduced by an operator without an identity."""
    for axis in axes:
        if shape[axis] == 0:
            raise ShapeError(f"dim {axis} is empty")
