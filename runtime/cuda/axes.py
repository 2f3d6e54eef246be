"""What is done for every element of a tensor whose operands step through memory by strides, as launches of kernels
that include axes.cuh: few axes, a vector of elements a thread, 32 bits for what is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

from .device import Device, Launch
from .family import BLOCKS_A_MULTIPROCESSOR, Call
from .source import Kernel

THREADS = 256
"""Of a block; kUnitThreads of axes.cuh."""
MAX_AXES = 9
"""Of axes.cuh: the eight of a copy, and the bytes of its elements."""
MAX_OPERANDS = 4
MAX_UNITS = 1 << 30
"""Of a launch, so that the numbers of its threads stay within 32 bits."""


class Axis(NamedTuple):
    """`strides` of the operands. `pad` of a padded axis: how many elements lie before those of the source, which is
    operand 0, and how many the source has."""

    size: int
    strides: tuple[int, ...]
    pad: tuple[int, int] | None = None


@dataclass(frozen=True)
class Part:
    """What one launch covers: the elements of `axes`, innermost last, from `offsets` of the operands on. A thread's
    unit are `vector` neighbours along the innermost axis, fewer at the end of the only one."""

    axes: tuple[Axis, ...]
    offsets: tuple[int, ...]
    vector: int

    @property
    def elements(self) -> int:
        return prod(axis.size for axis in self.axes)

    @property
    def units(self) -> int:
        return -(-self.elements // self.vector)

    @property
    def in_units(self) -> list[Axis]:
        """The axes, innermost first, of units; none of a single unit where there are others."""
        *outer, last = self.axes
        last = Axis(-(-last.size // self.vector), tuple(stride * self.vector for stride in last.strides), last.pad)
        if outer and last.size == 1 and last.pad is None:
            return outer[::-1]
        return [last, *outer[::-1]]

    @property
    def fields(self) -> dict[str, Any]:
        """The struct Axes of axes.cuh."""
        axes = self.in_units
        constants = [divider(axis.size) for axis in axes]
        padding = [0] * (MAX_OPERANDS - len(self.offsets))
        return {
            "elements": self.elements,
            "strides": filled([stride for axis in axes for stride in (*axis.strides, *padding)], MAX_OPERANDS),
            "units": self.units,
            "rank": len(axes),
            "vector": self.vector,
            "varying": sum((stride != 0) << operand for operand, stride in enumerate(self.axes[-1].strides)),
            "size": filled([axis.size for axis in axes]),
            "multiplier": filled([multiplier for multiplier, _ in constants]),
            "shift": filled([shift for _, shift in constants]),
        }


def filled(numbers: Sequence[int], of_an_axis: int = 1) -> list[int]:
    """Numbers of the axes, and zeros for those that are not there."""
    return [*numbers, *[0] * (MAX_AXES * of_an_axis - len(numbers))]


def divider(divisor: int) -> tuple[int, int]:
    """(multiplier, shift) with n // divisor == n * multiplier >> shift for 0 <= n < 2**31; both fit 32 bits."""
    bits = (divisor - 1).bit_length()
    return -(-(1 << 31 + bits) // divisor), 31 + bits


def collapsed(axes: Sequence[Axis]) -> list[Axis]:
    """The same elements in the same order by as few axes as there can be: none of size one, neighbours joined where
    every operand steps evenly over both. One axis at least, and that one alone where there are no elements."""
    nowhere = (0,) * len(axes[0].strides)
    if any(axis.size == 0 for axis in axes):
        return [Axis(0, nowhere)]
    kept: list[Axis] = []
    for axis in axes:
        if axis.size == 1 and axis.pad is None:
            continue
        if kept and kept[-1].pad is None and axis.pad is None and _follows(kept[-1], axis):
            axis = Axis(kept.pop().size * axis.size, axis.strides)
        kept.append(axis)
    return kept or [Axis(1, nowhere)]


def parts(axes: Sequence[Axis], vector: int, limit: int = MAX_UNITS) -> Iterator[Part]:
    """What launches of at most `limit` units each cover together, in order. `vector` divides the innermost axis,
    unless it is the only one."""
    return _cut(tuple(axes), vector, limit, (0,) * len(axes[0].strides))


def _cut(axes: tuple[Axis, ...], vector: int, limit: int, offsets: tuple[int, ...]) -> Iterator[Part]:
    whole = Part(axes, offsets, vector)
    if whole.units <= limit:
        if whole.units:
            yield whole
        return
    outer, *inner = axes
    below = Part(tuple(inner), offsets, vector).units if inner else 1
    step = max(limit // below, 1) * (1 if inner else vector)
    for start in range(0, outer.size, step):
        size = min(step, outer.size - start)
        moved = [at + start * stride for at, stride in zip(offsets, outer.strides, strict=True)]
        pad = None
        if outer.pad is not None:
            pad = (outer.pad[0] - start, outer.pad[1])
            moved[0] = offsets[0]
        if size == 1 and inner and pad is None:
            yield from _cut(tuple(inner), vector, limit, tuple(moved))
        elif size == 1 and below > limit:
            # The axis that is padded stays as an axis of one; what lies within is cut.
            for part in _cut(tuple(inner), vector, limit, tuple(moved)):
                yield Part((Axis(1, outer.strides, pad), *part.axes), part.offsets, vector)
        else:
            yield Part((Axis(size, outer.strides, pad), *inner), tuple(moved), vector)


def _follows(outer: Axis, inner: Axis) -> bool:
    return all(a == b * inner.size for a, b in zip(outer.strides, inner.strides, strict=True))


class Strided(NamedTuple):
    """What a kernel reads or writes: the field of its address, the address, bytes of an element, and which of the
    axes' operands has its strides."""

    field: str
    address: int
    itemsize: int
    operand: int


def broadcast(call: Call, *strides: str) -> list[Axis]:
    """The axes of a call whose parameters are `rank`, `shape` and these strides of operands; behind those of the
    operands stand the strides of the dense result."""
    fields = call.fields
    rank = int(fields["rank"])
    shape = fields["shape"][:rank].tolist()
    columns = [fields[name][:rank].tolist() for name in strides]
    dense = [prod(shape[d + 1 :]) for d in range(rank)]
    return [Axis(size, tuple(own)) for size, *own in zip(shape, *columns, dense, strict=True)]


def over_axes(
    kernel: Kernel,
    device: Device,
    axes: Sequence[Axis],
    operands: Sequence[Strided],
    vector: int,
    shared_bytes: int = 0,
    of_part: Callable[[Part], Mapping[str, Any]] = lambda part: {},
    **fields: Any,
) -> list[Launch]:
    """Launches for all elements, `vector` at a time. The kernel's other parameters are `fields` and those
    `of_part`."""
    axes = collapsed(axes)
    launches = []
    for part in parts(axes, vector):
        moved = {at.field: at.address + part.offsets[at.operand] * at.itemsize for at in operands}
        params = kernel.pack(axes=part.fields, **moved, **of_part(part), **fields)
        blocks = min(-(-part.units // THREADS), BLOCKS_A_MULTIPROCESSOR * device.multiprocessors)
        launches.append(Launch(kernel, (blocks, 1, 1), THREADS, shared_bytes, params))
    return launches


def map_widths(widest: int) -> tuple[int, ...]:
    """What map_elements of axes.cuh offers."""
    return (16, 8, 4) if widest == 16 else (widest,)


def vector_of(axes: Sequence[Axis], operands: Sequence[Strided], widths: Sequence[int]) -> int:
    """How many neighbours a thread may take: the first of `widths` that all operands are aligned for, the innermost
    axis having whole vectors, else one."""
    *outer, last = collapsed(axes)
    for vector in widths:
        if outer and last.size % vector:
            continue
        if all(_is_aligned((*outer, last), operand, vector) for operand in operands):
            return vector
    return 1


def _is_aligned(axes: Sequence[Axis], operand: Strided, vector: int) -> bool:
    """Whether every unit of the operand can be read at once: neighbours, aligned to their size, or all the same."""
    *outer, last = (axis.strides[operand.operand] for axis in axes)
    if last != 1:
        return last == 0
    alignment = min(vector * operand.itemsize, 16)
    return all(at * operand.itemsize % alignment == 0 for at in outer) and operand.address % alignment == 0
