"""Operators that read or write at indices held in tensors, and those that make indices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .opdef import Array, Attr, Case, define
from .shapes import INTEGER, check_kind, check_same_dtype, normalize_axis

REDUCTION = Attr("str", "none", "how a new element meets the old one", choices=("none", "add", "mul", "amax", "amin"))

_UFUNCS: dict[str, np.ufunc] = {"add": np.add, "mul": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _fits_inside(index: TensorType, x: TensorType, axis: int) -> None:
    if index.rank != x.rank:
        raise ShapeError(f"index {index} and x {x} differ in the number of dimensions")
    for i, (a, b) in enumerate(zip(index.shape, x.shape, strict=True)):
        if i != axis and a != b and not (isinstance(a, int) and isinstance(b, int) and a < b):
            raise ShapeError(f"index {index} is not within x {x}")


def _infer_gather(x: TensorType, index: TensorType, *, dim: int) -> TensorType:
    check_kind("index", index, INTEGER)
    _fits_inside(index, x, normalize_axis(dim, x.rank))
    return x.with_shape(index.shape)


def _open_grid(index: Array, dim: int) -> tuple[Array, ...]:
    grid: list[Array] = list(np.meshgrid(*map(np.arange, index.shape), indexing="ij", sparse=True))
    grid[dim] = index
    return tuple(grid)


def _infer_index_select(x: TensorType, index: TensorType, *, dim: int) -> TensorType:
    check_kind("index", index, INTEGER)
    axis = normalize_axis(dim, x.rank)
    return x.with_shape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


def _infer_scatter(x: TensorType, index: TensorType, src: TensorType, *, dim: int, reduction: str) -> TensorType:
    check_kind("index", index, INTEGER)
    check_same_dtype("x", x, "src", src)
    _fits_inside(index, x, normalize_axis(dim, x.rank))
    if src.shape != index.shape:
        raise ShapeError(f"src {src} and index {index} differ in shape")
    return x


def _write(x: Array, where: tuple[Array, ...], values: Array, reduction: str) -> Array:
    out: Array = np.array(x)
    if reduction == "none":
        out[where] = values
    else:
        _UFUNCS[reduction].at(out, where, values)
    return out


def _infer_gather_nd(x: TensorType, index: TensorType, *, batch_dims: int) -> TensorType:
    check_kind("index", index, INTEGER)
    depth = index.shape[-1] if index.rank else 0
    if not isinstance(depth, int) or not 1 <= depth <= x.rank - batch_dims:
        raise ShapeError(f"index {index} does not point into x {x}")
    if not 0 <= batch_dims < index.rank or index.shape[:batch_dims] != x.shape[:batch_dims]:
        raise ShapeError(f"index {index} and x {x} differ in the first {batch_dims} dimensions")
    return x.with_shape((*index.shape[:-1], *x.shape[batch_dims + depth :]))


def _gather_nd(x: Array, index: Array, *, batch_dims: int) -> Array:
    batch = np.meshgrid(*map(np.arange, index.shape[:batch_dims]), indexing="ij", sparse=True)
    spare = index.ndim - 1 - batch_dims
    leading = [axis.reshape(*axis.shape, *(1,) * spare) for axis in batch]
    where = (*leading, *np.moveaxis(index, -1, 0))
    return np.asarray(x[where])


def _infer_scatter_nd(x: TensorType, index: TensorType, updates: TensorType, *, reduction: str) -> TensorType:
    check_same_dtype("x", x, "updates", updates)
    expected = _infer_gather_nd(x, index, batch_dims=0)
    if updates != expected:
        raise ShapeError(f"updates {updates} should be {expected}")
    return x


def _infer_topk(x: TensorType, *, k: int, dim: int, largest: bool, sorted: bool) -> tuple[TensorType, TensorType]:
    axis = normalize_axis(dim, x.rank)
    size = x.shape[axis]
    if k < 0 or (isinstance(size, int) and k > size):
        raise ShapeError(f"the first {k} of {size}")
    out = x.with_shape((*x.shape[:axis], k, *x.shape[axis + 1 :]))
    return out, out.with_dtype("int64")


def _topk(x: Array, *, k: int, dim: int, largest: bool, sorted: bool) -> tuple[Array, Array]:
    if largest:
        # The reverse of a stable sort from behind: descending, and equal elements in the order of their indices.
        order = x.shape[dim] - 1 - np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)
    else:
        order = np.argsort(x, axis=dim, kind="stable")
    first = np.take(order, np.arange(k), axis=dim)
    return np.take_along_axis(x, first, axis=dim), first.astype(np.int64)


def _infer_one_hot(index: TensorType, *, num_classes: int) -> TensorType:
    check_kind("index", index, INTEGER)
    if num_classes < 1:
        raise ShapeError(f"{num_classes} classes")
    return TensorType(np.dtype(np.int64), (*index.shape, num_classes))


def _infer_triangle(x: TensorType, *, diagonal: int) -> TensorType:
    if x.rank < 2:
        raise ShapeError(f"x {x} is no matrix")
    return x


def _case(x: Sequence[int], index: Any, attrs: dict[str, Any], *more: Sequence[int], dtype: str = "float32") -> Case:
    """Random x and further operands of the given shapes."""
    rng = np.random.default_rng(10)
    arrays = [rng.integers(-99, 99, shape).astype(dtype) for shape in (x, *more)]
    return Case((arrays[0], np.asarray(index), *arrays[1:]), attrs)


def _gather_cases() -> Iterator[Case]:
    rng = np.random.default_rng(11)
    yield _case((4, 5), rng.integers(0, 4, (3, 5)), {"dim": 0})
    yield _case((4, 5), rng.integers(0, 5, (2, 7)), {"dim": -1}, dtype="int64")
    yield _case((2, 3, 4), rng.integers(-3, 3, (2, 6, 4)), {"dim": 1}, dtype="uint8")
    yield _case((1,), [0, 0], {"dim": 0})
    yield _case((3, 2), np.zeros((0, 2), np.int64), {"dim": 0})


def _index_select_cases() -> Iterator[Case]:
    rng = np.random.default_rng(12)
    yield _case((10, 17), rng.integers(0, 10, (2, 5)), {"dim": 0})
    yield _case((4, 5, 6), rng.integers(-5, 5, 7), {"dim": 1}, dtype="int32")
    yield _case((4, 5), 3, {"dim": -1}, dtype="uint8")
    yield _case((3, 4), np.zeros(0, np.int64), {"dim": 0})
    yield _case((3, 4), np.array([2, 0], np.int32), {"dim": 0})


def _scatter_cases() -> Iterator[Case]:
    yield _case((4, 5), [[0, 1, 2, 3, 0], [2, 3, 0, 1, 1]], {"dim": 0}, (2, 5))
    yield _case((2, 3), [[2], [0]], {"dim": 1}, (2, 1), dtype="int64")
    yield _case((3,), [1, 1, 2, -1], {"dim": 0, "reduction": "add"}, (4,))
    yield _case((3,), [1, 1, 2], {"dim": 0, "reduction": "mul"}, (3,))
    yield _case((3,), [0, 0, 2], {"dim": 0, "reduction": "amax"}, (3,))
    yield _case((3,), [0, 0, 2], {"dim": 0, "reduction": "amin"}, (3,))


def _gather_nd_cases() -> Iterator[Case]:
    yield _case((3, 4), [[0, 1], [2, 3], [-1, 0]], {})
    yield _case((3, 4, 5), [[[2], [0]]], {})
    yield _case((2, 3, 4), [[[1], [0]], [[2], [2]]], {"batch_dims": 1}, dtype="int64")


def _scatter_nd_cases() -> Iterator[Case]:
    yield _case((3, 4), [[0, 1], [2, 3]], {}, (2,))
    yield _case((3, 4), [[2], [0]], {}, (2, 4), dtype="int64")
    yield _case((5,), [[1], [1], [4]], {"reduction": "add"}, (3,))


def _topk_cases() -> Iterator[Case]:
    rng = np.random.default_rng(13)
    x = rng.standard_normal((3, 11)).astype(np.float32)
    yield Case((x,), {"k": 4})
    yield Case((x,), {"k": 3, "dim": 0, "largest": False})
    yield Case((np.array([2, 7, 7, 1, 7], np.int64),), {"k": 3})
    yield Case((np.array([[5]], np.float32),), {"k": 1})
    yield Case((rng.standard_normal((2, 1000)).astype(np.float32),), {"k": 5})
    yield Case((x,), {"k": 0})


gather = define(
    "gather",
    family="index",
    inputs=("x", "index"),
    attrs={"dim": Attr("int")},
    infer=_infer_gather,
    reference=lambda x, index, dim: x[_open_grid(index, dim)],
    cases=_gather_cases,
    tolerance=0.0,
    doc="out[i][j] = x[index[i][j]][j] for dim 0, and so on; negative indices count from the end.",
)

index_select = define(
    "index_select",
    family="index",
    inputs=("x", "index"),
    attrs={"dim": Attr("int")},
    infer=_infer_index_select,
    reference=lambda x, index, dim: np.take(x, index, axis=dim),
    cases=_index_select_cases,
    tolerance=0.0,
    doc="Slices of x along dim; index may have any shape, which takes the place of dim. Rows of a table: dim 0.",
)

scatter = define(
    "scatter",
    family="index",
    inputs=("x", "index", "src"),
    attrs={"dim": Attr("int"), "reduction": REDUCTION},
    infer=_infer_scatter,
    reference=lambda x, index, src, dim, reduction: _write(x, _open_grid(index, dim), src, reduction),
    cases=_scatter_cases,
    doc="x with src written at out[index[i][j]][j] for dim 0, and so on. Repeated indices need a reduction.",
)

gather_nd = define(
    "gather_nd",
    family="index",
    inputs=("x", "index"),
    attrs={"batch_dims": Attr("int", 0)},
    infer=_infer_gather_nd,
    reference=_gather_nd,
    cases=_gather_nd_cases,
    tolerance=0.0,
    doc="The last axis of index holds positions in the first axes of x, after batch_dims common axes.",
)

scatter_nd = define(
    "scatter_nd",
    family="index",
    inputs=("x", "index", "updates"),
    attrs={"reduction": REDUCTION},
    infer=_infer_scatter_nd,
    reference=lambda x, index, updates, reduction: _write(x, tuple(np.moveaxis(index, -1, 0)), updates, reduction),
    cases=_scatter_nd_cases,
    doc="x with updates written at the positions that the last axis of index holds.",
)

topk = define(
    "topk",
    family="index",
    inputs=("x",),
    outputs=("values", "indices"),
    attrs={
        "k": Attr("int"),
        "dim": Attr("int", -1),
        "largest": Attr("bool", True),
        "sorted": Attr("bool", True, "false: any order will do"),
    },
    infer=_infer_topk,
    reference=_topk,
    cases=_topk_cases,
    tolerance=0.0,
    doc="The k largest or smallest elements along dim and their indices (int64); of equal ones the first come first.",
)

one_hot = define(
    "one_hot",
    family="index",
    inputs=("index",),
    attrs={"num_classes": Attr("int")},
    infer=_infer_one_hot,
    reference=lambda index, num_classes: (index[..., None] == np.arange(num_classes)).astype(np.int64),
    cases=lambda: [
        Case((np.array([[0, 2], [3, 1]]),), {"num_classes": 4}),
        Case((np.array(1, np.int32),), {"num_classes": 2}),
        Case((np.zeros((0, 3), np.int64),), {"num_classes": 5}),
    ],
    tolerance=0.0,
    aten="one_hot.default",
    doc="int64 zeros with a 1 at each index, along a new last axis; all zeros for an index outside.",
)


def _triangle_cases() -> Iterator[Case]:
    for shape in ((4, 4), (2, 3, 5), (1, 1), (5, 2), (0, 3)):
        for diagonal in (0, 1, -2):
            yield Case((np.ones(shape, np.float32),), {"diagonal": diagonal})
    yield Case((np.ones((3, 3), bool),), {"diagonal": 0})


tril = define(
    "tril",
    family="index",
    inputs=("x",),
    attrs={"diagonal": Attr("int", 0)},
    infer=_infer_triangle,
    reference=lambda x, diagonal: np.tril(x, diagonal),
    cases=_triangle_cases,
    tolerance=0.0,
    aten="tril.default",
    doc="Matrices with zeros above a diagonal (0: the main one, positive: above it).",
)

triu = define(
    "triu",
    family="index",
    inputs=("x",),
    attrs={"diagonal": Attr("int", 0)},
    infer=_infer_triangle,
    reference=lambda x, diagonal: np.triu(x, diagonal),
    cases=_triangle_cases,
    tolerance=0.0,
    aten="triu.default",
    doc="Matrices with zeros below a diagonal (0: the main one, positive: above it).",
)
