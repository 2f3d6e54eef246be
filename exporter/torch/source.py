"""PyTorch modules and exported programs as sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from rushlight._version import __version__
from rushlight.exporter.source import as_array
from rushlight.exporter.torch.importer import arithmetic, import_program
from rushlight.exporter.torch.trace import bind_inputs, evaluation, leaf_names, trace
from rushlight.runtime.errors import RushlightError, ShapeError
from rushlight.runtime.ops import Array
from rushlight.runtime.passes import canonicalize
from rushlight.runtime.program import Program

Dynamic = Mapping[str, Mapping[int, str | int]]


def _make_program(traced: ExportedProgram, dynamic: Mapping[str, Mapping[int, str]], kind: str) -> Program:
    graph = import_program(traced, dynamic)
    canonicalize(graph)
    tools = {"rushlight": __version__, "torch": torch.__version__}
    return Program({"forward": graph}, {"source": {"kind": kind}, "tools": tools})


def _symbols(dynamic: Dynamic) -> dict[str, dict[int, str]]:
    """`dynamic` with symbols only. Raises ShapeError for a number: an axis is fixed by not naming it."""
    for name, axes in dynamic.items():
        for axis, symbol in axes.items():
            if not isinstance(symbol, str):
                raise ShapeError(f"dynamic axis {axis} of '{name}' must have a name, not {symbol}")
    return {name: {axis: str(symbol) for axis, symbol in axes.items()} for name, axes in dynamic.items()}


def _arrays(leaves: list[tuple[str, Any]]) -> dict[str, Array]:
    return {name: as_array(value) for name, value in leaves if isinstance(value, torch.Tensor)}


def _named(program: Program, results: Any) -> dict[str, Array]:
    """Flattened results by the names of the program's outputs."""
    leaves = [leaf for leaf in pytree.tree_leaves(results) if leaf is not None]
    names = [name for name, _ in program.graph.outputs]
    return dict(zip(names, map(as_array, leaves), strict=True))


class ModuleSource:
    """A module with example inputs."""

    judge_name = f"PyTorch {torch.__version__}"

    def __init__(self, module: torch.nn.Module, inputs: Any, dynamic: Dynamic) -> None:
        if inputs is None:
            raise RushlightError("exporting a module needs example inputs: export(module, inputs=(x,))")
        self.notes: list[str] = []
        self._module = module
        self._inputs = bind_inputs(module, inputs)
        self._dynamic = _symbols(dynamic)
        self._program: Program | None = None

    def program(self) -> Program:
        if self._program is None:
            traced = trace(self._module, self._inputs, self._dynamic)
            self._arithmetic = arithmetic(traced)
            self._program = _make_program(traced, self._dynamic, "torch.nn.Module")
            self._program.provenance["source"]["class"] = type(self._module).__qualname__
        return self._program

    @property
    def arithmetic(self) -> str:
        self.program()
        return self._arithmetic

    def examples(self) -> dict[str, Array]:
        return _arrays(leaf_names(self._inputs))

    def judge(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        with evaluation(self._module):
            results = self._module(**self._keywords(arrays))
        return _named(self.program(), results)

    def _keywords(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        _, structure = pytree.tree_flatten(self._inputs)
        leaves = [
            torch.from_numpy(np.array(arrays[name])).to(value) if name in arrays else value
            for name, value in leaf_names(self._inputs)
        ]
        return pytree.tree_unflatten(leaves, structure)  # type: ignore[no-any-return]


class ProgramSource:
    """An `ExportedProgram`; the inputs that it was traced with are the example."""

    judge_name = f"PyTorch {torch.__version__}"

    def __init__(self, traced: ExportedProgram, inputs: Any, dynamic: Dynamic) -> None:
        self.notes: list[str] = []
        self._traced = traced
        self._inputs = inputs
        self._dynamic = _symbols(dynamic)
        self._program: Program | None = None

    def program(self) -> Program:
        if self._program is None:
            self._program = _make_program(self._traced, self._dynamic, "torch.export.ExportedProgram")
        return self._program

    @property
    def arithmetic(self) -> str:
        return arithmetic(self._traced)

    def examples(self) -> dict[str, Array] | None:
        names = [value.name for value in self.program().graph.inputs]
        given = self._inputs
        if given is None:
            if self._traced.example_inputs is None:
                return None
            given = pytree.tree_leaves(self._traced.example_inputs)
        if isinstance(given, Mapping):
            return {name: as_array(value) for name, value in given.items()}
        leaves = pytree.tree_leaves(given)
        return _arrays(list(zip(names, (leaf for leaf in leaves if isinstance(leaf, torch.Tensor)), strict=True)))

    def judge(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        args, kwargs = self._traced.example_inputs or ((), {})
        given = iter(arrays[value.name] for value in self.program().graph.inputs)
        leaves, structure = pytree.tree_flatten((args, kwargs))
        tensors = [torch.from_numpy(np.array(next(given))).to(x) if isinstance(x, torch.Tensor) else x for x in leaves]
        positional, named = pytree.tree_unflatten(tensors, structure)
        with torch.no_grad():
            return _named(self.program(), self._traced.module()(*positional, **named))
