"""What is remembered of a value's range during calibration, in memory that does not grow with the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rushlight.runtime.ops import Array

STEPS = 255
"""Steps between the ends of a quantized range."""


class Histogram:
    """Counts of the values seen in `BINS` bins of equal width, and the ranges to quantize that follow from them.

    The bins cover [-bound, bound), bound being a power of two; where a value lies outside, bins double in width and
    neighbours are merged. So the counts do not depend on how the data is cut into arrays.
    """

    BINS = 4096
    SMALLEST = 2.0**-100
    """Least bound; its bins are far below what quantization tells apart."""

    def __init__(self) -> None:
        self._counts = np.zeros(self.BINS, np.int64)
        self._zeros = 0
        self._bound = self.SMALLEST
        self._low, self._high = np.inf, -np.inf

    def see(self, array: Array) -> None:
        """Takes a finite float32 array of any shape into account."""
        if not array.size:
            return
        low, high = float(array.min()), float(array.max())
        self._low, self._high = min(self._low, low), max(self._high, high)
        bound = 2.0 ** int(np.frexp(max(-low, high, 0.0))[1])
        while bound > self._bound:
            merged = self._counts.reshape(-1, 2).sum(1)
            quarter = np.zeros(self.BINS // 4, np.int64)
            self._counts = np.concatenate([quarter, merged, quarter])
            self._bound *= 2
        per_bin = np.float32(self.BINS / 2 / self._bound)
        places = np.floor(array.reshape(-1) * per_bin).astype(np.int32) + self.BINS // 2
        self._counts += np.bincount(places, minlength=self.BINS)
        self._zeros += array.size - int(np.count_nonzero(array))

    def extremes(self) -> tuple[float, float]:
        """The smallest and the largest value; (0, 0) if nothing was seen."""
        return (self._low, self._high) if self._low <= self._high else (0.0, 0.0)

    def percentile(self, keep: float = 99.99) -> tuple[float, float]:
        """The range with `keep` per cent of the values above its lower end, and as many below its upper one."""
        low, high = self.extremes()
        total = int(self._counts.sum())
        if not total:
            return low, high
        outside = 1 - keep / 100
        share = np.cumsum(self._counts) / total
        edges = np.linspace(-self._bound, self._bound, self.BINS + 1)
        first = int(np.searchsorted(share, outside, side="right"))
        last = int(np.searchsorted(share, 1 - outside, side="left"))
        return max(low, float(edges[first])), min(high, float(edges[min(last, self.BINS - 1) + 1]))

    def least_noise(self) -> tuple[float, float]:
        """The range whose quantization has the smallest mean square error: rounding inside, clipping outside of it."""
        low, high = (min(self.extremes()[0], 0.0), max(self.extremes()[1], 0.0))
        counts = self._counts.astype(np.float64)
        counts[self.BINS // 2] -= self._zeros  # zero is exact in every range
        middles = (np.arange(self.BINS) + 0.5 - self.BINS / 2) * (2 * self._bound / self.BINS)
        moments = [np.concatenate([[0.0], np.cumsum(counts * middles**power)]) for power in range(3)]

        def place(value: Array) -> Array:
            bins = np.rint((value / self._bound + 1) * (self.BINS / 2))
            return np.clip(bins, 0, self.BINS).astype(np.intp)

        shares = np.linspace(0.2, 1.0, 81)
        lows, highs = (low * shares)[:, None], (high * shares)[None, :]
        m0, m1, m2 = (moment[place(lows)] for moment in moments)
        below = m2 - 2 * lows * m1 + lows**2 * m0
        inside = moments[0][place(highs)] - m0
        m0, m1, m2 = (moment[-1] - moment[place(highs)] for moment in moments)
        above = m2 - 2 * highs * m1 + highs**2 * m0
        noise = below + above + inside * ((highs - lows) / STEPS) ** 2 / 12
        i, j = np.unravel_index(int(np.argmin(noise[::-1, ::-1])), noise.shape)  # of equals the widest
        return float(lows[::-1][i, 0]), float(highs[:, ::-1][0, j])


class Channels:
    """Mean and largest magnitude of the values of every channel."""

    def __init__(self, axis: int, channels: int) -> None:
        self._axis = axis
        self._total = np.zeros(channels)
        self._peak = np.zeros(channels)
        self._count = 0

    def see(self, array: Array) -> None:
        """Takes a finite array, of the same rank and channels every time, into account."""
        others = tuple(axis for axis in range(array.ndim) if axis != self._axis)
        self._total += array.sum(others, dtype=np.float64)
        self._peak = np.maximum(self._peak, np.abs(array).max(others, initial=0.0))
        self._count += array.size // max(len(self._total), 1)

    def mean(self) -> Array:
        """float64 [channels]; zeros if nothing was seen."""
        return self._total / max(self._count, 1)

    def peak(self) -> Array:
        """float64 [channels]; zeros if nothing was seen."""
        return self._peak


METHODS: Mapping[str, Callable[[Histogram], tuple[float, float]]] = {
    "minmax": Histogram.extremes,
    "percentile": Histogram.percentile,
    "mse": Histogram.least_noise,
}
"""Ways to choose a range."""

AUTO = ("minmax", "mse")
"""Those that "auto" chooses from; the first one cuts nothing off that calibration saw."""
