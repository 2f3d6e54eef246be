"""Builds graphs by calling operators: every `OpDef` is a method of the builder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ops import registry
from ..types import Dim, TensorType, tensor_type
from .graph import Graph, Node, State, SymbolRange, Value, constant, make_node


class GraphBuilder:
    """Makes a graph operator by operator.

    ``b = GraphBuilder(); x = b.input("x", np.float32, ("N", 4)); b.output("y", b.linear(x, w)); program = b.build()``

    Operators are methods named as in the operator set; positional arguments are the inputs (values, or arrays and
    numbers, which become constants), keyword arguments are optional inputs by name and attributes. Raises ShapeError at
    the call that does not fit."""

    def __init__(self) -> None:
        self.graph = Graph()
        self._names: set[str] = set()
        self._counts: dict[str, int] = {}

    def unique(self, hint: str) -> str:
        """A value name that is not taken yet, `hint` itself if it is free."""
        name = hint
        while name in self._names:
            self._counts[hint] = self._counts.get(hint, 0) + 1
            name = f"{hint}_{self._counts[hint]}"
        self._names.add(name)
        return name

    def input(self, name: str, dtype: Any, shape: Iterable[int | str | Dim]) -> Value:
        """A graph input; strings in `shape` name symbolic dimensions."""
        if name in self._names:
            raise ShapeError(f"input '{name}' is defined twice")
        value = Value(tensor_type(dtype, shape), self.unique(name))
        for dim in value.type.shape:
            if isinstance(dim, Dim):
                for symbol in sorted(dim.symbols()):
                    self.graph.symbols.setdefault(symbol, SymbolRange())
        self.graph.inputs.append(value)
        return value

    def constant(self, array: Any, name: str = "constant") -> Value:
        """A constant; Python floats become float32, ints int64."""
        if isinstance(array, Value):
            return array
        if isinstance(array, float):
            array = np.float32(array)
        return constant(array, self.unique(name))

    def output(self, name: str, value: Value) -> None:
        """Names `value` as a graph output; outputs keep the order of these calls."""
        if any(name == other for other, _ in self.graph.outputs):
            raise ShapeError(f"output '{name}' is defined twice")
        self.graph.outputs.append((name, value))

    def state(self, name: str, type: TensorType, initial: Any = None) -> Value:
        """A state's value before the call; `set_state` names the one after it."""
        before = Value(type, self.unique(name))
        self.graph.states.append(State(name, before, before, initial))
        return before

    def set_state(self, name: str, value: Value) -> None:
        for state in self.graph.states:
            if state.name == name:
                if state.before.type != value.type:
                    raise ShapeError(f"state '{name}' is {state.before.type}, not {value.type}")
                state.after = value
                return
        raise ShapeError(f"no state '{name}'")

    def add_node(
        self, op: str, inputs: Iterable[Any], attrs: Mapping[str, Any] | None = None, name: str = ""
    ) -> tuple[Value, ...]:
        """Appends an operator; arrays among `inputs` become constants. Returns its outputs."""
        values = [None if value is None else self.constant(value) for value in inputs]
        node = make_node(op, values, attrs, name)
        return self.append(node)

    def append(self, node: Node) -> tuple[Value, ...]:
        for out in node.outputs:
            out.name = self.unique(out.name or node.name or node.op.name)
        self.graph.nodes.append(node)
        return tuple(node.outputs)

    def __getattr__(self, op: str) -> Callable[..., Any]:
        definition = registry().get(op)
        if definition is None:
            raise AttributeError(f"no operator '{op}'")

        def call(*inputs: Any, name: str = "", **keywords: Any) -> Any:
            values: list[Any] = list(inputs)
            for position, parameter in enumerate(definition.inputs):
                key = parameter.rstrip("?")
                if key in keywords and key not in definition.attrs:
                    while len(values) < position:
                        values.append(None)
                    values.append(keywords.pop(key))
            outputs = self.add_node(op, values, keywords, name)
            return outputs[0] if len(outputs) == 1 else outputs

        call.__name__ = op
        call.__doc__ = definition.doc
        return call

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *registry()]

    def build(self) -> Any:
        """The `Program` whose method ``forward`` is the graph. Raises ShapeError if the graph is not sound."""
        from ..program import Program

        return Program({"forward": self.graph})
