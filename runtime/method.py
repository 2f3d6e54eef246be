"""One method of a model: checks what callers pass, keeps plans for the sizes that were seen, runs them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from .cpu import _core
from .errors import RushlightError, ShapeError
from .execution import Engine, Execution
from .ir import Graph, backing
from .mapping import release
from .ops import Array
from .plan import Plan
from .plan.prepare import prepare
from .program import PackedMethod
from .types import Dim, TensorType

MAX_BINDINGS = 128
"""How many choices of dynamic sizes a method keeps ready; the least recently used one goes first."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype and shape of an input or output; symbolic dimensions are strings."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]


class Method:
    """One method of a model, callable like the model itself."""

    def __init__(self, graph: Graph, engine: Engine, packed: PackedMethod | None = None) -> None:
        if graph.states:
            raise RushlightError("methods with state need a session, which this version cannot run")
        self.inputs = [_spec(value.name, value.type) for value in graph.inputs]
        self.outputs = [_spec(name, value.type) for name, value in graph.outputs]
        self._symbols = dict(graph.symbols)
        self._shapes = [value.shape for value in graph.inputs]
        self._engine = engine
        if packed is None:
            prepared = prepare(graph, engine.backend)
            for value in graph.constants():
                if value.stored is not None:
                    release(backing(value.stored))
            self.plan = Plan(prepared, engine.backend, engine.threads, discard=True)
        else:
            self.plan = Plan(packed.graph, engine.backend, weights=packed.weights)
        self.loaded = engine.load(self.plan)
        self._calls = _core.Calls(
            [(spec.name, spec.dtype) for spec in self.inputs], [(spec.name, spec.dtype) for spec in self.outputs]
        )
        self._executions: OrderedDict[tuple[int, ...], Execution] = OrderedDict()
        self._lock = threading.Lock()
        self._symbol_names = sorted(
            {s for shape in self._shapes for d in shape if isinstance(d, Dim) for s in d.symbols()}
        )

    def __call__(self, *arrays: Any) -> Any:
        """Positional arrays in; one array, or a tuple of them, out. Raises ShapeError."""
        found = self._calls.run(arrays)
        if found is not None:
            return found
        if len(arrays) != len(self.inputs):
            names = ", ".join(spec.name for spec in self.inputs)
            raise ShapeError(f"{len(arrays)} arrays given, the model takes {len(self.inputs)} ({names})")
        outputs = self._run([self._engine.array(array) for array in arrays])
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def run(self, inputs: Mapping[str, Any], outputs: Iterable[str] | None = None) -> dict[str, Array]:
        """Arrays by name in and out; `outputs` selects some. Raises ShapeError for a wrong name, dtype or shape."""
        if outputs is None:
            return self._run_all(inputs)
        wanted = list(outputs)
        unknown = [name for name in wanted if all(name != spec.name for spec in self.outputs)]
        if unknown:
            raise ShapeError(f"no output {', '.join(unknown)}; there is {', '.join(s.name for s in self.outputs)}")
        found = self._run_all(inputs)
        return {name: found[name] for name in wanted}

    def _run_all(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        found = cast("dict[str, Array] | None", self._calls.run_named(inputs))
        if found is not None:
            return found
        names = [spec.name for spec in self.inputs]
        if len(inputs) != len(names) or any(name not in inputs for name in names):
            missing = [name for name in names if name not in inputs]
            extra = [name for name in inputs if name not in names]
            problems = [f"missing {', '.join(missing)}"] * bool(missing) + [f"unknown {', '.join(extra)}"] * bool(extra)
            raise ShapeError(f"inputs: {'; '.join(problems)}; the model takes {', '.join(names)}")
        results = self._run([self._engine.array(inputs[name]) for name in names])
        return {spec.name: result for spec, result in zip(self.outputs, results, strict=True)}

    def sizes(self, arrays: Sequence[Array]) -> dict[str, int]:
        """The sizes of the symbolic dimensions that these arrays imply. Raises ShapeError."""
        sizes: dict[str, int] = {}
        for spec, shape, array in zip(self.inputs, self._shapes, arrays, strict=True):
            if array.dtype != spec.dtype:
                raise ShapeError(f"input '{spec.name}' is {array.dtype}, the model takes {spec.dtype}")
            if array.ndim != len(shape):
                raise ShapeError(
                    f"input '{spec.name}' has shape {list(array.shape)}, the model takes {_text(spec.shape)}"
                )
            for dim, size in zip(shape, array.shape, strict=True):
                if isinstance(dim, Dim):
                    solved = dim.solve(size)
                    if solved is not None:
                        sizes.setdefault(*solved)
        for spec, shape, array in zip(self.inputs, self._shapes, arrays, strict=True):
            for dim, size in zip(shape, array.shape, strict=True):
                expected = dim.evaluate(sizes) if isinstance(dim, Dim) else dim
                if expected != size:
                    hint = f" ({', '.join(f'{k} = {v}' for k, v in sizes.items())})" if sizes else ""
                    raise ShapeError(
                        f"input '{spec.name}' has shape {list(array.shape)}, the model takes {_text(spec.shape)}{hint}"
                    )
        for symbol, size in sizes.items():
            limits = self._symbols.get(symbol)
            if limits and (size < limits.low or (limits.high is not None and size > limits.high)):
                raise ShapeError(f"dimension '{symbol}' is {size}, allowed is {limits.low} to {limits.high or 'any'}")
        return sizes

    def execution(self, sizes: Mapping[str, int]) -> Execution:
        """The plan for these sizes, made at their first use."""
        key = tuple(sizes[name] for name in self._symbol_names)
        with self._lock:
            found = self._executions.get(key)
            if found is not None:
                self._executions.move_to_end(key)
                return found
        made = self.loaded.bind(self.plan.bind(sizes, self._engine.threads))
        with self._lock:
            self._executions[key] = made
            while len(self._executions) > MAX_BINDINGS:
                self._executions.popitem(last=False)
        return made

    def timed(self, arrays: Sequence[Array]) -> list[int]:
        """Runs once; nanoseconds of every plan step, in order."""
        times: list[int] = []
        self._run([self._engine.array(array) for array in arrays], times)
        return times

    def _run(self, arrays: Sequence[Array], times: list[int] | None = None) -> list[Array]:
        execution = self.execution(self.sizes(arrays))
        results = execution.run(list(arrays), times)
        if execution.native is not None:
            self._calls.remember([a.shape for a in arrays], [r.shape for r in results], execution.native)
        return results


def _spec(name: str, type: TensorType) -> TensorSpec:
    return TensorSpec(name, type.dtype, tuple(d if isinstance(d, int) else str(d) for d in type.shape))


def _text(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"
