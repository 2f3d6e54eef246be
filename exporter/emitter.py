"""The builder that importers write to: it folds constants, follows shapes as values and keeps dimensions consistent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from rushlight.exporter.bounds import is_at_least, solve_dim
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Graph, GraphBuilder, SymbolRange, Value, constant, dense, make_node
from rushlight.runtime.ops import Array, OpDef
from rushlight.runtime.passes.halves import fold_halves
from rushlight.runtime.types import Dim, DimLike, TensorType, exact_div, substitute

FOLD_BYTES = 1 << 20
"""A folded constant may be this large; a larger one must not be larger than what it is made of."""

MULTIPLES = (2, 4, 8, 16, 32, 64, 128, 3, 6, 12, 24, 48, 96, 5, 10, 20, 40, 7, 14, 28, 56)
"""Factors of an input size that are tried where two dimensions must agree."""


class Conflict(Exception):
    """Two dimensions must be equal: the import has to start again.

    `substitution`: what symbols are replaced by. `pins`: expressions that have a fixed value for all allowed sizes.
    """

    def __init__(
        self, substitution: Mapping[str, DimLike] | None = None, pins: Mapping[Dim, int] | None = None
    ) -> None:
        super().__init__(f"{substitution} {pins}")
        self.substitution = dict(substitution or {})
        self.pins = dict(pins or {})


class ShapeTensor:
    """A tensor whose elements are known dimensions: `elements` is an object array of int, Dim, bool (or float)."""

    def __init__(self, elements: Any, dtype: Any = np.int64) -> None:
        self.elements: Array = np.asarray(elements, dtype=object)
        self.dtype = np.dtype(dtype)
        self.value: Value | None = None

    @property
    def shape(self) -> tuple[DimLike, ...]:
        return self.elements.shape

    @property
    def type(self) -> TensorType:
        return TensorType(self.dtype, self.elements.shape)


Term: TypeAlias = Value | ShapeTensor


class Emitter(GraphBuilder):
    """Nodes are named after `hint`, the source's name of what is being imported.

    `pins`: dimensions that are known to have one value; an axis of such a size becomes an axis of that value.
    `enclosing`: the emitter of the graph around this one, which is then the body of a branch.
    """

    def __init__(self, pins: Mapping[Dim, int] | None = None, enclosing: Emitter | None = None) -> None:
        super().__init__()
        self.hint = ""
        self.enclosing = enclosing
        self.pins: dict[Dim, int] = dict(pins or {})
        if enclosing is not None:
            self.graph.symbols = enclosing.graph.symbols
            self.pins = enclosing.pins

    @property
    def ranges(self) -> dict[str, SymbolRange]:
        return self.graph.symbols

    def constant(self, array: Any, name: str = "constant") -> Value:
        if isinstance(array, ShapeTensor):
            return self._materialize(array)
        return super().constant(array, name)

    def scalar(self, number: float | int | bool, like: Term) -> Value:
        """A 0-d constant of the dtype of `like`."""
        return self.constant(np.asarray(number).astype(like.type.dtype), "scalar")

    def cast(self, x: Any, dtype: Any) -> Value:
        """`x` as `dtype`; `x` itself where it already is."""
        value = self.constant(x)
        if value.dtype == np.dtype(dtype):
            return value
        return self.add_node("cast", [value], {"dtype": np.dtype(dtype).name})[0]

    def reshape(self, x: Any, shape: Sequence[DimLike]) -> Value:
        value = self.constant(x)
        if value.shape == tuple(shape):
            return value
        return self.add_node("reshape", [value], {"shape": tuple(shape)})[0]

    def permute(self, x: Any, dims: Sequence[int]) -> Value:
        value = self.constant(x)
        if list(dims) == list(range(len(value.shape))):
            return value
        return self.add_node("permute", [value], {"dims": tuple(dims)})[0]

    def add_node(
        self, op: str | OpDef, inputs: Iterable[Any], attrs: Mapping[str, Any] | None = None, name: str = ""
    ) -> tuple[Value, ...]:
        values = [None if value is None else self.constant(value) for value in inputs]
        node = make_node(op, values, attrs, name or self.hint)
        types = [out.type for out in node.outputs]
        given = [value.stored for value in node.inputs if value is not None]
        # A dequantized constant stays: it is what makes a weight an integer one.
        fold = node.op.name != "dequantize" and given and all(stored is not None for stored in given)
        if fold and _may_fold(node.attrs, types, given):
            halves = fold_halves(node)
            if halves is not None:
                return (constant(halves, self.unique(node.name or node.op.name)),)
            arrays = [None if value is None else value.data for value in node.inputs]
            with np.errstate(all="ignore"):
                results = node.op.run_reference(arrays, node.attrs)
            return tuple(
                constant(result.astype(type.dtype, copy=False), self.unique(node.name or node.op.name))
                for result, type in zip(results, types, strict=True)
            )
        return tuple(self._pin(out) for out in self.append(node))

    def _pin(self, value: Value) -> Value:
        pinned = {axis: self.pins[d] for axis, d in enumerate(value.shape) if isinstance(d, Dim) and d in self.pins}
        if not pinned:
            return value
        attrs = {"axes": list(pinned), "starts": [0] * len(pinned), "ends": list(pinned.values())}
        return self.add_node("slice", [value], {**attrs, "steps": [1] * len(pinned)})[0]

    def add_broadcast(self, op: str | OpDef, inputs: Sequence[Any], attrs: Mapping[str, Any] | None = None) -> Value:
        """An operator with NumPy broadcasting whose inputs' dimensions are made to agree first."""
        values = [self.constant(value) for value in inputs]
        rank = max(len(value.shape) for value in values)
        for axis in range(1, rank + 1):
            dims = [value.shape[-axis] for value in values if len(value.shape) >= axis and value.shape[-axis] != 1]
            for other in dims[1:]:
                self.unify(dims[0], other)
        return self.add_node(op, values, attrs)[0]

    def unify(self, a: DimLike, b: DimLike) -> None:
        """Makes `a` and `b` equal. Raises Conflict where that changes earlier types, else UnsupportedError."""
        if a == b or (isinstance(a, int) and isinstance(b, int)):
            return
        for one, other in ((a, b), (b, a)):
            symbol = one.as_symbol() if isinstance(one, Dim) else None
            if symbol is not None and not (isinstance(other, Dim) and symbol in other.symbols()):
                raise Conflict({symbol: other})
        symbols = sorted(_symbols(a) & _symbols(b))
        for chosen in [*([symbol] for symbol in symbols), symbols]:
            for factor in MULTIPLES:
                multiple: dict[str, DimLike] = {symbol: Dim.symbol(symbol) * factor for symbol in chosen}
                if substitute(a, multiple) == substitute(b, multiple):
                    raise Conflict(multiple)
        for one, other in ((a, b), (b, a)):
            ratio, value = (one, other) if isinstance(other, int) else (exact_div(one, other), 1)
            if isinstance(ratio, Dim):
                self._fix(ratio, value)
        raise UnsupportedError(f"dimensions {a} and {b} must be equal, which no choice of the inputs' sizes ensures")

    def _fix(self, dim: Dim, value: DimLike) -> None:
        """Raises Conflict with what makes `dim` equal to the number `value`, if there is such a thing."""
        if self.enclosing is not None:
            raise UnsupportedError(f"one branch needs {dim} to be {value}, which the other may not: fix this size")
        found = solve_dim(dim, lambda size: size == value, self.ranges)
        if found is not None:
            symbol, sizes = found
            if sizes.low == sizes.high:
                raise Conflict({symbol: sizes.low})
            raise Conflict(pins={dim: int(value)})  # type: ignore[arg-type]

    def require(self, dim: DimLike, low: int, high: int | None, what: str) -> None:
        """Sees to ``low <= dim <= high``, narrowing the range of the symbol. Raises UnsupportedError, saying `what`."""
        if is_at_least(dim, low, self.ranges) and (high is None or is_at_least(high, dim, self.ranges)):
            return
        found = None
        if isinstance(dim, Dim):
            found = solve_dim(dim, lambda size: size >= low and (high is None or size <= high), self.ranges)
        if found is None:
            raise UnsupportedError(f"{what}: {dim} is not always in {low}..{'' if high is None else high}")
        symbol, narrowed = found
        self.ranges[symbol] = narrowed

    def dims(self, term: Term | None, what: str) -> list[DimLike]:
        """The elements of an integer tensor, flat. Raises UnsupportedError where they depend on data."""
        elements = self.elements(term)
        if elements is None:
            raise UnsupportedError(f"{what} depends on data")
        out: list[DimLike] = []
        for element in elements.reshape(-1):
            if not isinstance(element, (int, Dim)):
                raise UnsupportedError(f"{what} is not an integer")
            out.append(element if isinstance(element, Dim) else int(element))
        return out

    def ints(self, term: Term | None, what: str) -> list[int]:
        """The same where every element must be a number."""
        out: list[int] = []
        for dim in self.dims(term, what):
            if isinstance(dim, Dim):
                raise UnsupportedError(f"{what} depends on the dimension {dim}")
            out.append(dim)
        return out

    def elements(self, term: Term | None) -> Array | None:
        """The elements as an object array where they are known, else None."""
        if isinstance(term, ShapeTensor):
            return term.elements
        if isinstance(term, Value) and term.stored is not None and term.stored.size <= FOLD_BYTES // 8:
            return np.array(dense(term.stored).tolist(), dtype=object).reshape(term.shape)
        return None

    def array(self, term: Term | None, what: str) -> Array:
        """The data of a constant. Raises UnsupportedError where it is none."""
        if isinstance(term, Value) and term.stored is not None:
            return dense(term.stored)
        raise UnsupportedError(f"{what} is not a constant")

    def _materialize(self, tensor: ShapeTensor) -> Value:
        if tensor.value is None:
            flat = tensor.elements.reshape(-1).tolist()
            if any(isinstance(element, Dim) for element in flat):
                values = self.add_node("dim_values", [], {"values": tuple(flat)})[0]
                tensor.value = self.cast(self.reshape(values, tensor.elements.shape), tensor.dtype)
            else:
                tensor.value = super().constant(np.array(flat, dtype=tensor.dtype).reshape(tensor.elements.shape))
        return tensor.value


def _symbols(dim: DimLike) -> set[str]:
    return dim.symbols() if isinstance(dim, Dim) else set()


def _may_fold(attrs: Mapping[str, Any], types: Sequence[TensorType], given: Sequence[Any]) -> bool:
    if any(_has_dim(attr) for attr in attrs.values()) or not all(type.is_static for type in types):
        return False
    size = sum(int(np.prod(type.static_shape())) * type.dtype.itemsize for type in types)
    return size <= max(FOLD_BYTES, sum(int(data.nbytes) for data in given))


def _has_dim(attr: Any) -> bool:
    if isinstance(attr, tuple):
        return any(_has_dim(item) for item in attr)
    return isinstance(attr, (Dim, Graph))
