"""Arrays for the cases of the generic tests: small, ragged, reproducible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .opdef import Array

SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (7,), (65,), (0, 3), (3, 33), (2, 3, 5, 7))
"""Scalars, size 0 and 1, and sizes that are no multiple of a vector."""


def sample(shape: Sequence[int], dtype: Any = np.float32, low: float = -4, high: float = 4, seed: int = 0) -> Array:
    """Uniform in ``[low, high)``; for bool, both values."""
    rng = np.random.default_rng([seed, *shape])
    resolved = np.dtype(dtype)
    if resolved.kind == "b":
        return np.asarray(rng.integers(0, 2, shape)).astype(bool)
    if resolved.kind in "iu":
        low = max(low, np.iinfo(resolved).min)
        return np.asarray(rng.integers(int(low), int(high), shape)).astype(resolved)
    return np.asarray(rng.uniform(low, high, shape)).astype(resolved)
