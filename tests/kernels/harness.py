"""Runs single kernels on memory that ends at a page nobody may touch: an access past an operand ends the process."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families, pack_params

Array = npt.NDArray[Any]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_PATTERN = 0xA5
_FENCE = mmap.PAGESIZE


def fenced(array: Array) -> tuple[Array, Array]:
    """A copy of `array` that ends at a forbidden page, and the bytes before it, filled with a pattern."""
    size = -(-(array.nbytes + 64) // _FENCE) * _FENCE
    memory = mmap.mmap(-1, size + _FENCE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if _libc.mprotect(address + size, _FENCE, 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    every_byte = np.frombuffer(memory, np.uint8, size)
    every_byte[:] = _PATTERN
    copy = every_byte[size - array.nbytes :].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy, every_byte[: size - array.nbytes]


def available_rows(family: str) -> list[Any]:
    return [row for row in families()[family].rows if row.available]


def run(
    row: Any,
    operands: Mapping[str, Array | None],
    params: Mapping[str, Any],
    in_place: str | None = None,
    threads: int = 1,
    chunk: int = 1,
) -> Array:
    """Runs a kernel on fenced copies and returns its `out`, which takes the memory of operand `in_place` if given."""
    family = next(f for f in families().values() if any(r.symbol == row.symbol for r in f.rows))
    copies: dict[str, Array] = {}
    before = []
    for name, array in operands.items():
        if array is not None and not (name == "out" and in_place):
            copies[name], guard = fenced(array)
            before.append(guard)
    if in_place:
        copies["out"] = copies[in_place].view(operands["out"].dtype)  # type: ignore[union-attr]
    flat = [copies[name].reshape(-1).view(np.uint8) if name in copies else None for name, _ in family.operands]
    assert set(operands) <= {name for name, _ in family.operands}
    _core.run_kernel(row.symbol, pack_params(family.name, **params), flat, threads, chunk)
    for guard in before:
        assert (guard == _PATTERN).all()
    for name, array in operands.items():
        if array is not None and name not in ("out", in_place):
            assert copies[name].tobytes() == array.tobytes()
    return np.array(copies["out"])


def same_bits(a: Array, b: Array) -> bool:
    """Equal bytes, but for what kind of NaN a NaN is."""
    if a.dtype.kind != "f":
        return np.array_equal(a, b)
    nan = np.isnan(a)
    bits = f"u{a.dtype.itemsize}"
    return np.array_equal(nan, np.isnan(b)) and np.array_equal(a[~nan].view(bits), b[~nan].view(bits))


def ulps(got: Array, expected: Array) -> Array:
    """Distance of float32 results to float64 truth in units of the truth's last place.

    Results below the normal range may be zero. NaN and infinities must match: they count 0 if they do, else inf.
    """
    got64 = got.astype(np.float64)
    with np.errstate(over="ignore"):
        rounded = expected.astype(np.float32)
    unit = np.ldexp(1.0, np.maximum(np.frexp(np.where(np.isfinite(expected), expected, 1.0))[1] - 24, -149))
    with np.errstate(invalid="ignore"):
        error = np.abs(got64 - expected) / unit
    alike = (np.isnan(got) & np.isnan(expected)) | (got == rounded) | ((np.abs(expected) < 1.2e-38) & (got == 0))
    return np.where(alike, 0.0, np.where(np.isfinite(rounded) & np.isfinite(got), error, np.inf))
