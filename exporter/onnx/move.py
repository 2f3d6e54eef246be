"""Operators that move elements."""

from __future__ import annotations

from typing import Any

from rushlight.exporter.emitter import Emitter
from rushlight.exporter.onnx.model import OnnxNode
from rushlight.exporter.slicing import slice_bounds
from rushlight.runtime.errors import ShapeError, UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import Dim, DimLike, exact_div, product


def Reshape(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    wanted = b.dims(n.input(1), "the shape") if n.optional(1) is not None else list(n.attr("shape"))
    if not n.attr("allowzero", 0):
        wanted = [x.shape[axis] if dim == 0 else dim for axis, dim in enumerate(wanted)]
    return reshape_to(b, x, wanted)


def reshape_to(b: Emitter, x: Value, wanted: list[DimLike]) -> Value:
    """`x` in the shape `wanted`, where -1 is replaced. Raises UnsupportedError where a size has no expression."""
    total = x.type.size
    if -1 in wanted:
        rest = product(dim for dim in wanted if dim != -1)
        missing = 0 if rest == 0 else exact_div(total, rest)
        if missing is None:
            raise UnsupportedError(f"{total} elements into {list(map(str, wanted))}")
        return b.reshape(x, [missing if dim == -1 else dim for dim in wanted])
    if product(wanted) != total:
        unify_sizes(b, total, product(wanted))
    return b.reshape(x, wanted)


def unify_sizes(b: Emitter, total: DimLike, wanted: DimLike) -> None:
    """Makes numbers of elements agree where one symbol decides it. Raises Conflict, ShapeError, UnsupportedError."""
    if isinstance(total, int) and isinstance(wanted, int):
        raise ShapeError(f"{total} elements do not fit a shape of {wanted}")
    for one, other in ((total, wanted), (wanted, total)):
        if isinstance(one, Dim) and len(one.terms) == 1:
            monomial, coefficient = one.terms[0]
            symbol = Dim({monomial: 1}).as_symbol()
            size = exact_div(other, coefficient)
            if symbol is not None and size is not None:
                b.unify(Dim.symbol(symbol), size)
    b.unify(total, wanted)


def Flatten(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    axis = n.attr("axis", 1)
    axis = axis + x.type.rank if axis < 0 else axis
    return b.reshape(x, (product(x.shape[:axis]), product(x.shape[axis:])))


def Squeeze(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    given = _axes(b, n)
    if given is None:
        axes = [axis for axis, dim in enumerate(x.shape) if dim == 1]
        if any(isinstance(dim, Dim) for dim in x.shape):
            raise UnsupportedError(f"of all axes of {x.type}")
    else:
        axes = [axis % x.type.rank for axis in given]
    return drop_axes(b, x, axes)


def drop_axes(b: Emitter, x: Value, axes: list[int]) -> Value:
    """`x` without `axes`, whose sizes are 1 or are made to be."""
    for axis in axes:
        b.unify(x.shape[axis], 1)
    if any(x.shape[axis] != 1 for axis in axes):
        raise ShapeError(f"axes {axes} of {x.type} are not all 1")
    return b.reshape(x, [dim for axis, dim in enumerate(x.shape) if axis not in axes])


def Unsqueeze(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    axes = _axes(b, n) or []
    rank = x.type.rank + len(axes)
    places = {axis % rank for axis in axes}
    dims = iter(x.shape)
    return b.reshape(x, [1 if axis in places else next(dims) for axis in range(rank)])


def _axes(b: Emitter, n: OnnxNode) -> list[int] | None:
    if n.optional(1) is not None:
        return b.ints(n.input(1), "axes")
    axes = n.attr("axes")
    return None if axes is None else list(axes)


def Transpose(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    return b.permute(x, n.attr("perm", list(range(x.type.rank))[::-1]))


def Expand(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    wanted = b.dims(n.input(1), "the shape")
    rank = max(x.type.rank, len(wanted))
    target = [1] * (rank - len(wanted)) + wanted
    have = [1] * (rank - x.type.rank) + list(x.shape)
    shape: list[DimLike] = []
    for old, new in zip(have, target, strict=True):
        if old != 1 and new != 1:
            b.unify(old, new)
        shape.append(old if new == 1 else new)
    return x if tuple(shape) == x.shape else b.expand(x, shape=shape)


def Concat(b: Emitter, n: OnnxNode) -> Any:
    axis = n.attr("axis", 1)
    values = [b.constant(n.input(i)) for i in range(len(n.inputs))]
    first = values[0]
    for other in values[1:]:
        for index, (a, c) in enumerate(zip(first.shape, other.shape, strict=False)):
            if index != axis % first.type.rank:
                b.unify(a, c)
    return first if len(values) == 1 else b.concat(*values, dim=axis)


def Split(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    axis = n.attr("axis", 0) % x.type.rank
    size = x.shape[axis]
    count = len(n.outputs)
    sizes: list[DimLike]
    if n.optional(1) is not None:
        sizes = b.dims(n.input(1), "the sizes")
    elif n.attr("split") is not None:
        sizes = list(n.attr("split"))
    elif isinstance(size, int):
        part = -(-size // count)
        sizes = [min(part, size - i * part) for i in range(count)]
    else:
        part_of = exact_div(size, count)
        if part_of is None:
            raise UnsupportedError(f"the size {size} into {count} parts")
        sizes = [part_of] * count
    total: DimLike = 0
    outputs = []
    for part_size in sizes:
        outputs.append(b.slice(x, axes=[axis], starts=[total], ends=[total + part_size], steps=[1]))
        total = total + part_size
    if total != size:
        b.unify(total, size)
    return tuple(outputs)


def Slice(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))

    def part(index: int, name: str) -> list[DimLike] | None:
        if n.optional(index) is not None:
            return b.dims(n.input(index), name)
        given = n.attr(name)
        return None if given is None else list(given)

    starts, ends = part(1, "starts"), part(2, "ends")
    if starts is None or ends is None:
        raise ShapeError("starts and ends are missing")
    axes = [int(axis) % x.type.rank for axis in part(3, "axes") or range(len(starts))]  # type: ignore[arg-type]
    steps = b.ints(n.input(4), "steps") if n.optional(4) is not None else [1] * len(starts)
    bounds = [
        slice_bounds(b, x.shape[axis], start, end, step)
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True)
    ]
    return b.slice(x, axes=axes, starts=[low for low, _ in bounds], ends=[high for _, high in bounds], steps=steps)


def Tile(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    repeats = b.dims(n.input(1), "the repeats")
    if all(isinstance(count, int) for count in repeats):
        return b.tile(x, repeats=repeats)
    apart: list[DimLike] = []
    repeated: list[DimLike] = []
    for size, count in zip(x.shape, repeats, strict=True):
        apart += [1, size]
        repeated += [count, size]
    out = b.expand(b.reshape(x, apart), shape=repeated)
    return b.reshape(out, [size * count for size, count in zip(x.shape, repeats, strict=True)])


def Pad(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    rank = x.type.rank
    pads = b.dims(n.input(1), "the pads") if n.optional(1) is not None else list(n.attr("pads"))
    axes = [axis % rank for axis in b.ints(n.input(3), "axes")] if n.optional(3) is not None else list(range(rank))
    full: list[DimLike] = [0] * (2 * rank)
    for place, axis in enumerate(axes):
        full[axis], full[rank + axis] = pads[place], pads[len(axes) + place]
    if any(isinstance(pad, int) and pad < 0 for pad in full):
        x, full = _crop(b, x, full)
    mode = n.attr("mode", "constant")
    if mode not in ("constant", "reflect", "edge"):
        raise UnsupportedError(f"mode {mode}")
    value = n.attr("value", 0.0)
    if n.optional(2) is not None:
        value = float(b.array(n.input(2), "the padding value").reshape(-1)[0])
    if not any(full):
        return x
    return b.pad(x, pads=full, mode=mode, value=value)


def _crop(b: Emitter, x: Value, pads: list[DimLike]) -> tuple[Value, list[DimLike]]:
    """Negative padding cuts."""
    rank = x.type.rank
    starts: list[DimLike] = []
    ends: list[DimLike] = []
    for axis, size in enumerate(x.shape):
        begin, end = pads[axis], pads[rank + axis]
        starts.append(-begin if isinstance(begin, int) and begin < 0 else 0)
        ends.append(size + end if isinstance(end, int) and end < 0 else size)
    cut = b.slice(x, axes=list(range(rank)), starts=starts, ends=ends, steps=[1] * rank)
    return cut, [0 if isinstance(pad, int) and pad < 0 else pad for pad in pads]


def DepthToSpace(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    block = n.attr("blocksize")
    batch, channels, height, width = x.shape
    depth = _channels(channels, block)
    if n.attr("mode", "DCR") == "DCR":
        apart, order = (batch, block, block, depth, height, width), (0, 3, 4, 1, 5, 2)
    else:
        apart, order = (batch, depth, block, block, height, width), (0, 1, 4, 2, 5, 3)
    moved = b.permute(b.reshape(x, apart), order)
    return b.reshape(moved, (batch, depth, height * block, width * block))


def _channels(channels: DimLike, block: int) -> DimLike:
    depth = exact_div(channels, block * block)
    if depth is None:
        raise ShapeError(f"{channels} channels are no multiple of {block * block}")
    return depth


def SpaceToDepth(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    block = n.attr("blocksize")
    batch, channels, height, width = x.shape
    rows, columns = exact_div(height, block), exact_div(width, block)
    if rows is None or columns is None:
        raise UnsupportedError(f"{x.type} in blocks of {block}")
    order = (0, 3, 5, 1, 2, 4) if n.attr("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    moved = b.permute(b.reshape(x, (batch, channels, rows, block, columns, block)), order)
    return b.reshape(moved, (batch, channels * (block * block), rows, columns))
