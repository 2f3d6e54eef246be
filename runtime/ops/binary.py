"""Functions of two tensors of one dtype, element by element, broadcast as in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .opdef import Array, Case, define
from .samples import SHAPES, sample
from .shapes import ANY, BOOL, FLOAT, NUMBER, broadcast_shapes, check_kind, check_same_dtype

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value

_BROADCASTS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), (3, 5)),
    ((4, 1, 7), (3, 1)),
    ((2, 33), (33,)),
    ((2, 3, 4, 5), (3, 1, 1)),
    ((1,), ()),
    ((0, 3), (1, 3)),
)
_SPECIAL = np.array([0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan], np.float32)


def _infer(kinds: str, dtype: str | None = None) -> Callable[[TensorType, TensorType], TensorType]:
    def infer(a: TensorType, b: TensorType) -> TensorType:
        check_same_dtype("a", a, "b", b)
        if kinds != ANY:
            check_kind("a", a, kinds)
        return TensorType(a.dtype if dtype is None else np.dtype(dtype), broadcast_shapes(a.shape, b.shape))

    return infer


def _cases(kinds: str, low: float = -4, special: bool = True, divisor: bool = False) -> Callable[[], Iterator[Case]]:
    """Samples of a start at `low`, so that powers stay real; a `divisor` b is 0 for integers in a case of its own."""
    dtypes = {FLOAT: (np.float32,), NUMBER: (np.float32, np.int32), ANY: (np.float32, np.int64, bool), BOOL: (bool,)}[
        kinds
    ]

    def second(shape: tuple[int, ...], dtype: Any, low: float = -4, high: float = 4) -> Array:
        b = sample(shape, dtype, low, high, seed=1)
        return np.asarray(np.where(b == 0, 1, b)).astype(dtype) if divisor and b.dtype.kind in "iu" else b

    def cases() -> Iterator[Case]:
        for dtype in dtypes:
            for shape in SHAPES:
                yield Case((sample(shape, dtype, low), second(shape, dtype)))
            for a, b in _BROADCASTS:
                yield Case((sample(a, dtype, low), second(b, dtype)))
        if kinds != BOOL:
            yield Case((sample((4, 6), np.float64, low), sample((6,), np.float64, seed=1)))
            if special:
                yield Case((_SPECIAL[:, None], _SPECIAL))
        if NUMBER in kinds:
            for dtype in (np.int8, np.uint8, np.int64):
                yield Case((sample((9, 5), dtype, -100, 100), second((9, 5), dtype, -100, 100)))
        if divisor:
            yield Case((np.array([[-7], [0], [7]], np.int32), np.array([-2, 0, 2], np.int32)))

    return cases


def _truncated_div(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    quotient = a // b
    inexact = (quotient * b != a) & (b != 0)
    return np.asarray(quotient + (inexact & ((a < 0) != (b < 0))).astype(a.dtype))


def _pow(a: Array, b: Array) -> Array:
    if a.dtype.kind != "i":
        return np.asarray(np.power(a, b))
    whole = np.power(a, np.maximum(b, 0))
    fraction = np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b % 2), 0))
    return np.where(b >= 0, whole, fraction).astype(a.dtype)


def _define(
    name: str,
    reference: Callable[..., Any],
    doc: str,
    *,
    kinds: str = NUMBER,
    result: str | None = None,
    onnx: str | None = None,
    tolerance: float = 0.0,
    **fields: Any,
) -> None:
    define(
        name,
        family="binary",
        inputs=("a", "b"),
        infer=_infer(kinds, result),
        reference=lambda a, b: np.asarray(reference(a, b)).astype(np.result_type(a, b) if result is None else result),
        doc=doc,
        onnx=onnx,
        tolerance=tolerance,
        **{"cases": _cases(kinds), **fields},
    )


_ARITHMETIC: tuple[tuple[str, Callable[..., Any], str], ...] = (
    ("add", np.add, "a + b; integers wrap."),
    ("sub", np.subtract, "a - b; integers wrap."),
    ("mul", np.multiply, "a b; integers wrap."),
)
for _name, _function, _doc in _ARITHMETIC:
    _define(_name, _function, _doc, onnx=_name.capitalize(), aten=f"{_name}.Tensor")

_define(
    "div",
    _truncated_div,
    "a / b; integers truncate towards zero, and divided by 0 give 0.",
    cases=_cases(NUMBER, divisor=True),
    onnx="Div",
)
_define(
    "floor_divide",
    np.floor_divide,
    "Largest whole number that is not above a / b; integers divided by 0 give 0.",
    cases=_cases(NUMBER, divisor=True),
    aten="floor_divide.default",
)
_define(
    "remainder",
    np.remainder,
    "a - b floor(a / b), with the sign of b; 0 for integers where b is 0.",
    cases=_cases(NUMBER, divisor=True),
    aten="remainder.Tensor",
)
_define(
    "fmod",
    np.fmod,
    "Remainder with the sign of a; 0 for integers where b is 0.",
    cases=_cases(NUMBER, divisor=True),
    aten="fmod.Tensor",
)
_define(
    "pow",
    _pow,
    "a to the power of b; for integers, the real result towards zero, 0 for a = 0 and b < 0, wrapping.",
    tolerance=1e-5,
    cases=_cases(NUMBER, low=0.1, special=False),
    aten="pow.Tensor_Tensor",
)
_define("maximum", np.maximum, "The larger of a and b, NaN if one is.", aten="maximum.default")
_define("minimum", np.minimum, "The smaller of a and b, NaN if one is.", aten="minimum.default")

_COMPARISONS: tuple[tuple[str, Callable[..., Any], str, str | None, str], ...] = (
    ("eq", np.equal, ANY, "Equal", "=="),
    ("ne", np.not_equal, ANY, None, "!="),
    ("lt", np.less, NUMBER, "Less", "<"),
    ("le", np.less_equal, NUMBER, "LessOrEqual", "<="),
    ("gt", np.greater, NUMBER, "Greater", ">"),
    ("ge", np.greater_equal, NUMBER, "GreaterOrEqual", ">="),
)
for _name, _function, _kinds, _onnx, _sign in _COMPARISONS:
    _define(
        _name,
        _function,
        f"True where a {_sign} b.",
        kinds=_kinds,
        result="bool",
        onnx=_onnx,
        aten=f"{_name}.Tensor",
    )

_LOGIC: tuple[tuple[str, Callable[..., Any], str, str], ...] = (
    ("logical_and", np.logical_and, "And", "True where both are."),
    ("logical_or", np.logical_or, "Or", "True where at least one is."),
    ("logical_xor", np.logical_xor, "Xor", "True where exactly one is."),
)
for _name, _function, _onnx, _doc in _LOGIC:
    _define(_name, _function, _doc, kinds=BOOL, result="bool", onnx=_onnx, aten=f"{_name}.default")


def _infer_where(condition: TensorType, a: TensorType, b: TensorType) -> TensorType:
    check_kind("condition", condition, BOOL)
    check_same_dtype("a", a, "b", b)
    return a.with_shape(broadcast_shapes(condition.shape, a.shape, b.shape))


def _where_cases() -> Iterator[Case]:
    for dtype in (np.float32, np.int64, bool):
        for shape in SHAPES:
            yield Case((sample(shape, bool, seed=2), sample(shape, dtype), sample(shape, dtype, seed=1)))
        yield Case((sample((3, 1, 5), bool, seed=2), sample((4, 1), dtype), sample((), dtype, seed=1)))
        yield Case((sample((1,), bool, seed=2), sample((4, 9), dtype), sample((9,), dtype, seed=1)))


where = define(
    "where",
    family="binary",
    inputs=("condition", "a", "b"),
    infer=_infer_where,
    reference=np.where,
    cases=_where_cases,
    doc="a where the condition is True, else b.",
    onnx="Where",
    aten="where.self",
    tolerance=0.0,
)


def _infer_prelu(x: TensorType, weight: TensorType) -> TensorType:
    check_kind("x", x, FLOAT)
    check_same_dtype("x", x, "weight", weight)
    if broadcast_shapes(x.shape, weight.shape) != x.shape:
        raise ShapeError(f"weight {weight} does not broadcast to x {x}")
    return x


def _decompose_prelu(b: GraphBuilder, x: Value, weight: Value) -> Value:
    zero = b.constant(np.zeros((), x.dtype))
    return b.where(b.ge(x, zero), x, b.mul(x, weight))  # type: ignore[no-any-return]


prelu = define(
    "prelu",
    family="binary",
    inputs=("x", "weight"),
    infer=_infer_prelu,
    reference=lambda x, weight: np.where(x >= 0, x, x * weight),
    decompose=_decompose_prelu,
    cases=lambda: (
        Case((sample(x), sample(weight, low=0, high=1, seed=1)))
        for x, weight in (((2, 3, 4, 5), (3, 1, 1)), ((7, 9), (9,)), ((5,), ()), ((), ()), ((0, 2), (1,)))
    ),
    doc="x where it is positive, else weight x; the weight broadcasts to the shape of x.",
    onnx="PRelu",
    tolerance=0.0,
)
