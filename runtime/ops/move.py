"""Operators that move elements without changing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..types import DimLike, TensorType, floordiv, product
from .opdef import Array, Attr, Case, define
from .shapes import normalize_axis

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value


def ordered_axes(dims: Sequence[int], rank: int) -> tuple[int, ...]:
    """`dims` counted from the front, in their order. Raises ShapeError for an axis that is missing or repeated."""
    axes = tuple(normalize_axis(dim, rank) for dim in dims)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"dims {tuple(dims)} name an axis twice")
    return axes


def _check_shape(shape: Sequence[DimLike]) -> None:
    if any(isinstance(d, int) and d < 0 for d in shape):
        raise ShapeError(f"negative dimension in {tuple(shape)}")


def _infer_reshape(x: TensorType, *, shape: Sequence[DimLike]) -> TensorType:
    _check_shape(shape)
    if product(shape) != x.size:
        raise ShapeError(f"x {x} has not as many elements as [{', '.join(map(str, shape))}] for all sizes")
    return x.with_shape(shape)


def _infer_permute(x: TensorType, *, dims: Sequence[int]) -> TensorType:
    order = ordered_axes(dims, x.rank)
    if len(order) != x.rank:
        raise ShapeError(f"{tuple(dims)} is no order of the axes of {x}")
    return x.with_shape(x.shape[axis] for axis in order)


def _infer_expand(x: TensorType, *, shape: Sequence[DimLike]) -> TensorType:
    _check_shape(shape)
    kept = shape[len(shape) - x.rank :]
    if len(shape) < x.rank or any(d not in (1, e) for d, e in zip(x.shape, kept, strict=True)):
        raise ShapeError(f"x {x} does not expand to [{', '.join(map(str, shape))}]")
    return x.with_shape(shape)


def _infer_slice(
    x: TensorType, *, axes: Sequence[int], starts: Sequence[DimLike], ends: Sequence[DimLike], steps: Sequence[int]
) -> TensorType:
    if not len(axes) == len(starts) == len(ends) == len(steps):
        raise ShapeError("axes, starts, ends and steps must be of the same length")
    shape = list(x.shape)
    for axis, start, end, step in zip(ordered_axes(axes, x.rank), starts, ends, steps, strict=True):
        size = x.shape[axis]
        if step == 0:
            raise ShapeError("step 0")
        low, high = (start, end) if step > 0 else (end + 1, start + 1)
        for bound in (low, size - high, high - low):
            if isinstance(bound, int) and bound < 0:
                raise ShapeError(f"{start}:{end}:{step} is not within axis {axis} of {x}")
        shape[axis] = floordiv(high - low + (abs(step) - 1), abs(step))
    return x.with_shape(shape)


def _slice(x: Array, *, axes: Sequence[int], starts: Sequence[int], ends: Sequence[int], steps: Sequence[int]) -> Array:
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        index[axis] = slice(start, None if end < 0 else end, step)
    return x[tuple(index)]


def _infer_concat(*tensors: TensorType, dim: int) -> TensorType:
    first = tensors[0]
    axis = normalize_axis(dim, first.rank)
    total: DimLike = 0
    for other in tensors:
        if other.dtype != first.dtype or other.rank != first.rank:
            raise ShapeError(f"{first} and {other} cannot be joined")
        if any(i != axis and a != b for i, (a, b) in enumerate(zip(first.shape, other.shape, strict=True))):
            raise ShapeError(f"{first} and {other} differ in more than axis {axis}")
        total = total + other.shape[axis]
    return first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :]))


def _infer_pad(x: TensorType, *, pads: Sequence[DimLike], mode: str, value: float) -> TensorType:
    if len(pads) != 2 * x.rank:
        raise ShapeError(f"pads must be {2 * x.rank} numbers (begins of all axes, then ends), not {len(pads)}")
    _check_shape(pads)
    shape: list[DimLike] = []
    for size, begin, end in zip(x.shape, pads[: x.rank], pads[x.rank :], strict=True):
        widest = max((p for p in (begin, end) if isinstance(p, int)), default=0)
        if isinstance(size, int) and ((mode == "reflect" and widest >= max(size, 1)) or (mode == "edge" and size == 0)):
            raise ShapeError(f"{mode} padding of {widest} is too wide for {x}")
        shape.append(size + begin + end)
    return x.with_shape(shape)


def _pad(x: Array, *, pads: Sequence[int], mode: str, value: float) -> Array:
    widths = list(zip(pads[: x.ndim], pads[x.ndim :], strict=True))
    if mode == "constant":
        return np.pad(x, widths, constant_values=np.asarray(value).astype(x.dtype))
    return np.pad(x, widths, mode="reflect" if mode == "reflect" else "edge")


def _infer_flip(x: TensorType, *, dims: Sequence[int]) -> TensorType:
    ordered_axes(dims, x.rank)
    return x


def _infer_tile(x: TensorType, *, repeats: Sequence[int]) -> TensorType:
    if len(repeats) != x.rank or any(r < 0 for r in repeats):
        raise ShapeError(f"repeats must be {x.rank} numbers >= 0, not {tuple(repeats)}")
    return x.with_shape(size * count for size, count in zip(x.shape, repeats, strict=True))


def _decompose_tile(b: GraphBuilder, x: Value, *, repeats: Sequence[int]) -> Value:
    apart: list[DimLike] = []
    repeated: list[DimLike] = []
    for size, count in zip(x.shape, repeats, strict=True):
        apart += [size] if count == 1 else [1, size]
        repeated += [size] if count == 1 else [count, size]
    out = b.expand(b.reshape(x, shape=apart), shape=repeated)
    return b.reshape(out, shape=[s * r for s, r in zip(x.shape, repeats, strict=True)])  # type: ignore[no-any-return]


def _cases(*entries: tuple[Sequence[int], dict[str, Any]]) -> Iterator[Case]:
    """From (shape of x, attributes); the first once more in every width of element."""
    rng = np.random.default_rng(8)
    for shape, attrs in entries:
        yield Case((rng.standard_normal(shape).astype(np.float32),), attrs)
    shape, attrs = entries[0]
    for dtype in ("uint8", "int8", "float16", "int32", "int64", "bool"):
        yield Case((rng.integers(0, 100, shape).astype(dtype),), attrs)


def _concat_cases() -> Iterator[Case]:
    rng = np.random.default_rng(9)
    for shapes, dim in (
        ([(2, 3), (2, 5)], 1),
        ([(1, 3, 4), (2, 3, 4), (0, 3, 4)], 0),
        ([(2, 3, 1), (2, 3, 7), (2, 3, 2)], -1),
        ([(5,)], 0),
    ):
        for dtype in ("float32", "uint8", "int64"):
            yield Case(tuple(rng.integers(0, 100, shape).astype(dtype) for shape in shapes), {"dim": dim})


reshape = define(
    "reshape",
    family="move",
    inputs=("x",),
    attrs={"shape": Attr("dims")},
    infer=_infer_reshape,
    reference=lambda x, shape: np.reshape(x, shape),
    cases=lambda: _cases(
        ((2, 6), {"shape": (3, 4)}),
        ((2, 3, 4), {"shape": (2, 12)}),
        ((5,), {"shape": (1, 5, 1)}),
        ((), {"shape": (1,)}),
        ((0, 3), {"shape": (3, 0, 2)}),
    ),
    tolerance=0.0,
    doc="The elements in the same order in another shape.",
)

permute = define(
    "permute",
    family="move",
    inputs=("x",),
    attrs={"dims": Attr("ints")},
    infer=_infer_permute,
    reference=lambda x, dims: np.transpose(x, dims),
    cases=lambda: _cases(
        ((3, 5), {"dims": (1, 0)}),
        ((2, 3, 5, 7), {"dims": (0, 2, 3, 1)}),
        ((2, 3, 5, 7), {"dims": (0, -1, 1, 2)}),
        ((17, 33, 9), {"dims": (2, 1, 0)}),
        ((1, 4, 1), {"dims": (2, 0, 1)}),
        ((0, 3), {"dims": (1, 0)}),
        ((), {"dims": ()}),
    ),
    tolerance=0.0,
    aten="permute.default",
    doc="The axes in the order `dims`.",
)

expand = define(
    "expand",
    family="move",
    inputs=("x",),
    attrs={"shape": Attr("dims")},
    infer=_infer_expand,
    reference=lambda x, shape: np.broadcast_to(x, shape).copy(),
    cases=lambda: _cases(
        ((3, 1), {"shape": (3, 5)}),
        ((4,), {"shape": (2, 3, 4)}),
        ((), {"shape": (3,)}),
        ((1, 2), {"shape": (0, 2)}),
        ((2, 1, 3), {"shape": (2, 7, 3)}),
    ),
    tolerance=0.0,
    doc="Repeats axes of size 1; `shape` is the whole new shape, new axes in front.",
)

slice_ = define(
    "slice",
    family="move",
    inputs=("x",),
    attrs={"axes": Attr("ints"), "starts": Attr("dims"), "ends": Attr("dims"), "steps": Attr("ints")},
    infer=_infer_slice,
    reference=_slice,
    cases=lambda: _cases(
        ((5, 6), {"axes": (0,), "starts": (1,), "ends": (4,), "steps": (2,)}),
        ((5, 6), {"axes": (0, -1), "starts": (4, 1), "ends": (-1, 6), "steps": (-1, 3)}),
        ((7,), {"axes": (0,), "starts": (5,), "ends": (0,), "steps": (-2,)}),
        ((3, 4), {"axes": (1,), "starts": (2,), "ends": (2,), "steps": (1,)}),
        ((2, 3, 17), {"axes": (2,), "starts": (3,), "ends": (16,), "steps": (1,)}),
    ),
    tolerance=0.0,
    doc="start:end:step of each of `axes`, within the axis; a negative step may end at -1, which is before element 0.",
)

concat = define(
    "concat",
    family="move",
    inputs=("*tensors",),
    attrs={"dim": Attr("int")},
    infer=_infer_concat,
    reference=lambda *tensors, dim: np.concatenate(tensors, dim),
    cases=_concat_cases,
    tolerance=0.0,
    doc="The tensors one after another along `dim`.",
)

pad = define(
    "pad",
    family="move",
    inputs=("x",),
    attrs={
        "pads": Attr("dims", doc="begins of all axes, then ends"),
        "mode": Attr("str", "constant", choices=("constant", "reflect", "edge")),
        "value": Attr("float", 0.0, "for mode constant"),
    },
    infer=_infer_pad,
    reference=_pad,
    cases=lambda: _cases(
        ((3, 4), {"pads": (1, 0, 2, 3), "value": 7.0}),
        ((2, 3, 4, 5), {"pads": (0, 0, 1, 2, 0, 0, 3, 0)}),
        ((2, 4), {"pads": (0, 3, 0, 2), "mode": "reflect"}),
        ((2, 4), {"pads": (2, 5, 1, 0), "mode": "edge"}),
        ((0, 2), {"pads": (1, 0, 1, 1), "value": -1.5}),
        ((3,), {"pads": (0, 0)}),
    ),
    tolerance=0.0,
    doc="Adds elements at the begin and the end of axes.",
)

flip = define(
    "flip",
    family="move",
    inputs=("x",),
    attrs={"dims": Attr("ints")},
    infer=_infer_flip,
    reference=lambda x, dims: np.flip(x, dims),
    cases=lambda: _cases(
        ((3, 5), {"dims": (1,)}), ((2, 3, 4), {"dims": (0, -1)}), ((1,), {"dims": (0,)}), ((0, 2), {"dims": (0, 1)})
    ),
    tolerance=0.0,
    aten="flip.default",
    doc="The elements of the axes `dims` in reverse order.",
)

tile = define(
    "tile",
    family="move",
    inputs=("x",),
    attrs={"repeats": Attr("ints")},
    infer=_infer_tile,
    reference=lambda x, repeats: np.tile(x, repeats),
    decompose=_decompose_tile,
    cases=lambda: _cases(((2, 3), {"repeats": (2, 1)}), ((2, 1, 3), {"repeats": (3, 2, 2)}), ((4,), {"repeats": (0,)})),
    tolerance=0.0,
    doc="The whole tensor repeated along each axis.",
)
