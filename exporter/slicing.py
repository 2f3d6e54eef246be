"""Bounds of slices as graphs hold them: counted from the front, and within the axis for every size."""

from __future__ import annotations

from rushlight.exporter.bounds import is_at_least
from rushlight.exporter.emitter import Emitter
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.types import DimLike

OPEN_END = 10**9
"""An end from here on means the end of the axis: exporters write such a number for it."""


def slice_bounds(b: Emitter, size: DimLike, start: DimLike, end: DimLike, step: int) -> tuple[DimLike, DimLike]:
    """`start` and `end` of Python's slice of an axis of `size`, without negative or overlong bounds.

    Where a bound lies inside the axis only for some sizes, their range is narrowed to these. Raises UnsupportedError.
    """
    if step == 0:
        raise UnsupportedError("slice with step 0")
    if isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
        first, last, _ = slice(start, None if step < 0 and end < -size else end, step).indices(size)
        if step < 0:
            return (first, last) if first > last else (0, 0)
        return first, max(first, last)
    if step > 0:
        first_, last_ = _position(b, size, start), _position(b, size, end)
        if is_at_least(first_, last_ + 1, b.ranges):
            return first_, first_
        b.require(last_ - first_, 0, None, "length of a slice")
        return first_, last_
    first_ = size - 1 if isinstance(start, int) and start >= OPEN_END else _position(b, size, start)
    if isinstance(end, int) and end <= -OPEN_END:
        return first_, -1
    return first_, _position(b, size, end)


def _position(b: Emitter, size: DimLike, bound: DimLike) -> DimLike:
    if isinstance(bound, int):
        if bound >= OPEN_END:
            return size
        if bound <= -OPEN_END:
            return 0
    if is_at_least(bound, 0, b.ranges):
        if not is_at_least(bound, size, b.ranges):
            b.require(size - bound, 0, None, "end of a slice")
            return bound
        return size
    if is_at_least(-1, bound, b.ranges):
        position = size + bound
        if is_at_least(0, position, b.ranges):
            return 0
        b.require(position, 0, None, "start of a slice")
        return position
    raise UnsupportedError(f"slice bound {bound} is negative for some sizes only")
