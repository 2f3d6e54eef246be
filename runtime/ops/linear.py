"""Products with matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .activation import ACTIVATION_ATTRS, activate
from .opdef import Array, Case, define
from .shapes import broadcast_shapes


def _infer_linear(
    x: TensorType,
    weight: TensorType,
    bias: TensorType | None = None,
    residual: TensorType | None = None,
    *,
    activation: str,
    alpha: float,
    beta: float,
) -> TensorType:
    if x.rank < 1 or weight.rank != 2 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"x {x} does not fit weight {weight} [N, K]")
    out = x.with_shape((*x.shape[:-1], weight.shape[0]))
    for name, other in (("weight", weight), ("bias", bias), ("residual", residual)):
        if other is not None and other.dtype != x.dtype:
            raise ShapeError(f"{name} is {other.dtype}, x is {x.dtype}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"bias is {bias}, expected [{weight.shape[0]}]")
    if residual is not None and residual.shape != out.shape:
        raise ShapeError(f"residual is {residual}, the result {out}")
    return out


def _linear(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    activation: str,
    alpha: float,
    beta: float,
) -> Array:
    out = x @ weight.T
    if bias is not None:
        out = out + bias
    if residual is not None:
        out = out + residual
    return activate(out, activation, alpha, beta)


def _floats(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(np.float32)


def _linear_cases() -> Iterator[Case]:
    rng = np.random.default_rng(6)

    def case(rows: Sequence[int], k: int, n: int, bias: bool = True, residual: bool = False, **attrs: Any) -> Case:
        weight = _floats(rng, n, k) / np.float32(np.sqrt(max(k, 1)))
        return Case(
            (
                _floats(rng, *rows, k),
                weight,
                _floats(rng, n) if bias else None,
                _floats(rng, *rows, n) if residual else None,
            ),
            attrs,
        )

    yield case((5,), 7, 3)
    yield case((), 9, 4, bias=False)
    yield case((2, 3), 33, 65, activation="relu")
    yield case((1,), 1, 1)
    yield case((0,), 4, 4)
    yield case((3,), 0, 4)
    yield case((17,), 130, 31, residual=True)
    yield case((4,), 16, 16, bias=False, residual=True, activation="silu")
    yield case((4,), 16, 17, activation="clamp", alpha=-0.5, beta=0.5)
    yield case((4,), 16, 17, activation="gelu")


def _infer_matmul(a: TensorType, b: TensorType) -> TensorType:
    if a.dtype != b.dtype:
        raise ShapeError(f"a is {a.dtype}, b is {b.dtype}")
    if a.rank < 1 or b.rank < 1:
        raise ShapeError(f"a {a} and b {b} must have at least 1 dimension")
    left = a.shape if a.rank > 1 else (1, *a.shape)
    right = b.shape if b.rank > 1 else (*b.shape, 1)
    if left[-1] != right[-2]:
        raise ShapeError(f"a {a} does not fit b {b}")
    shape = [*broadcast_shapes(left[:-2], right[:-2])]
    shape += [left[-2]] if a.rank > 1 else []
    shape += [right[-1]] if b.rank > 1 else []
    return a.with_shape(shape)


def _matmul_cases() -> Iterator[Case]:
    rng = np.random.default_rng(7)
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((3, 5), (5, 7)),
        ((4,), (4,)),
        ((4,), (4, 3)),
        ((2, 3, 4), (4,)),
        ((2, 1, 3, 33), (5, 33, 17)),
        ((6, 3, 4), (6, 4, 2)),
        ((1, 1), (1, 1)),
        ((0, 4), (4, 3)),
        ((3, 0), (0, 2)),
    ]
    for a, b in shapes:
        yield Case((_floats(rng, *a), _floats(rng, *b)))
    yield Case((rng.integers(-9, 9, (3, 4)), rng.integers(-9, 9, (4, 5))))


linear = define(
    "linear",
    family="linear",
    inputs=("x", "weight", "bias?", "residual?"),
    attrs=dict(ACTIVATION_ATTRS),
    infer=_infer_linear,
    reference=_linear,
    cases=_linear_cases,
    doc="activation(x weightᵀ + bias + residual) for x [..., K] and weight [N, K].",
)

matmul = define(
    "matmul",
    family="linear",
    inputs=("a", "b"),
    infer=_infer_matmul,
    reference=lambda a, b: np.matmul(a, b),
    cases=_matmul_cases,
    onnx="MatMul",
    aten="matmul.default",
    doc="Matrix product of the last two axes; the axes before them broadcast, 1-D operands are vectors.",
)
