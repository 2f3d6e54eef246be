"""Functions of one tensor, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .opdef import Array, Attr, Case, define
from .samples import SHAPES, sample
from .shapes import BOOL, FLOAT, NUMBER, check_kind

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value

_SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 20.5, -20.5, 1e3, -1e3, np.inf, -np.inf, np.nan, 1e-30], np.float32)


def scalar(b: GraphBuilder, x: Value, number: float) -> Value:
    """`number` as a constant of the dtype of `x`."""
    return b.constant(np.array(number, x.dtype))


def _keep_dtype(function: Callable[..., Any]) -> Callable[..., Array]:
    def reference(x: Array, **attrs: Any) -> Array:
        return np.asarray(function(x, **attrs)).astype(x.dtype, copy=False)

    return reference


def _infer(kinds: str, dtype: str | None = None) -> Callable[..., TensorType]:
    def infer(x: TensorType, **_: Any) -> TensorType:
        check_kind("x", x, kinds)
        return x if dtype is None else x.with_dtype(dtype)

    return infer


def _cases(kinds: str, low: float, attrs: tuple[Mapping[str, Any], ...]) -> Callable[[], Iterator[Case]]:
    def cases() -> Iterator[Case]:
        for each in attrs:
            for shape in SHAPES:
                yield Case((sample(shape, np.float32, low, 4),), each)
        yield Case((sample((5, 9), np.float64, low, 4),), attrs[0])
        yield Case((_SPECIAL if low < 0 else np.abs(_SPECIAL),), attrs[0])
        if kinds == NUMBER:
            for dtype in (np.int8, np.int32, np.int64, np.uint8):
                yield Case((sample((3, 13), dtype, -100, 100),), attrs[0])

    return cases


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, np.ones_like(e), e) / (1 + e))


def _gelu(x: Array, approximate: str) -> Array:
    if approximate == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


_erf_scalar = np.frompyfunc(math.erf, 1, 1)


def _erf(x: Array) -> Array:
    return np.asarray(_erf_scalar(x.astype(np.float64))).astype(x.dtype)


def _softplus(x: Array) -> Array:
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _sign(x: Array) -> Array:
    return (x > 0).astype(np.int8) - (x < 0).astype(np.int8)


def _elu(x: Array, alpha: float) -> Array:
    return np.asarray(np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def _infer_clamp(x: TensorType, min: float | None, max: float | None) -> TensorType:
    check_kind("x", x, NUMBER)
    if x.dtype.kind != "f":
        for bound in (min, max):
            if bound is not None and math.isfinite(bound) and bound != int(bound):
                raise ShapeError(f"bound {bound} of integers is not whole")
    return x


def _clamp(x: Array, min: float | None, max: float | None) -> Array:
    limits: Any = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
    if x.dtype.kind == "f":
        out = x if min is None else np.maximum(x, x.dtype.type(min))
        return np.asarray(out if max is None else np.minimum(out, x.dtype.type(max)))

    def bound(value: float) -> Any:
        return limits.min if value <= limits.min else limits.max if value >= limits.max else int(value)

    out = x if min is None else np.maximum(x, x.dtype.type(bound(min)))
    return np.asarray(out if max is None else np.minimum(out, x.dtype.type(bound(max))))


def _decompose_relu(b: GraphBuilder, x: Value) -> Value:
    return b.maximum(x, scalar(b, x, 0))  # type: ignore[no-any-return]


def _decompose_silu(b: GraphBuilder, x: Value) -> Value:
    return b.mul(x, b.sigmoid(x))  # type: ignore[no-any-return]


def _decompose_gelu(b: GraphBuilder, x: Value, approximate: str) -> Value:
    if approximate == "tanh":
        cubic = b.mul(scalar(b, x, 0.044715), b.mul(x, b.square(x)))
        inner = b.tanh(b.mul(scalar(b, x, math.sqrt(2 / math.pi)), b.add(x, cubic)))
    else:
        inner = b.erf(b.mul(x, scalar(b, x, math.sqrt(0.5))))
    return b.mul(b.mul(x, scalar(b, x, 0.5)), b.add(inner, scalar(b, x, 1)))  # type: ignore[no-any-return]


def _decompose_hardsigmoid(b: GraphBuilder, x: Value) -> Value:
    shifted = b.clamp(b.add(x, scalar(b, x, 3)), min=0.0, max=6.0)
    return b.div(shifted, scalar(b, x, 6))  # type: ignore[no-any-return]


def _decompose_hardswish(b: GraphBuilder, x: Value) -> Value:
    return b.mul(x, b.hardsigmoid(x))  # type: ignore[no-any-return]


def _decompose_leaky_relu(b: GraphBuilder, x: Value, negative_slope: float) -> Value:
    scaled = b.mul(x, scalar(b, x, negative_slope))
    return b.where(b.ge(x, scalar(b, x, 0)), x, scaled)  # type: ignore[no-any-return]


def _decompose_elu(b: GraphBuilder, x: Value, alpha: float) -> Value:
    zero, one = scalar(b, x, 0), scalar(b, x, 1)
    below = b.mul(scalar(b, x, alpha), b.sub(b.exp(b.minimum(x, zero)), one))
    return b.where(b.gt(x, zero), x, below)  # type: ignore[no-any-return]


def _decompose_softplus(b: GraphBuilder, x: Value) -> Value:
    tail = b.log(b.add(b.exp(b.neg(b.abs(x))), scalar(b, x, 1)))
    return b.add(b.maximum(x, scalar(b, x, 0)), tail)  # type: ignore[no-any-return]


def _decompose_mish(b: GraphBuilder, x: Value) -> Value:
    return b.mul(x, b.tanh(b.softplus(x)))  # type: ignore[no-any-return]


def _decompose_rsqrt(b: GraphBuilder, x: Value) -> Value:
    return b.reciprocal(b.sqrt(x))  # type: ignore[no-any-return]


def _decompose_reciprocal(b: GraphBuilder, x: Value) -> Value:
    return b.div(scalar(b, x, 1), x)  # type: ignore[no-any-return]


def _decompose_square(b: GraphBuilder, x: Value) -> Value:
    return b.mul(x, x)  # type: ignore[no-any-return]


def _decompose_isnan(b: GraphBuilder, x: Value) -> Value:
    return b.ne(x, x)  # type: ignore[no-any-return]


def _define(
    name: str,
    reference: Callable[..., Any],
    doc: str,
    *,
    kinds: str = FLOAT,
    low: float = -4,
    attrs: Mapping[str, Attr] | None = None,
    variants: tuple[Mapping[str, Any], ...] = ({},),
    **fields: Any,
) -> None:
    """An operator whose result has the type of x; `low` bounds the samples, `variants` are attributes to test."""
    fields = {"infer": _infer(kinds), "cases": _cases(kinds, low, variants), **fields}
    define(
        name,
        family="unary",
        inputs=("x",),
        attrs=attrs or {},
        reference=_keep_dtype(reference),
        doc=doc,
        **fields,
    )


def _in_unit_interval(out: Array) -> bool:
    known = out[~np.isnan(out)]
    return bool(np.all((known >= 0) & (known <= 1)))


def _within_one(out: Array) -> bool:
    return _in_unit_interval(np.abs(out))


def _within_quarter_turn(out: Array) -> bool:
    return not np.any(np.abs(out) > out.dtype.type(math.pi / 2))


def _not_negative(out: Array) -> bool:
    return not np.any(out < 0)


_FLOAT_FUNCTIONS: tuple[tuple[str, Callable[..., Any], str | None, float, str, dict[str, Any]], ...] = (
    ("exp", np.exp, "Exp", -4, "e to the power of x.", {"invariant": _not_negative}),
    ("log", np.log, "Log", 0.01, "Natural logarithm; NaN below 0.", {}),
    ("sqrt", np.sqrt, "Sqrt", 0, "Square root, correctly rounded; NaN below 0.", {"tolerance": 0.0}),
    ("erf", _erf, "Erf", -4, "Gauss error function.", {"invariant": _within_one}),
    ("sin", np.sin, "Sin", -100, "Sine of x in radians.", {"invariant": _within_one}),
    ("cos", np.cos, "Cos", -100, "Cosine of x in radians.", {"invariant": _within_one}),
    ("atan", np.arctan, "Atan", -100, "Inverse tangent of x, in radians.", {"invariant": _within_quarter_turn}),
    ("floor", np.floor, "Floor", -100, "Largest whole number that is not above x.", {"tolerance": 0.0}),
    ("ceil", np.ceil, "Ceil", -100, "Smallest whole number that is not below x.", {"tolerance": 0.0}),
    ("round", np.rint, "Round", -100, "Nearest whole number, halves to even.", {"tolerance": 0.0}),
    ("sigmoid", sigmoid, "Sigmoid", -4, "1 / (1 + exp(-x)).", {"invariant": _in_unit_interval}),
    ("tanh", np.tanh, "Tanh", -4, "Hyperbolic tangent.", {"invariant": _within_one}),
    ("softplus", _softplus, "Softplus", -4, "log(1 + exp(x)).", {"decompose": _decompose_softplus}),
    ("mish", lambda x: x * np.tanh(_softplus(x)), "Mish", -4, "x tanh(softplus(x)).", {"decompose": _decompose_mish}),
    ("rsqrt", lambda x: 1 / np.sqrt(x), None, 0.01, "1 / sqrt(x).", {"decompose": _decompose_rsqrt}),
    ("reciprocal", lambda x: 1 / x, "Reciprocal", 0.01, "1 / x.", {"decompose": _decompose_reciprocal}),
    ("silu", lambda x: x * sigmoid(x), None, -4, "x sigmoid(x).", {"decompose": _decompose_silu}),
)
for _name, _function, _onnx, _low, _doc, _fields in _FLOAT_FUNCTIONS:
    _define(_name, _function, _doc, low=_low, onnx=_onnx, aten=f"{_name}.default", **_fields)

_NUMBER_FUNCTIONS: tuple[tuple[str, Callable[..., Any], str | None, str, dict[str, Any]], ...] = (
    ("relu", lambda x: np.maximum(x, 0), "Relu", "max(x, 0).", {"decompose": _decompose_relu}),
    ("abs", np.abs, "Abs", "Absolute value; the smallest integer stays what it is.", {}),
    ("neg", np.negative, "Neg", "-x, wrapping for integers.", {}),
    ("sign", _sign, "Sign", "-1, 0 or 1; 0 for NaN.", {}),
    ("square", np.square, None, "x x, wrapping for integers.", {"decompose": _decompose_square}),
)
for _name, _function, _onnx, _doc, _fields in _NUMBER_FUNCTIONS:
    _define(_name, _function, _doc, kinds=NUMBER, onnx=_onnx, aten=f"{_name}.default", tolerance=0.0, **_fields)

_define(
    "gelu",
    _gelu,
    "x times the normal distribution function of x, or its approximation by tanh.",
    attrs={"approximate": Attr("str", "none", choices=("none", "tanh"))},
    variants=({}, {"approximate": "tanh"}),
    decompose=_decompose_gelu,
    onnx="Gelu",
    aten="gelu.default",
)

_define(
    "hardsigmoid",
    lambda x: np.clip(x + 3, 0, 6) / 6,
    "clamp(x + 3, 0, 6) / 6.",
    decompose=_decompose_hardsigmoid,
    invariant=_in_unit_interval,
    aten="hardsigmoid.default",
)

_define(
    "hardswish",
    lambda x: x * (np.clip(x + 3, 0, 6) / 6),
    "x hardsigmoid(x).",
    decompose=_decompose_hardswish,
    onnx="HardSwish",
    aten="hardswish.default",
)

_define(
    "leaky_relu",
    lambda x, negative_slope: np.where(x >= 0, x, x * x.dtype.type(negative_slope)),
    "x where it is positive, else negative_slope x.",
    attrs={"negative_slope": Attr("float", 0.01)},
    variants=({}, {"negative_slope": 0.2}),
    decompose=_decompose_leaky_relu,
    aten="leaky_relu.default",
)

_define(
    "elu",
    _elu,
    "x where it is positive, else alpha (exp(x) - 1).",
    attrs={"alpha": Attr("float", 1.0)},
    variants=({}, {"alpha": 0.5}),
    decompose=_decompose_elu,
    onnx="Elu",
    aten="elu.default",
)

_define(
    "clamp",
    _clamp,
    "min(max(x, min), max): max wins where the bounds cross, NaN stays. Bounds of integers are whole and saturate.",
    kinds=NUMBER,
    attrs={"min": Attr("float", None, optional=True), "max": Attr("float", None, optional=True)},
    variants=({"min": -1.0, "max": 2.0}, {"min": 0.0}, {"max": 1.0}, {"min": 2.0, "max": 1.0}),
    infer=_infer_clamp,
    tolerance=0.0,
    aten="clamp.default",
)

define(
    "logical_not",
    family="unary",
    inputs=("x",),
    infer=_infer(BOOL),
    reference=np.logical_not,
    cases=lambda: (Case((sample(shape, bool),)) for shape in SHAPES),
    doc="True where x is False.",
    onnx="Not",
    aten="logical_not.default",
    tolerance=0.0,
)

define(
    "isnan",
    family="unary",
    inputs=("x",),
    infer=_infer(FLOAT, "bool"),
    reference=np.isnan,
    decompose=_decompose_isnan,
    cases=lambda: (Case((x,)) for x in (_SPECIAL, sample((), np.float32), np.full((0, 2), np.nan, np.float64))),
    doc="True where x is NaN.",
    onnx="IsNaN",
    aten="isnan.default",
    tolerance=0.0,
)
