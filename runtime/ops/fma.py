"""Fused multiply-add: of float32 arrays, exact to the bit, without an instruction for it; and the operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from ..types import TensorType
from .activation import ACTIVATION_ATTRS, activate, build_activation
from .opdef import Array, Case, define
from .samples import sample
from .shapes import FLOAT, broadcast_shapes, check_kind

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value


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


def _infer(x: TensorType, scale: TensorType, offset: TensorType, **_: Any) -> TensorType:
    check_kind("x", x, FLOAT)
    if scale.dtype != x.dtype or offset.dtype != x.dtype:
        raise ShapeError(f"x, scale and offset are {x.dtype}, {scale.dtype} and {offset.dtype}, must be the same")
    return x.with_shape(broadcast_shapes(x.shape, scale.shape, offset.shape))


def _reference(x: Array, scale: Array, offset: Array, **activation: Any) -> Array:
    out = fma(x, scale, offset) if x.dtype == np.float32 else x * scale + offset
    return activate(np.asarray(out), **activation)


def _decompose(b: GraphBuilder, x: Value, scale: Value, offset: Value, **activation: Any) -> Value:
    return build_activation(b, b.add(b.mul(x, scale), offset), **activation)


def _cases() -> Iterator[Case]:
    shapes: tuple[tuple[tuple[int, ...], ...], ...] = (
        ((7,), (7,), (7,)),
        ((2, 5, 3, 33), (33,), (33,)),
        ((2, 3, 4, 5), (3, 1, 1), (1, 3, 1, 1)),
        ((3, 17), (), (17,)),
        ((3, 17), (17,), ()),
        ((1,), (4, 1), (1, 6)),
        ((0, 5), (5,), (5,)),
    )
    for shape in shapes:
        yield Case(tuple(sample(s, seed=i) for i, s in enumerate(shape)))
    x, scale, offset = sample((9, 65)), sample((65,), seed=1), sample((65,), seed=2)
    for attrs in ({"activation": "relu"}, {"activation": "clamp", "alpha": -1.0, "beta": 2.5}, {"activation": "silu"}):
        yield Case((x, scale, offset), attrs)
    yield Case(tuple(sample(s, np.float64) for s in ((3, 4), (4,), (4,))))


define(
    "fma",
    family="binary",
    inputs=("x", "scale", "offset"),
    attrs=ACTIVATION_ATTRS,
    infer=_infer,
    reference=_reference,
    cases=_cases,
    decompose=_decompose,
    doc="activation(x scale + offset), rounded once before the activation; the three broadcast.",
    tolerance=2e-6,
)
