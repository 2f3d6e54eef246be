"""Weights as gemm kernels pack them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rushlight.runtime.ir import halve
from rushlight.runtime.lower.gemm import HALF_NAMES
from rushlight.runtime.ops import Array


def random_weights(types: str, shape: Sequence[int], rng: np.random.Generator) -> Array:
    """float32, the bits of halves or int8, as a row's operand `types` say."""
    if not types.startswith("f32"):
        return rng.integers(-127, 128, shape, np.int8)
    weights = rng.standard_normal(shape, np.float32)
    for format, name in HALF_NAMES.items():
        if types == f"f32{name}f32":
            return halve(weights, format).bits
    return weights


def weight_bytes(types: str) -> int:
    """Of an element."""
    return random_weights(types, (1,), np.random.default_rng(0)).itemsize
