"""Places values of known size and lifetime in one block of memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64
"""Bytes: a cache line, and the widest vector."""


@dataclass(frozen=True)
class Lifetime:
    """`size` bytes that are needed from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int


def place(lifetimes: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Offsets, one a lifetime, and the size of the block.

    Two of them that share a step never share a byte. Largest first, each at the lowest offset that is free during its
    whole life (the "greedy by size" of Pisarchyk and Lee, Efficient Memory Management for Deep
    Neural Net Inference, 2020).
    """
    offsets = [0] * len(lifetimes)
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last; by offset
    total = 0
    for index in sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].size, lifetimes[i].first, i)):
        life = lifetimes[index]
        size = -(-life.size // ALIGNMENT) * ALIGNMENT
        at = 0
        for offset, end, first, last in placed:
            if first > life.last or last < life.first or end <= at:
                continue
            if offset >= at + size:
                break
            at = end
        offsets[index] = at
        total = max(total, at + size)
        placed.append((at, at + size, life.first, life.last))
        placed.sort()
    return offsets, total
