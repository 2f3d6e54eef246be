"""Bands: neighbouring steps over images that run together, a few rows at a time.

What one step writes and only the next one reads need not pass through memory: a band of some rows goes through all
steps of a group while it lies in the second-level cache, in memory that belongs to a thread. Rows that the next band
reads again, under a filter of several rows, are kept. No kernel knows: each is called for a smaller image.

A task is an image, a part of its rows, or some small images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..types import DimLike

if TYPE_CHECKING:
    from .lowering import Param

BAND_BYTES = 768 << 10
"""Of all values of a group within a band: they stay in the second-level cache together with the weights."""

WEIGHT_BYTES = 512 << 10
"""Of a group's weights, which every band reads."""

FAR_BYTES = 1 << 20
"""Of a value that the cache would not hold until the next step."""

TASKS_A_THREAD = 2
"""Tasks that a group should have for each thread."""


@dataclass(frozen=True)
class Window:
    """Row r of a result is made of rows ``r * stride - top`` to ``r * stride - top + extent - 1`` of the source."""

    extent: int = 1
    stride: int = 1
    top: int = 0


@dataclass(frozen=True)
class Part:
    """What one call computes: `rows` rows of each of `images` results, from `source_rows` rows of the source with
    `top` rows of padding above."""

    images: int
    rows: int
    source_rows: int
    top: int


@dataclass(frozen=True)
class Pitch:
    """Bytes from row to row and from image to image. What a whole image shares has rows 0 bytes apart."""

    row: DimLike
    image: DimLike


@dataclass(frozen=True, eq=False)
class ImageRows:
    """How a step can be held to some rows of some images. The operand `source` is read through `window`; `pitches` are
    those of every operand that images or their rows have parts of. `params` are the kernel's parameters that depend on
    the part."""

    images: DimLike
    rows: DimLike
    source_rows: DimLike
    window: Window
    pitches: Mapping[str, Pitch]
    params: Callable[[Part], Mapping[str, Param]]
    source: str = "src"
    target: str = "dst"


@dataclass(frozen=True)
class Member:
    """`ImageRows` at some sizes. Rows of the result are `pitch` bytes apart, of the source `source_pitch`."""

    images: int
    rows: int
    source_rows: int
    window: Window
    pitch: int
    source_pitch: int
    is_dense: bool = True
    """Whether rows of the source follow one another through all images."""

    def needed(self, begin: int, end: int) -> tuple[int, int]:
        """The rows of the source for rows [begin, end) of the result."""
        w = self.window
        low = max(begin * w.stride - w.top, 0)
        return low, max(min((end - 1) * w.stride - w.top + w.extent, self.source_rows), low)


@dataclass(frozen=True)
class BandCall:
    """A member's kernel on a part. Operands in `pitches` begin at an image row: `row` of the result or `source_row`,
    or, inside the group, `source_at` and `target_at` bytes from the start of the band memory."""

    member: int
    part: Part
    row: int
    source_row: int
    source_at: int | None
    target_at: int | None


@dataclass(frozen=True)
class Move:
    """Rows of `member`'s result that are read again: bytes in the band memory."""

    member: int
    source: int
    target: int
    size: int


@dataclass(frozen=True)
class Repeated:
    """Tasks that are done for images `first`, ``first + images``, ... `repeats` times."""

    first: int
    images: int
    repeats: int
    tasks: list[list[BandCall | Move]]


@dataclass(frozen=True)
class Schedule:
    """How a group runs, `rows` rows of its last result in each of `images` images at a time, and the memory that every
    thread needs for it."""

    band_bytes: int
    images: int
    rows: int
    parts: list[Repeated]


def schedule(members: Sequence[Member], threads: int) -> Schedule | None:
    """The bands of a group. None where bands do not fit."""
    images, rows = members[0].images, members[-1].rows
    every = [member.rows for member in members]
    whole = _offsets(members, every)[1]
    if whole <= BAND_BYTES:
        fair = images if threads == 1 else images // (TASKS_A_THREAD * threads)
        count = max(min(BAND_BYTES // max(whole, 1), fair), 1)
        offsets, total = _offsets(members, every, count)
        parts = [Repeated(0, count, images // count, [_run_whole(members, offsets, count)])]
        if left := images % count:
            parts.append(Repeated(images - left, left, 1, [_run_whole(members, offsets, left)]))
        return Schedule(total, count, rows, parts)
    bands = 2
    while bands < rows and _offsets(members, _heights(members, -(-rows // bands)))[1] > BAND_BYTES:
        bands += 1
    height = -(-rows // bands)
    bands = -(-rows // height)
    split = 1 if threads == 1 else min(-(-TASKS_A_THREAD * threads // images), bands)
    task = -(-bands // split) * height
    offsets, total = _offsets(members, _heights(members, height))
    tasks = [list(_run(members, offsets, begin, min(begin + task, rows), height)) for begin in range(0, rows, task)]
    fits = total <= BAND_BYTES * 9 // 8 and all(
        call.source >= call.target + call.size for task in tasks for call in task if isinstance(call, Move)
    )
    return Schedule(total, 1, height, [Repeated(0, 1, images, tasks)]) if fits else None


def _heights(members: Sequence[Member], height: int) -> list[int]:
    """The most rows of every member's result in a band of `height` rows of the last."""
    heights = [height]
    for member in reversed(members[1:]):
        w = member.window
        heights.insert(0, min((heights[0] - 1) * w.stride + w.extent, member.source_rows))
    return heights


def _offsets(members: Sequence[Member], heights: Sequence[int], images: int = 1) -> tuple[list[int], int]:
    """Where in the band memory every inner result begins, and its size, for so many rows of the results."""
    offsets, at = [], 0
    for member, rows in zip(members[:-1], heights, strict=False):
        offsets.append(at)
        at += -(-rows * member.pitch * images // 64) * 64
    return offsets, at


def _run_whole(members: Sequence[Member], offsets: Sequence[int], images: int) -> list[BandCall | Move]:
    """All rows of some images, also those that the next member skips: images follow one another."""
    return [
        BandCall(index, Part(images, member.rows, member.source_rows, member.window.top), 0, 0, source_at, target_at)
        for index, (member, source_at, target_at) in enumerate(
            zip(members, [None, *offsets], [*offsets, None], strict=True)
        )
    ]


def _run(
    members: Sequence[Member], offsets: Sequence[int], begin: int, end: int, height: int
) -> Iterator[BandCall | Move]:
    """Rows [begin, end) of the last result, `height` at a time."""
    last = len(members) - 1
    held = [(0, 0)] * last  # rows of each inner result that lie in the band memory
    for row in range(begin, end, height):
        wanted = [(row, min(row + height, end))]  # of each result, what this band makes
        lows: list[int] = []
        for index in range(last, 0, -1):
            low, high = members[index].needed(*wanted[0])
            lows.insert(0, low)
            wanted.insert(0, (max(low, held[index - 1][1]), high))
        for index, (low, high) in enumerate(wanted):
            member = members[index]
            target_at = None
            if index < last:
                first, stop = held[index]
                at, pitch = offsets[index], member.pitch
                target_at = at + (low - lows[index]) * pitch
                if stop > lows[index] and lows[index] > first:
                    yield Move(index, at + (lows[index] - first) * pitch, at, (stop - lows[index]) * pitch)
                held[index] = (lows[index], max(high, stop))
            if high <= low:
                continue
            source_low, source_high = member.needed(low, high)
            top = member.window.top - low * member.window.stride + source_low
            part = Part(1, high - low, source_high - source_low, top)
            yield BandCall(index, part, low, source_low, offsets[index - 1] if index else None, target_at)
