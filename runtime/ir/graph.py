"""The intermediate representation: a graph of operators over values, each value assigned once.

Nodes stand in an order in which every value is produced before it is used. Constants are values that carry their array.
A graph can be the body of a control-flow node (an attribute of kind ``graph``); it sees nothing but its inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ops import Array, OpDef, get
from ..types import TensorType
from .lazy import Half, Lazy


class Value:
    """A tensor in a graph: an input, a node's output, or a constant. What a constant is `stored` as, an array or a
    `Lazy` one, has the value's type; `data` is its array."""

    __slots__ = ("name", "producer", "stored", "type")

    def __init__(
        self, type: TensorType, name: str = "", stored: Array | Lazy | None = None, producer: Node | None = None
    ) -> None:
        self.type = type
        self.name = name
        self.stored = stored
        self.producer = producer

    @property
    def data(self) -> Array | None:
        """The array of a constant, None for other values. Made anew by every call where it is lazy: to know whether
        there is one, or its shape, ask `is_constant` and `shape`."""
        return self.stored.read() if isinstance(self.stored, Lazy) else self.stored

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.type.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.type.dtype

    @property
    def is_constant(self) -> bool:
        return self.stored is not None

    def __repr__(self) -> str:
        return f"%{self.name or hex(id(self))[-5:]}: {self.type}"


class Node:
    """One application of an operator. `inputs` holds None where an optional input is absent.

    `origin` is the operator that the node was decomposed from, "" for others.
    """

    __slots__ = ("attrs", "inputs", "name", "op", "origin", "outputs")

    def __init__(
        self,
        op: OpDef,
        inputs: Sequence[Value | None],
        attrs: Mapping[str, Any],
        outputs: Sequence[Value],
        name: str = "",
    ) -> None:
        self.op = op
        self.inputs = list(inputs)
        self.attrs = dict(attrs)
        self.outputs = list(outputs)
        self.name = name
        self.origin = ""
        for out in self.outputs:
            out.producer = self

    @property
    def output(self) -> Value:
        """The only output."""
        (only,) = self.outputs
        return only

    def __repr__(self) -> str:
        return f"{', '.join(map(repr, self.outputs))} = {self.op.name}({', '.join(map(repr, self.inputs))})"


@dataclass
class State:
    """A value that a session keeps between calls: read as `before`, replaced by `after`, at first `initial`."""

    name: str
    before: Value
    after: Value
    initial: Array | None = None  # None: zeros


@dataclass(frozen=True)
class SymbolRange:
    """The sizes that a symbolic dimension may take, both ends included; None: no upper bound."""

    low: int = 1
    high: int | None = None


@dataclass
class Graph:
    """Inputs, nodes in execution order, and named outputs."""

    inputs: list[Value] = field(default_factory=list)
    outputs: list[tuple[str, Value]] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    symbols: dict[str, SymbolRange] = field(default_factory=dict)

    def constants(self) -> list[Value]:
        """Constants in the order of first use, each once."""
        seen: dict[int, Value] = {}
        for value in self.used_values():
            if value.is_constant:
                seen.setdefault(id(value), value)
        return list(seen.values())

    def used_values(self) -> Iterator[Value]:
        """Inputs of all nodes, graph outputs and states, with repetition."""
        for node in self.nodes:
            for value in node.inputs:
                if value is not None:
                    yield value
        for _, value in self.outputs:
            yield value
        for state in self.states:
            yield state.after

    def users(self) -> dict[Value, list[Node]]:
        """Nodes that read each value, in order, once a use. Graph outputs and states are not nodes: see `kept`."""
        out: dict[Value, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                if value is not None:
                    out.setdefault(value, []).append(node)
        return out

    def kept(self) -> set[Value]:
        """Values that must exist after a run: outputs and new states."""
        return {value for _, value in self.outputs} | {state.after for state in self.states}

    def replace(self, old: Value, new: Value) -> None:
        """Every use of `old` becomes a use of `new`; their types must agree."""
        if old.type != new.type:
            raise ShapeError(f"cannot replace {old} by {new}")
        self.replace_many({old: new})

    def replace_many(self, mapping: Mapping[Value, Value]) -> None:
        """`replace` for many values in one walk; chains (a -> b, b -> c) are followed."""

        def last(value: Value) -> Value:
            while value in mapping:
                value = mapping[value]
            return value

        for node in self.nodes:
            node.inputs = [None if value is None else last(value) for value in node.inputs]
        self.outputs = [(name, last(value)) for name, value in self.outputs]
        for state in self.states:
            state.after = last(state.after)

    def prune(self) -> bool:
        """Drops nodes whose results nobody needs. True if there were any."""
        live = self.kept()
        nodes: list[Node] = []
        for node in reversed(self.nodes):
            if any(out in live for out in node.outputs):
                nodes.append(node)
                live.update(value for value in node.inputs if value is not None)
        changed = len(nodes) != len(self.nodes)
        self.nodes = nodes[::-1]
        return changed

    def clone(self) -> Graph:
        """A copy that passes may change: new nodes and values, the same arrays. Sub-graphs are cloned too."""
        mapping: dict[Value, Value] = {}

        def copy(value: Value) -> Value:
            if value not in mapping:
                mapping[value] = Value(value.type, value.name, value.stored)
            return mapping[value]

        out = Graph(symbols=dict(self.symbols))
        out.inputs = [copy(value) for value in self.inputs]
        for state in self.states:
            copy(state.before)
        for node in self.nodes:
            attrs = {k: v.clone() if isinstance(v, Graph) else v for k, v in node.attrs.items()}
            inputs = [None if value is None else copy(value) for value in node.inputs]
            out.nodes.append(Node(node.op, inputs, attrs, [copy(value) for value in node.outputs], node.name))
        out.outputs = [(name, copy(value)) for name, value in self.outputs]
        out.states = [State(s.name, copy(s.before), copy(s.after), s.initial) for s in self.states]
        return out

    def __str__(self) -> str:
        from .printer import print_graph

        return print_graph(self)


def constant(array: Any, name: str = "") -> Value:
    """A constant value; an array, or the bits of halves, are made contiguous and must not be changed afterwards."""
    stored: Array | Lazy
    if isinstance(array, Half):
        stored = Half(_contiguous(array.bits))
    elif isinstance(array, Lazy):
        stored = array
    else:
        stored = _contiguous(array)
    return Value(TensorType(stored.dtype, stored.shape), name, stored)


def rearranged(value: Value, move: Callable[[Array], Array]) -> Value:
    """A constant with what `move`, which only moves elements, makes of the array of a constant; halves stay halves."""
    array = Half(move(value.stored.bits)) if isinstance(value.stored, Half) else move(np.asarray(value.data))
    return constant(array, value.name)


def _contiguous(array: Any) -> Array:
    return _transposed(array) if _is_transposed(array) else np.ascontiguousarray(array).reshape(np.shape(array))


def _is_transposed(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.ndim == 2 and array.flags.f_contiguous and array.size > 1 << 16


def _transposed(array: Array) -> Array:
    """A contiguous copy in stripes, which caches hold: several times as fast as NumPy's."""
    out = np.empty(array.shape, array.dtype)
    for first in range(0, array.shape[1], 64):
        out[:, first : first + 64] = array[:, first : first + 64]
    return out


def make_node(
    op: str | OpDef, inputs: Iterable[Value | None], attrs: Mapping[str, Any] | None = None, name: str = ""
) -> Node:
    """A node with checked attributes and inferred types, in no graph yet. Raises ShapeError, UnsupportedError."""
    definition = op if isinstance(op, OpDef) else get(op)
    values = list(inputs)
    while len(values) < len(definition.inputs) and definition.inputs[len(values)].endswith("?"):
        values.append(None)
    complete = definition.complete_attrs(attrs or {})
    types = definition.infer_types([None if v is None else v.type for v in values], complete)
    return Node(definition, values, complete, [Value(t) for t in types], name)
