"""Arrays of constants that are made when they are read: float32 held in 16 bits, or computed from such.

Nothing keeps what was made, so a large constant takes memory only while its packing reads it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..ops import Array

HALVES: tuple[str, ...] = ("float16", "bfloat16")
"""Names of the 16-bit formats."""


class Lazy(ABC):
    """What an array says of itself, and `read`, which makes it."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Of the array that `read` makes."""
        return self.size * self.dtype.itemsize

    @abstractmethod
    def read(self) -> Array:
        """The array, made anew by every call."""

    def __getitem__(self, index: int) -> Array | Lazy:
        """One of those that lie along the first axis."""
        return np.asarray(self.read()[index])


class Half(Lazy):
    """float32 numbers that 16 bits hold exactly.

    `bits`: float16, or uint16 with the upper halves of the float32 (bfloat16). Denormal halves are normal float32."""

    def __init__(self, bits: Array) -> None:
        super().__init__(bits.shape, np.float32)
        if bits.dtype not in (np.float16, np.uint16):
            raise TypeError(f"halves are float16 or uint16, not {bits.dtype}")
        self.bits = bits

    @property
    def format(self) -> str:
        """One of `HALVES`."""
        return "float16" if self.bits.dtype == np.float16 else "bfloat16"

    def read(self) -> Array:
        if self.format == "float16":
            return self.bits.astype(np.float32)
        wide = self.bits.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)

    def __getitem__(self, index: int) -> Half:
        return Half(self.bits[index])


class Computed(Lazy):
    """What a function of no arguments makes of the elements of `source`."""

    def __init__(self, source: Lazy, compute: Callable[[], Array]) -> None:
        super().__init__(source.shape, source.dtype)
        self.source = source
        self._compute = compute

    def read(self) -> Array:
        return self._compute().astype(self.dtype, copy=False)


def halve(array: Array, format: str) -> Half:
    """float32 rounded to the nearest number of a 16-bit format, ties to even; what is too large becomes infinite, NaN
    stays NaN."""
    if format == "float16":
        with np.errstate(over="ignore"):
            return Half(array.astype(np.float16))
    bits = np.ascontiguousarray(array).view(np.uint32)
    odd = (bits >> 16) & 1
    rounded = ((bits + odd + np.uint32(0x7FFF)) >> 16).astype(np.uint16)
    return Half(np.where(np.isnan(array), (bits >> 16).astype(np.uint16) | np.uint16(0x40), rounded))


def backing(stored: Array | Lazy) -> Array:
    """The array whose elements are in memory."""
    while isinstance(stored, Computed):
        stored = stored.source
    if isinstance(stored, Half):
        return stored.bits
    assert isinstance(stored, np.ndarray)
    return stored


def dense(source: Array | Lazy) -> Array:
    """The array itself, contiguous."""
    array = source.read() if isinstance(source, Lazy) else source
    return np.ascontiguousarray(array).reshape(array.shape)
