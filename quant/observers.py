"""Observers: what they see of a value's range, in memory that does not grow with the data."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rushlight.runtime.ops import Array


class Observer(Protocol):
    """Watches one value."""

    def see(self, array: Array) -> None:
        """Takes a finite float32 array of any shape into account."""
        ...

    def range(self) -> tuple[float, float]:
        """The range to quantize; (0, 0) if nothing was seen."""
        ...


class MinMax:
    """The smallest and the largest value ever seen."""

    def __init__(self) -> None:
        self._low, self._high = np.inf, -np.inf

    def see(self, array: Array) -> None:
        if array.size:
            self._low = min(self._low, float(array.min()))
            self._high = max(self._high, float(array.max()))

    def range(self) -> tuple[float, float]:
        return (self._low, self._high) if self._low <= self._high else (0.0, 0.0)


class Percentile:
    """The range that leaves out a share of the values at each end, read off a histogram of `BINS` bins.

    The histogram's bins double in width, and neighbours are merged, whenever a value lies outside.
    """

    BINS = 4096

    def __init__(self, keep: float = 99.99) -> None:
        """`keep`: per cent of the values that lie above the lower end, and below the upper one."""
        self._outside = 1 - keep / 100
        self._counts = np.zeros(self.BINS, np.int64)
        self._bound = 0.0  # bins cover [-bound, bound]
        self._seen = MinMax()

    def see(self, array: Array) -> None:
        if not array.size:
            return
        self._seen.see(array)
        reach = float(np.abs(array).max())
        if reach > 0 and self._bound == 0:
            self._bound = reach
        while reach > self._bound:
            merged = self._counts.reshape(-1, 2).sum(1)
            quarter = self.BINS // 4
            self._counts = np.concatenate([np.zeros(quarter, np.int64), merged, np.zeros(quarter, np.int64)])
            self._bound *= 2
        if self._bound == 0:
            self._counts[self.BINS // 2] += array.size
        else:
            self._counts += np.histogram(array, self.BINS, (-self._bound, self._bound))[0]

    def range(self) -> tuple[float, float]:
        total = int(self._counts.sum())
        low, high = self._seen.range()
        if not total or self._bound == 0:
            return low, high
        share = np.cumsum(self._counts) / total
        edges = np.linspace(-self._bound, self._bound, self.BINS + 1)
        first = int(np.searchsorted(share, self._outside, side="right"))
        last = int(np.searchsorted(share, 1 - self._outside, side="left"))
        return max(low, float(edges[first])), min(high, float(edges[min(last, self.BINS - 1) + 1]))


OBSERVERS = {"minmax": MinMax, "percentile": Percentile}
"""Observers by the names that `rl.quantize` takes."""
