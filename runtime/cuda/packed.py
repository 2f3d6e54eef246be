"""Weights as the GPU's kernels read them, packed on the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..ir import Half
from ..ops import Array
from .family import Row
from .tiles import ceil_div

COLUMNS = 16
"""Columns of float weights are padded to a multiple of this; pack_b's results, too (lower/gemm.py)."""
_PITCH = 128
"""Packed rows of integer weights are padded to this many bytes, the largest BLOCK_K."""
_ALIGNMENT = 128
_VECTOR = 16
_STORED: Mapping[str, npt.DTypeLike] = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16}
"""How weights lie in memory, by their name among the types of kernels."""


def weight_type(row: Row) -> str:
    """Of a float row of gemm: f32, f16 or bf16."""
    return row.types.removeprefix("f32").removesuffix("f32")


def source(src: Array, dtype: npt.DTypeLike, *shape: int) -> Array:
    """The bytes of `src` as an array of this dtype and shape."""
    array: Array = np.ascontiguousarray(src).reshape(-1).view(np.uint8).view(dtype).reshape(shape)
    return array


def _filters(fields: Any, src: Array, dtype: npt.DTypeLike) -> Array:
    """gemm's weights as [matrices, n, kh * kw, k]."""
    matrices, n, k = (int(fields[name]) for name in ("weights", "n", "k"))
    filters: Array
    if fields["weight_is_kn"]:
        filters = source(src, dtype, matrices, k, 1, n).transpose(0, 3, 2, 1)
    else:
        filters = source(src, dtype, matrices, n, k, int(fields["kh"] * fields["kw"])).transpose(0, 1, 3, 2)
    return filters


def _sizes(fields: Any, element: int) -> tuple[int, int, int, int, int]:
    matrices, n, k, kh, kw = (int(fields[name]) for name in ("weights", "n", "k", "kh", "kw"))
    return matrices, n, k * element, kh, kw


@dataclass(frozen=True)
class TensorLayout(ABC):
    """What products on tensor cores read: x's zero 16 bytes wide, int32 offsets[matrices][n] of integers, and
    rows[matrices][n][pitch] of kh runs, kw * k bytes of channels each, padded to `vectors` * 16; the gaps are zero."""

    matrices: int
    n: int
    k: int
    """Bytes of a tap's channels."""
    kh: int
    kw: int

    element: ClassVar[int]
    """Bytes of a weight and of an element of x."""

    @abstractmethod
    def pack(self, fields: Any, src: Array, out: Array) -> None:
        """`src` as gemm's weights, `out` of `size` bytes."""

    @property
    def run(self) -> int:
        return self.kw * self.k

    @property
    def vectors(self) -> int:
        return max(1, ceil_div(self.run, _VECTOR))

    @property
    def depth(self) -> int:
        return self.kh * self.vectors * _VECTOR

    @property
    def pitch(self) -> int:
        return ceil_div(self.depth, _PITCH) * _PITCH

    @property
    @abstractmethod
    def rows_at(self) -> int:
        """Where rows begin."""

    @property
    def size(self) -> int:
        return self.rows_at + self.matrices * self.n * self.pitch

    def _pack_rows(self, filters: Array, out: Array) -> None:
        """`filters` as `_filters` makes them."""
        out[:] = 0
        rows = out[self.rows_at : self.size].reshape(self.matrices, self.n, self.pitch)
        runs = np.zeros((self.matrices, self.n, self.kh, self.vectors * _VECTOR), np.uint8)
        taps = np.ascontiguousarray(filters).view(np.uint8)
        runs[..., : self.run] = taps.reshape(self.matrices, self.n, self.kh, self.run)
        rows[:, :, : self.depth] = runs.reshape(self.matrices, self.n, self.depth)


@dataclass(frozen=True)
class IntegerLayout(TensorLayout):
    """Weights of int8; an offset is -zero point * sum of the weights."""

    element = 1

    offsets_at = _VECTOR

    @property
    def rows_at(self) -> int:
        return ceil_div(self.offsets_at + self.matrices * self.n * 4, _ALIGNMENT) * _ALIGNMENT

    @staticmethod
    def of(fields: Any) -> IntegerLayout:
        return IntegerLayout(*_sizes(fields, IntegerLayout.element))

    def pack(self, fields: Any, src: Array, out: Array) -> None:
        filters = _filters(fields, src, np.int8)
        zero_point = int(fields["src_zero_point"])
        self._pack_rows(filters, out)
        out[: self.offsets_at] = zero_point
        offsets = out[self.offsets_at :][: self.matrices * self.n * 4].view(np.int32)
        offsets[:] = (filters.sum((2, 3), dtype=np.int32) * np.int32(-zero_point)).reshape(-1)


@dataclass(frozen=True)
class Tf32Layout(TensorLayout):
    """Weights rounded to TF32, without offsets. `stored`: how they come, as f32, f16 or bf16; TF32 holds the latter two
    exactly."""

    stored: str

    element = 4

    @staticmethod
    def of(fields: Any, stored: str) -> Tf32Layout:
        return Tf32Layout(*_sizes(fields, Tf32Layout.element), stored)

    @property
    def rows_at(self) -> int:
        return _ALIGNMENT

    def pack(self, fields: Any, src: Array, out: Array) -> None:
        filters = _filters(fields, src, _STORED[self.stored])
        self._pack_rows(round_to_tf32(filters) if self.stored == "f32" else Half(filters).read(), out)


def round_to_tf32(x: Array) -> Array:
    """float32 rounded to the 10 bits of fraction of TF32, halves away from zero, as cvt.rna of the PTX ISA does."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)
    return np.asarray(np.where(np.isnan(x), np.float32(np.nan), rounded))


@dataclass(frozen=True)
class FloatLayout:
    """[matrices][kh * kw * k][n, padded with zeros to a multiple of 16] of float32, or of the 16 bits of halves."""

    matrices: int
    n: int
    depth: int
    dtype: np.dtype[Any]

    @staticmethod
    def of(fields: Any, dtype: Any) -> FloatLayout:
        depth = int(fields["k"] * fields["kh"] * fields["kw"])
        return FloatLayout(int(fields["weights"]), int(fields["n"]), depth, np.dtype(dtype))

    @property
    def pitch(self) -> int:
        """Elements from row to row."""
        return ceil_div(self.n, COLUMNS) * COLUMNS

    @property
    def size(self) -> int:
        return self.matrices * self.depth * self.pitch * self.dtype.itemsize

    def pack(self, fields: Any, src: Array, out: Array) -> None:
        filters = _filters(fields, src, self.dtype)
        rows = out[: self.size].view(self.dtype).reshape(self.matrices, self.depth, self.pitch)
        rows[:, :, : self.n] = filters.reshape(self.matrices, self.n, self.depth).transpose(0, 2, 1)
        rows[:, :, self.n :] = 0


@dataclass(frozen=True)
class DepthwiseLayout:
    """[kh * kw][c, padded with zeros to a multiple of 4] of int8 or float32."""

    channels: int
    taps: int
    dtype: np.dtype[Any]

    @staticmethod
    def of(fields: Any, dtype: Any) -> DepthwiseLayout:
        return DepthwiseLayout(int(fields["c"]), int(fields["kh"] * fields["kw"]), np.dtype(dtype))

    @property
    def pitch(self) -> int:
        return ceil_div(self.channels, 4) * 4

    @property
    def size(self) -> int:
        return self.taps * self.pitch * self.dtype.itemsize

    def pack(self, src: Array, out: Array) -> None:
        rows = out[: self.size].view(self.dtype).reshape(self.taps, self.pitch)
        rows[:, : self.channels] = source(src, self.dtype, self.channels, self.taps).T
        rows[:, self.channels :] = 0


@dataclass(frozen=True)
class RecurrentLayout:
    """[depth / d][gates][units, padded to a multiple of 16][d] of int8 or float32, d numbers of 16 bytes; the padded
    depth changes no sum."""

    gates: int
    hidden: int
    dtype: np.dtype[Any]

    @property
    def pitch(self) -> int:
        return ceil_div(self.hidden, 16) * 16

    @property
    def shape(self) -> tuple[int, int, int, int]:
        numbers = _VECTOR // self.dtype.itemsize
        return ceil_div(self.hidden, numbers), self.gates, self.pitch, numbers

    @property
    def size(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def pack(self, src: Array, out: Array) -> None:
        vectors, gates, pitch, numbers = self.shape
        padded = np.full((gates, pitch, vectors * numbers), -0.0, self.dtype)
        padded[:, : self.hidden, : self.hidden] = source(src, self.dtype, gates, self.hidden, self.hidden)
        to = out[: self.size].view(self.dtype).reshape(self.shape)
        to[:] = padded.reshape(gates, pitch, vectors, numbers).transpose(2, 0, 1, 3)
