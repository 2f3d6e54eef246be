"""Fused multiply-add of float32 arrays, exact to the bit, without an instruction for it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .opdef import Array


def fma(a: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike) -> Array:
    """``a * b + c`` of float32 operands, rounded to float32 once; they broadcast.

    The product is exact in float64. The sum is rounded to odd there (Boldo and Melquiond, 2008): where it is inexact,
    the neighbour with an odd last bit is taken, which makes the second rounding, to float32, the correct one.
    """
    x, y, z = (np.asarray(v, np.float32).astype(np.float64) for v in (a, b, c))
    p = np.asarray(x * y)
    s = np.asarray(p + z)
    virtual = s - p
    error = (p - (s - virtual)) + (z - virtual)
    is_even = (s.view(np.int64) & 1) == 0
    inexact = np.isfinite(s) & (error != 0) & is_even
    odd = np.nextafter(s, np.where(error > 0, np.inf, -np.inf))
    return np.asarray(np.where(inexact, odd, s).astype(np.float32))
