"""One record an operator: everything that the rest of Rushlight knows about it is derived from here.

A family module defines its operators at import, and importing `rushlight.runtime.ops` imports every family module::

    relu = define(
        "relu",
        family="unary",
        inputs=("x",),
        infer=same_type,
        reference=lambda x: np.maximum(x, 0),
        cases=unary_cases,
        onnx="Relu",
        aten="relu.default",
        doc="max(x, 0), element by element.",
    )

Names and attributes follow PyTorch's functional API. Tests, documentation, the builder's methods, one-to-one importer
rules come from the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError, UnsupportedError
from ..types import DTYPES, Dim, TensorType

Array: TypeAlias = npt.NDArray[Any]
AttrValue: TypeAlias = Any
"""bool, int, float, str, None, a Dim, a tuple of these (nested), or a Graph."""

REQUIRED = object()
"""Default of an attribute that has none."""


@dataclass(frozen=True)
class Attr:
    """An attribute: `kind` is one of bool, int, float, str, dtype, ints, floats, dims, pads, graph."""

    kind: str
    default: AttrValue = REQUIRED
    doc: str = ""
    optional: bool = False  # None is a value too
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A test's inputs: arrays (None for an absent optional input) and attributes."""

    inputs: tuple[Array | None, ...]
    attrs: Mapping[str, AttrValue] = field(default_factory=dict)


Infer: TypeAlias = Callable[..., "TensorType | tuple[TensorType, ...]"]


@dataclass(frozen=True)
class OpDef:
    """The definition of one operator.

    `inputs`: names; ``"bias?"`` may be absent (None), ``"*tensors"`` (last) takes one or more.
    `infer(*types, **attrs)`: the types of the outputs; None stands for an absent input. Raises ShapeError.
    `reference(*arrays, **attrs)`: what the operator means, in NumPy; slow and clear. Floats are computed in float64 by
    the caller's choice of inputs: a reference must not cast floats down itself.
    `decompose(builder, *values, **attrs)`: the same in terms of other operators, for backends without a kernel.
    `invariant(*outputs, **attrs)`: what holds for every result beyond accuracy, such as a range.
    `tolerance`: largest difference to the reference that a float32 kernel may show, relative to max(1, |reference|).
    """

    name: str
    family: str
    inputs: tuple[str, ...]
    infer: Infer
    reference: Callable[..., Any]
    cases: Callable[[], Iterable[Case]]
    doc: str
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("out",)
    decompose: Callable[..., Any] | None = None
    tolerance: float = 1e-5
    onnx: str | None = None
    aten: str | None = None
    invariant: Callable[..., bool] | None = None
    version: int = 1

    @property
    def is_variadic(self) -> bool:
        return bool(self.inputs) and self.inputs[-1].startswith("*")

    def check_arity(self, count: int) -> None:
        """Raises ShapeError unless `count` inputs (absent ones included) fit."""
        required = sum(not name.endswith("?") for name in self.inputs)
        if count < required or (count > len(self.inputs) and not self.is_variadic):
            raise ShapeError(f"{self.name}: {count} inputs, expected {self._signature()}")

    def _signature(self) -> str:
        return f"({', '.join(self.inputs)})"

    def complete_attrs(self, given: Mapping[str, AttrValue]) -> dict[str, AttrValue]:
        """`given` with defaults filled in and every value checked. Raises ShapeError."""
        unknown = given.keys() - self.attrs.keys()
        if unknown:
            raise ShapeError(f"{self.name}: no attribute {', '.join(sorted(unknown))}")
        out: dict[str, AttrValue] = {}
        for name, attr in self.attrs.items():
            value = given.get(name, attr.default)
            if value is REQUIRED:
                raise ShapeError(f"{self.name}: attribute '{name}' is missing")
            out[name] = normalize_attr(self.name, name, attr, value)
        return out

    def infer_types(self, types: Sequence[TensorType | None], attrs: Mapping[str, AttrValue]) -> tuple[TensorType, ...]:
        """Types of the outputs. Raises ShapeError, with the operator's name, where the inputs do not fit."""
        self.check_arity(len(types))
        for name, given in zip(self.inputs, types, strict=False):
            if given is None and not name.endswith("?"):
                raise ShapeError(f"{self.name}: input '{name}' is missing")
        try:
            out = self.infer(*types, **attrs)
        except ShapeError as error:
            text = str(error)
            raise ShapeError(text if text.startswith(f"{self.name}:") else f"{self.name}: {text}") from None
        return out if isinstance(out, tuple) else (out,)

    def run_reference(self, arrays: Sequence[Array | None], attrs: Mapping[str, AttrValue]) -> tuple[Array, ...]:
        """The operator in NumPy: arrays in, arrays out, dtypes as the reference leaves them."""
        with np.errstate(all="ignore"):
            out = self.reference(*arrays, **attrs)
        return tuple(np.asarray(x) for x in (out if isinstance(out, tuple) else (out,)))


_PLAIN = {"bool": bool, "int": int, "float": float}
_PLAIN_ITEMS = {"ints": int, "floats": float, "dims": int}
"""What is in the form that graphs hold already, by kind; nearly all attributes are."""


def normalize_attr(op: str, name: str, attr: Attr, value: AttrValue) -> AttrValue:
    """`value` in the one form that graphs hold (tuples, Python scalars, dtype names). Raises ShapeError."""
    item = _PLAIN_ITEMS.get(attr.kind)
    if type(value) is _PLAIN.get(attr.kind) or (type(value) is tuple and item and all(type(v) is item for v in value)):
        return value

    def fail() -> ShapeError:
        return ShapeError(f"{op}: attribute '{name}' must be {attr.kind}, not {value!r:.80}")

    def scalar(kind: type, v: Any) -> Any:
        if isinstance(v, (bool, np.bool_)) != (kind is bool):
            raise fail()
        if kind is float and isinstance(v, (int, float, np.integer, np.floating)):
            return float(v)
        if kind is int and isinstance(v, (int, np.integer)):
            return int(v)
        if kind is bool:
            return bool(v)
        raise fail()

    if value is None:
        if not attr.optional:
            raise fail()
        return None
    match attr.kind:
        case "bool":
            return scalar(bool, value)
        case "int":
            return scalar(int, value)
        case "float":
            return scalar(float, value)
        case "str":
            if not isinstance(value, str) or (attr.choices and value not in attr.choices):
                raise ShapeError(
                    f"{op}: attribute '{name}' must be one of {', '.join(attr.choices)}, not {value!r:.80}"
                )
            return value
        case "dtype":
            dtype = value if isinstance(value, str) else _dtype_name(value)
            if dtype not in DTYPES:
                raise fail()
            return dtype
        case "ints" | "floats" | "dims":
            if not isinstance(value, (tuple, list, np.ndarray)):
                raise fail()
            if attr.kind == "dims":
                return tuple(v if isinstance(v, Dim) else scalar(int, v) for v in value)
            return tuple(scalar(int if attr.kind == "ints" else float, v) for v in value)
        case "graph":
            from ..ir.graph import Graph

            if not isinstance(value, Graph):
                raise fail()
            return value
    raise UnsupportedError(f"{op}: attribute '{name}' is of unknown kind {attr.kind}")


def _dtype_name(value: Any) -> str:
    try:
        return str(np.dtype(value).name)
    except TypeError:
        return ""


_REGISTRY: dict[str, OpDef] = {}


def define(name: str, **fields: Any) -> OpDef:
    """Makes an OpDef and registers it under its name."""
    definition = OpDef(name=name, **fields)
    if name in _REGISTRY:
        raise ValueError(f"operator {name} is defined twice")
    _REGISTRY[name] = definition
    return definition


def get(name: str) -> OpDef:
    """The operator called `name`. Raises UnsupportedError."""
    try:
        return _REGISTRY[name]
    except KeyError:
        raise UnsupportedError(f"unknown operator '{name[:80]}'") from None


def registry() -> Mapping[str, OpDef]:
    """All operators by name."""
    return _REGISTRY
