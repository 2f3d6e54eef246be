"""Views, joins and paddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rushlight.exporter.emitter import Emitter
from rushlight.exporter.slicing import OPEN_END, slice_bounds
from rushlight.exporter.torch.promotion import promoted, to_value
from rushlight.runtime.errors import ShapeError, UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import DimLike, exact_div, product


def view(b: Emitter, x: Value, shape: Sequence[DimLike]) -> Value:
    if -1 in shape:
        rest = product(dim for dim in shape if dim != -1)
        missing = 0 if rest == 0 else exact_div(x.type.size, rest)
        if missing is None:
            raise UnsupportedError(f"{x.type.size} elements into {list(map(str, shape))}")
        shape = [missing if dim == -1 else dim for dim in shape]
    return b.reshape(x, shape)


def reshape(b: Emitter, x: Value, shape: Sequence[DimLike]) -> Value:
    return view(b, x, shape)


def _unsafe_view(b: Emitter, x: Value, shape: Sequence[DimLike]) -> Value:
    return view(b, x, shape)


def view_as(b: Emitter, x: Value, other: Value) -> Value:
    return b.reshape(x, other.shape)


def flatten(b: Emitter, x: Value, start: int = 0, end: int = -1) -> Value:
    if x.type.rank == 0:
        return b.reshape(x, (1,))
    first, last = start % x.type.rank, end % x.type.rank
    return b.reshape(x, (*x.shape[:first], product(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def unflatten(b: Emitter, x: Value, dim: int, sizes: Sequence[DimLike]) -> Value:
    axis = dim % x.type.rank
    if -1 in sizes:
        missing = exact_div(x.shape[axis], product(size for size in sizes if size != -1))
        if missing is None:
            raise UnsupportedError(f"{x.shape[axis]} into {list(map(str, sizes))}")
        sizes = [missing if size == -1 else size for size in sizes]
    return b.reshape(x, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))


def permute(b: Emitter, x: Value, dims: Sequence[int]) -> Value:
    return b.permute(x, [dim % x.type.rank for dim in dims])


def transpose(b: Emitter, x: Value, first: int, second: int) -> Value:
    order = list(range(x.type.rank))
    if order:
        order[first], order[second] = order[second], order[first]
    return b.permute(x, order)


def swapaxes(b: Emitter, x: Value, first: int, second: int) -> Value:
    return transpose(b, x, first, second)


def t(b: Emitter, x: Value) -> Value:
    return b.permute(x, list(range(x.type.rank))[::-1])


def numpy_T(b: Emitter, x: Value) -> Value:
    return t(b, x)


def mT(b: Emitter, x: Value) -> Value:
    return transpose(b, x, -2, -1)


def movedim(b: Emitter, x: Value, source: Any, destination: Any) -> Value:
    rank = x.type.rank
    sources = [dim % rank for dim in (source if isinstance(source, (list, tuple)) else [source])]
    targets = [dim % rank for dim in (destination if isinstance(destination, (list, tuple)) else [destination])]
    rest = iter(axis for axis in range(rank) if axis not in sources)
    places = dict(zip(targets, sources, strict=True))
    return b.permute(x, [places[axis] if axis in places else next(rest) for axis in range(rank)])


def expand(b: Emitter, x: Value, shape: Sequence[DimLike], *, implicit: bool = False) -> Value:
    old = [1] * (len(shape) - x.type.rank) + list(x.shape)
    full = [have if want == -1 else want for have, want in zip(old, shape, strict=True)]
    return x if tuple(full) == x.shape else b.expand(x, shape=full)


def expand_as(b: Emitter, x: Value, other: Value) -> Value:
    return expand(b, x, other.shape)


def broadcast_to(b: Emitter, x: Value, shape: Sequence[DimLike]) -> Value:
    return expand(b, x, shape)


def unsqueeze(b: Emitter, x: Value, dim: int) -> Value:
    axis = dim % (x.type.rank + 1)
    return b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(b: Emitter, x: Value, dim: Any = None) -> Value:
    dims = range(x.type.rank) if dim is None else dim if isinstance(dim, (list, tuple)) else [dim]
    axes = {d % x.type.rank for d in dims if x.type.rank}
    return b.reshape(x, [size for axis, size in enumerate(x.shape) if axis not in axes or size != 1])


def slice_(b: Emitter, x: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Value:
    axis = dim % x.type.rank
    size = x.shape[axis]
    low, high = slice_bounds(b, size, 0 if start is None else start, OPEN_END if end is None else end, step)
    if step == 1 and low == 0 and high == size:
        return x
    return b.slice(x, axes=[axis], starts=[low], ends=[high], steps=[step])  # type: ignore[no-any-return]


def narrow(b: Emitter, x: Value, dim: int, start: Any, length: Any) -> Value:
    return slice_(b, x, dim, start, start + length)


def select(b: Emitter, x: Value, dim: int, index: Any) -> Value:
    axis = dim % x.type.rank
    start = index if not isinstance(index, int) or index >= 0 else x.shape[axis] + index
    cut = b.slice(x, axes=[axis], starts=[start], ends=[start + 1], steps=[1])
    return b.reshape(cut, [size for place, size in enumerate(cut.shape) if place != axis])


def split_with_sizes(b: Emitter, x: Value, sizes: Sequence[DimLike], dim: int = 0) -> tuple[Value, ...]:
    axis = dim % x.type.rank
    outputs, start = [], 0
    at: DimLike = start
    for size in sizes:
        outputs.append(b.slice(x, axes=[axis], starts=[at], ends=[at + size], steps=[1]))
        at = at + size
    return tuple(outputs)


def split(b: Emitter, x: Value, size: Any, dim: int = 0) -> tuple[Value, ...]:
    if isinstance(size, (list, tuple)):
        return split_with_sizes(b, x, size, dim)
    total = x.shape[dim]
    count = exact_div(total, size)
    if isinstance(total, int) and isinstance(size, int):
        return split_with_sizes(b, x, [min(size, total - at) for at in range(0, max(total, 1), size)], dim)
    if not isinstance(count, int):
        raise UnsupportedError(f"of {total} into parts of {size}")
    return split_with_sizes(b, x, [size] * count, dim)


def chunk(b: Emitter, x: Value, chunks: int, dim: int = 0) -> tuple[Value, ...]:
    total = x.shape[dim]
    size = -((-total) // chunks)
    exact = exact_div(total, chunks)
    return split(b, x, size if exact is None else exact, dim)


def unbind(b: Emitter, x: Value, dim: int = 0) -> tuple[Value, ...]:
    count = x.shape[dim]
    if not isinstance(count, int):
        raise UnsupportedError(f"of {count} slices")
    return tuple(select(b, x, dim, index) for index in range(count))


def cat(b: Emitter, tensors: Sequence[Value], dim: int = 0) -> Value:
    values = [v for v in promoted(b, *tensors) if v.shape != (0,)]
    return values[0] if len(values) == 1 else b.concat(*values, dim=dim)


def concat(b: Emitter, tensors: Sequence[Value], dim: int = 0) -> Value:
    return cat(b, tensors, dim)


def stack(b: Emitter, tensors: Sequence[Value], dim: int = 0) -> Value:
    axis = dim % (tensors[0].type.rank + 1)
    return cat(b, [unsqueeze(b, x, axis) for x in tensors], axis)


def hstack(b: Emitter, tensors: Sequence[Value]) -> Value:
    flat = [x if x.type.rank else b.reshape(x, (1,)) for x in tensors]
    return cat(b, flat, 0 if flat[0].type.rank == 1 else 1)


def vstack(b: Emitter, tensors: Sequence[Value]) -> Value:
    return cat(b, [x if x.type.rank > 1 else b.reshape(x, (1, x.type.size)) for x in tensors], 0)


def tile(b: Emitter, x: Value, repeats: Sequence[DimLike]) -> Value:
    return repeat(b, x, [1] * (x.type.rank - len(repeats)) + list(repeats))


def pad(b: Emitter, x: Value, pads: Sequence[DimLike], mode: str = "constant", value: float | None = None) -> Value:
    rank, count = x.type.rank, len(pads) // 2
    begins: list[DimLike] = [0] * rank
    ends: list[DimLike] = [0] * rank
    for place in range(count):
        begins[rank - 1 - place], ends[rank - 1 - place] = pads[2 * place], pads[2 * place + 1]
    names = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}
    if mode not in names:
        raise UnsupportedError(f"mode {mode}")
    for axis in range(rank):
        low, high = begins[axis], ends[axis]
        start = -low if isinstance(low, int) and low < 0 else 0
        end = x.shape[axis] + high if isinstance(high, int) and high < 0 else x.shape[axis]
        if start != 0 or end != x.shape[axis]:
            x = b.slice(x, axes=[axis], starts=[start], ends=[end], steps=[1])
            begins[axis] = 0 if start != 0 else low
            ends[axis] = 0 if isinstance(high, int) and high < 0 else high
    if not any([*begins, *ends]):
        return x
    return b.pad(x, pads=[*begins, *ends], mode=names[mode], value=float(value or 0.0))  # type: ignore[no-any-return]


def constant_pad_nd(b: Emitter, x: Value, pads: Sequence[DimLike], value: float = 0.0) -> Value:
    return pad(b, x, pads, "constant", value)


def reflection_pad1d(b: Emitter, x: Value, pads: Sequence[DimLike]) -> Value:
    return pad(b, x, pads, "reflect")


def reflection_pad2d(b: Emitter, x: Value, pads: Sequence[DimLike]) -> Value:
    return pad(b, x, pads, "reflect")


def replication_pad1d(b: Emitter, x: Value, pads: Sequence[DimLike]) -> Value:
    return pad(b, x, pads, "replicate")


def replication_pad2d(b: Emitter, x: Value, pads: Sequence[DimLike]) -> Value:
    return pad(b, x, pads, "replicate")


def roll(b: Emitter, x: Value, shifts: Sequence[DimLike], dims: Sequence[int] = ()) -> Value:
    if not dims:
        return b.reshape(roll(b, b.reshape(x, (x.type.size,)), shifts, (0,)), x.shape)
    for shift, dim in zip(shifts, dims, strict=True):
        size = x.shape[dim]
        if isinstance(size, int) and isinstance(shift, int):
            shift = shift % size if size else 0
        if shift == 0:
            continue
        border = -shift if isinstance(shift, int) and shift < 0 else size - shift
        axis = dim % x.type.rank
        last = b.slice(x, axes=[axis], starts=[border], ends=[size], steps=[1])
        first = b.slice(x, axes=[axis], starts=[0], ends=[border], steps=[1])
        x = b.concat(last, first, dim=axis)
    return x


def repeat(b: Emitter, x: Value, repeats: Sequence[DimLike]) -> Value:
    x = b.reshape(x, [1] * (len(repeats) - x.type.rank) + list(x.shape))
    if all(isinstance(count, int) for count in repeats):
        return x if set(repeats) <= {1} else b.tile(x, repeats=repeats)
    apart = [dim for size in x.shape for dim in (1, size)]
    repeated = [dim for size, count in zip(x.shape, repeats, strict=True) for dim in (count, size)]
    out = b.expand(b.reshape(x, apart), shape=repeated)
    return b.reshape(out, [size * count for size, count in zip(x.shape, repeats, strict=True)])


def repeat_interleave(b: Emitter, x: Value, repeats: Any, dim: int | None = None, *, output_size: Any = None) -> Value:
    if isinstance(repeats, Value):
        raise UnsupportedError("with counts that depend on data")
    if dim is None:
        x, dim = b.reshape(x, (x.type.size,)), 0
    axis = dim % x.type.rank
    head, size, tail = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    wide = b.expand(b.reshape(x, (*head, size, 1, *tail)), shape=(*head, size, repeats, *tail))
    return b.reshape(wide, (*head, size * repeats, *tail))


def pixel_shuffle(b: Emitter, x: Value, factor: int) -> Value:
    *lead, channels, height, width = x.shape
    depth = exact_div(channels, factor * factor)
    if depth is None:
        raise ShapeError(f"{channels} channels are no multiple of {factor * factor}")
    rank = len(lead)
    apart = b.reshape(x, (*lead, depth, factor, factor, height, width))
    moved = b.permute(apart, (*range(rank), rank, rank + 3, rank + 1, rank + 4, rank + 2))
    return b.reshape(moved, (*lead, depth, height * factor, width * factor))


def pixel_unshuffle(b: Emitter, x: Value, factor: int) -> Value:
    *lead, channels, height, width = x.shape
    rows, columns = exact_div(height, factor), exact_div(width, factor)
    if rows is None or columns is None:
        raise UnsupportedError(f"{x.type} by {factor}")
    rank = len(lead)
    apart = b.reshape(x, (*lead, channels, rows, factor, columns, factor))
    moved = b.permute(apart, (*range(rank), rank, rank + 2, rank + 4, rank + 1, rank + 3))
    return b.reshape(moved, (*lead, channels * factor * factor, rows, columns))


def channel_shuffle(b: Emitter, x: Value, groups: int) -> Value:
    batch, channels, *rest = x.shape
    apart = b.reshape(x, (batch, groups, channels // groups, *rest))
    return b.reshape(transpose(b, apart, 1, 2), x.shape)


def slice_scatter(
    b: Emitter, x: Value, source: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Value:
    """Joins what is before, the source, and what is behind."""
    axis = dim % x.type.rank
    size = x.shape[axis]
    low, high = slice_bounds(b, size, 0 if start is None else start, OPEN_END if end is None else end, step)
    source = b.cast(source, x.dtype)
    if step != 1:
        raise UnsupportedError(f"with step {step}")
    parts = [slice_(b, x, axis, 0, low)] if low != 0 else []
    parts += [source]
    parts += [slice_(b, x, axis, high, size)] if high != size else []
    return parts[0] if len(parts) == 1 else b.concat(*parts, dim=axis)


def select_scatter(b: Emitter, x: Value, source: Value, dim: int, index: Any) -> Value:
    start = index if not isinstance(index, int) or index >= 0 else x.shape[dim] + index
    return slice_scatter(b, x, unsqueeze(b, source, dim % x.type.rank), dim, start, start + 1)


def fill(b: Emitter, x: Value, value: Any) -> Value:
    return expand(b, to_value(b, value, x.dtype), x.shape)


def copy(b: Emitter, x: Value, source: Value, non_blocking: bool = False) -> Value:
    return expand(b, b.cast(source, x.dtype), x.shape)
