"""Runs any graph in NumPy, node by node: the judge in tests, slow and never tuned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import numpy as np

from .errors import ShapeError
from .ir import Graph, Node, State, Value, dense
from .ops import Array, Attr, OpDef
from .types import Dim, TensorType, evaluate


def run_reference(
    graph: Graph,
    inputs: Mapping[str, Any],
    outputs: Iterable[str] | None = None,
    *,
    states: MutableMapping[str, Array] | None = None,
    wide: bool = False,
) -> dict[str, Array]:
    """The outputs of `graph` by name, or only those in `outputs`. Raises ShapeError for inputs that do not fit.

    `states` holds the states by name; it is updated, and absent ones start with their initial value. `wide` computes in
    float64 whatever the graph computes in float32.
    """
    if wide:
        return run_reference(
            widen(graph), {k: _widen_array(np.asarray(v)) for k, v in inputs.items()}, outputs, states=states
        )
    arrays = {name: np.asarray(array) for name, array in inputs.items()}
    _check_names(graph, arrays)
    sizes = bind_symbols(graph, [arrays[value.name].shape for value in graph.inputs])
    known: dict[Value, Array] = {}
    for value in graph.inputs:
        known[value] = _checked(arrays[value.name], value, sizes, f"input '{value.name}'")
    states = {} if states is None else states
    for state in graph.states:
        if state.name not in states:
            states[state.name] = _initial(state, sizes)
        known[state.before] = _checked(states[state.name], state.before, sizes, f"state '{state.name}'")
    for node in graph.nodes:
        _run_node(node, known, sizes)
    for state in graph.states:
        states[state.name] = _read(state.after, known)
    named = dict(graph.outputs)
    wanted = list(named) if outputs is None else list(outputs)
    unknown = [name for name in wanted if name not in named]
    if unknown:
        raise ShapeError(f"no output {', '.join(unknown)}; there is {', '.join(named)}")
    return {name: _read(named[name], known) for name in wanted}


def bind_symbols(graph: Graph, shapes: Iterable[tuple[int, ...]]) -> dict[str, int]:
    """Sizes of the symbolic dimensions that inputs of these shapes imply. Raises ShapeError where they contradict."""
    sizes: dict[str, int] = {}
    for value, shape in zip(graph.inputs, shapes, strict=True):
        if len(shape) != value.type.rank:
            raise ShapeError(f"input '{value.name}' has shape {list(shape)}, expected {value.type}")
        for dim, size in zip(value.type.shape, shape, strict=True):
            solved = dim.solve(size) if isinstance(dim, Dim) else None
            if solved is not None and sizes.setdefault(*solved) != solved[1]:
                raise ShapeError(f"dimension '{solved[0]}' is {sizes[solved[0]]} and {solved[1]}")
    for symbol, size in sizes.items():
        limits = graph.symbols.get(symbol)
        if limits is not None and (size < limits.low or (limits.high is not None and size > limits.high)):
            raise ShapeError(f"dimension '{symbol}' is {size}, allowed is {limits.low} to {limits.high or 'any'}")
    return sizes


def evaluate_attrs(op: OpDef, attrs: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """`attrs` with numbers in place of symbolic dimensions, in sub-graphs too, as `OpDef.reference` takes them."""

    def concrete(attr: Attr, value: Any) -> Any:
        if attr.kind == "dims" and value is not None:
            return tuple(evaluate(dim, sizes) for dim in value)
        return value

    def static(type: TensorType) -> TensorType:
        return type.with_shape(dim.substitute(sizes) if isinstance(dim, Dim) else dim for dim in type.shape)

    def convert(attr: Attr, value: Any) -> Any:
        return _rewrite(value, static, lambda a: a, convert) if isinstance(value, Graph) else concrete(attr, value)

    return {name: convert(op.attrs[name], value) for name, value in attrs.items()}


def widen(graph: Graph) -> Graph:
    """A copy that computes in float64 what `graph` computes in float32, constants and sub-graphs included.

    Operators whose arithmetic is defined in float32 keep it.
    """

    def convert(attr: Attr, value: Any) -> Any:
        if isinstance(value, Graph):
            return widen(value)
        return "float64" if attr.kind == "dtype" and value == "float32" else value

    return _rewrite(graph, _widen_type, _widen_array, convert)


def _widen_type(type: TensorType) -> TensorType:
    return type.with_dtype(np.float64) if type.dtype == np.float32 else type


def _widen_array(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype == np.float32 else array


def _rewrite(
    graph: Graph,
    convert_type: Callable[[TensorType], TensorType],
    convert_data: Callable[[Array], Array],
    convert_attr: Callable[[Attr, Any], Any],
) -> Graph:
    out = graph.clone()
    values = {*out.inputs, *out.used_values(), *(state.before for state in out.states)}
    values.update(value for node in out.nodes for value in node.outputs)
    for value in values:
        value.type = convert_type(value.type)
        data = value.data
        value.stored = None if data is None else convert_data(data)
    for node in out.nodes:
        node.attrs = {name: convert_attr(node.op.attrs[name], attr) for name, attr in node.attrs.items()}
    out.states = [replace(s, initial=None if s.initial is None else convert_data(s.initial)) for s in out.states]
    return out


def _check_names(graph: Graph, arrays: Mapping[str, Array]) -> None:
    names = [value.name for value in graph.inputs]
    missing = [name for name in names if name not in arrays]
    unknown = [name for name in arrays if name not in names]
    if missing or unknown:
        problems = [f"{kind} {', '.join(who)}" for kind, who in (("missing", missing), ("unknown", unknown)) if who]
        raise ShapeError(f"inputs: {'; '.join(problems)}")


def _initial(state: State, sizes: Mapping[str, int]) -> Array:
    if state.initial is not None:
        return np.asarray(state.initial)
    return np.zeros([evaluate(dim, sizes) for dim in state.before.type.shape], state.before.dtype)


def _checked(array: Array, value: Value, sizes: Mapping[str, int], what: str) -> Array:
    expected = tuple(evaluate(dim, sizes) for dim in value.type.shape)
    if array.dtype != value.dtype or array.shape != expected:
        raise ShapeError(f"{what} is {array.dtype}{list(array.shape)}, expected {value.dtype}{list(expected)}")
    return array


def _read(value: Value, known: Mapping[Value, Array]) -> Array:
    return known[value] if value.stored is None else dense(value.stored)


def _run_node(node: Node, known: dict[Value, Array], sizes: Mapping[str, int]) -> None:
    arrays = [None if value is None else _read(value, known) for value in node.inputs]
    results = node.op.run_reference(arrays, evaluate_attrs(node.op, node.attrs, sizes))
    for value, result in zip(node.outputs, results, strict=True):
        if value.dtype == np.float64 and result.dtype == np.float32:
            result = result.astype(np.float64)  # arithmetic that is float32 by definition, in a widened graph
        known[value] = _checked(result, value, sizes, f"{node.op.name}: result")
