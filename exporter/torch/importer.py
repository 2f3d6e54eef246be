"""Walks the graph of an `ExportedProgram` and writes it, operator by operator, to an `Emitter`.

A rule is a function of a family module in this package, named like the ATen operator without its overload (and with
a trailing underscore where Python needs the name itself): ``rule(b, *args, **kwargs)`` takes the emitter and the
arguments of the ATen schema, tensors as terms and sizes as dimensions. Operators whose `OpDef` names an ATen overload
with the same tensors and attributes need none.
"""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx import GraphModule, Node

from rushlight.exporter.emitter import Emitter, ShapeTensor
from rushlight.exporter.problems import Problems
from rushlight.exporter.restart import settle
from rushlight.exporter.torch.expression import to_dim
from rushlight.exporter.torch.names import output_names
from rushlight.exporter.torch.promotion import to_value
from rushlight.runtime.errors import RushlightError, UnsupportedError
from rushlight.runtime.ir import Graph, Half, SymbolRange, Value
from rushlight.runtime.ops import Array, OpDef, registry
from rushlight.runtime.types import DTYPES, Dim, DimLike, substitute

Rule: TypeAlias = Callable[..., Any]

_INFRASTRUCTURE = ("expression", "importer", "names", "promotion", "recurrent", "source", "trace")
_DROPPED = ("device", "layout", "pin_memory", "memory_format", "non_blocking", "requires_grad")
_CHECKS = ("_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size")
_WRAPPERS = ("wrap_with_set_grad_enabled", "wrap_with_autocast")
_POISON = object()
_HARMLESS = (OutputKind.USER_OUTPUT, OutputKind.USER_INPUT_MUTATION, OutputKind.TOKEN)
"""Kinds of outputs that need no state: a program never writes to its inputs, though a module may."""


@cache
def rules() -> Mapping[str, Rule]:
    """The rules of all family modules by the ATen operator's name."""
    package = import_module(__name__.rpartition(".")[0])
    found: dict[str, Rule] = {}
    for module_name in sorted(m.name for m in iter_modules(package.__path__) if m.name not in _INFRASTRUCTURE):
        module = import_module(f"{package.__name__}.{module_name}")
        for name, member in inspect.getmembers(module, inspect.isfunction):
            parameters = list(inspect.signature(member).parameters)
            if member.__module__ == module.__name__ and parameters[:1] == ["b"]:
                found[name if name.endswith("__") else name.rstrip("_")] = member
    return found


@cache
def plain_operators() -> Mapping[str, OpDef]:
    """Operators that an ATen overload maps to one to one."""
    return {op.aten: op for op in registry().values() if op.aten is not None}


def import_program(program: ExportedProgram, dynamic: Mapping[str, Mapping[int, str]]) -> Graph:
    """The graph of `program`; `dynamic` names its symbolic axes. Raises UnsupportedError, naming all that is amiss."""
    if not is_functional(program):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about PyTorch's own use of itself
            program = program.run_decompositions({})
    arrays = _arrays(program)
    return settle(lambda replaced, pins: Importer(program, arrays, dynamic, replaced, pins).run())


def is_functional(program: ExportedProgram) -> bool:
    """Whether writes in place, if any, go to tensors without views, so that they can be read as new values."""
    for module in program.graph_module.modules():
        if not isinstance(module, GraphModule):
            continue
        for node in module.graph.nodes:
            if node.op == "call_function" and _writes(node):
                target = node.args[0]
                if not isinstance(target, Node) or target.op != "call_function" or _is_view(target):
                    return False
                if any(_is_view(user) for user in target.users):
                    return False
    return True


def _schema(node: Node) -> Any:
    return getattr(node.target, "_schema", None)


def _is_inplace(node: Node) -> bool:
    schema = _schema(node)
    return schema is not None and bool(schema.is_mutable)


def _writes(node: Node) -> bool:
    """Whether a tensor changes; dropout in place, in evaluation mode, leaves it as it is."""
    return _is_inplace(node) and not _operator(node).startswith(("dropout.", "feature_dropout.", "alpha_dropout."))


def _is_view(node: Node) -> bool:
    """Whether a result may share memory with an argument."""
    if node.target is operator.getitem:
        return isinstance(node.args[0], Node) and _is_view(node.args[0])
    schema = _schema(node)
    if schema is None:
        return False
    may_alias = getattr(torch.Tag, "maybe_aliasing_or_mutating", None)
    if may_alias is not None and may_alias in getattr(node.target, "tags", ()):
        return bool(schema.name != "aten::batch_norm")  # tagged for its running statistics
    return not schema.is_mutable and any(value.alias_info is not None for value in schema.returns)


def _arrays(program: ExportedProgram) -> dict[str, Array | Half]:
    """Parameters, buffers and constants by the name of their placeholder; tied ones are one array."""
    found: dict[str, Array | Half] = {}
    seen: dict[Any, Array | Half] = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            target = str(spec.target)
            tensor = program.state_dict.get(target, program.constants.get(target))
            if not isinstance(tensor, torch.Tensor):
                raise UnsupportedError(f"constant '{target}' of type {type(tensor).__name__}")
            key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype) if tensor.numel() else target
            if key not in seen:
                seen[key] = to_array(tensor, target)
            found[spec.arg.name] = seen[key]
    return found


def to_array(tensor: torch.Tensor, name: str) -> Array | Half:
    """A copy of the tensor in NumPy. Raises UnsupportedError for dtypes and layouts that graphs do not hold."""
    dtype_of(tensor.dtype, name)
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise UnsupportedError(f"'{name}' is not a dense tensor")
    dense = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return Half(np.array(dense.contiguous().view(torch.uint16).numpy(), copy=True))
    return np.array(dense.numpy(), copy=True)


def dtype_of(dtype: torch.dtype, name: str) -> np.dtype[Any]:
    """What graphs hold a dtype in: bfloat16, which NumPy lacks, in float32."""
    if dtype == torch.bfloat16:
        return np.dtype(np.float32)
    text = str(dtype).removeprefix("torch.")
    if text not in DTYPES:
        raise UnsupportedError(f"'{name}' is {text}, which is not supported")
    return np.dtype(text)


def arithmetic(program: ExportedProgram) -> str:
    """The narrowest floating dtype of a result: bfloat16, float16 or float32."""
    results = (node.meta.get("val") for node in program.graph.nodes if node.op == "call_function")
    dtypes = {value.dtype for value in results if isinstance(value, torch.Tensor)}
    halves = [name for name in ("bfloat16", "float16") if getattr(torch, name) in dtypes]
    return halves[0] if halves else "float32"


class Importer:
    """One attempt to import a program."""

    def __init__(
        self,
        program: ExportedProgram,
        arrays: Mapping[str, Array | Half],
        dynamic: Mapping[str, Mapping[int, str]],
        replaced: Mapping[str, DimLike],
        pins: Mapping[Dim, int],
    ) -> None:
        self.program = program
        self.arrays = arrays
        self.dynamic = dynamic
        self.replaced = replaced
        self.b = Emitter(pins)
        self.problems = Problems()
        self.names: dict[str, DimLike] = {}

    def run(self) -> Graph:
        signature = self.program.graph_signature
        mutated = [str(o.target) for o in signature.output_specs if o.kind not in _HARMLESS]
        if mutated:
            raise UnsupportedError(f"the module changes {', '.join(mutated)} when it is called")
        self._check_operators(self.program.graph_module)
        self.problems.raise_if_any()
        nodes = [node for node in self.program.graph.nodes if node.op == "placeholder"]
        self._name_symbols(nodes)
        arguments = [self._placeholder(node, spec) for node, spec in zip(nodes, signature.input_specs, strict=True)]
        outputs = self._run(self.program.graph_module, arguments)
        self.problems.raise_if_any()
        names = output_names(self.program)
        for name, spec, result in zip(names, signature.output_specs, outputs, strict=True):
            if spec.kind == OutputKind.USER_OUTPUT and result is not None:
                self.b.output(name, self._output(result))
        return self.b.graph

    def _output(self, result: Any) -> Value:
        if isinstance(result, (Value, ShapeTensor)):
            return self.b.constant(result)
        if isinstance(result, (Dim, bool, int, float)):
            return to_value(
                self.b,
                result,
                np.bool_ if isinstance(result, bool) else np.float32 if isinstance(result, float) else np.int64,
            )
        raise UnsupportedError(f"an output of type {type(result).__name__}")

    def _name_symbols(self, nodes: Iterable[Node]) -> None:
        """Names for the traced symbols: the caller's for the axes that `dynamic` names, else the tracer's."""
        for node in nodes:
            value = node.meta.get("val")
            for axis, size in enumerate(value.shape if isinstance(value, torch.Tensor) else ()):
                if isinstance(size, torch.SymInt):
                    wanted = self.dynamic.get(str(node.target), {}).get(axis)
                    for symbol in sorted(size.node.expr.free_symbols, key=str):
                        self.names.setdefault(str(symbol), Dim.symbol(wanted or str(symbol)))
        for symbol, known in self.program.range_constraints.items():
            dim = self.names.get(str(symbol))
            if isinstance(dim, Dim):
                low, high = max(1, int(known.lower)), str(known.upper)
                limits = SymbolRange(1 if low <= 2 else low, int(high) if high.isdigit() else None)
                self.b.ranges[str(dim)] = limits
        self.names = {name: substitute(dim, self.replaced) for name, dim in self.names.items()}
        for name in self.replaced:
            self.b.ranges.pop(name, None)

    def _placeholder(self, node: Node, spec: Any) -> Any:
        self.b.hint = str(node.target)
        if node.name in self.arrays:
            return self.b.constant(self.arrays[node.name], str(spec.target))
        value = node.meta.get("val")
        if spec.kind == InputKind.USER_INPUT and isinstance(value, torch.Tensor):
            shape = [self._size(size) for size in value.shape]
            return self.b.input(str(node.target), dtype_of(value.dtype, str(node.target)), shape)
        if spec.kind == InputKind.USER_INPUT and not isinstance(value, torch.SymInt):
            return getattr(spec.arg, "value", None)
        raise UnsupportedError(f"input '{node.target}' is no tensor")

    def _size(self, size: Any) -> DimLike:
        if isinstance(size, torch.SymInt):
            return to_dim(size.node.expr, self.names, self.b.ranges)
        return int(size)

    def _check_operators(self, module: GraphModule) -> None:
        for node in module.graph.nodes:
            if node.op != "call_function" or self._is_builtin(node):
                continue
            name = _operator(node)
            if name.rpartition(".")[0] in rules() or name in plain_operators():
                continue
            self.problems.add(str(node.target), node.name)

    def _is_builtin(self, node: Node) -> bool:
        if isinstance(node.meta.get("val"), (torch.SymInt, torch.SymBool, torch.SymFloat, bool, int, float)):
            return not _operator(node).startswith(("item.", "_local_scalar_dense."))
        return node.target is operator.getitem or _operator(node).split(".")[0] in (*_CHECKS, *_WRAPPERS)

    def _run(self, module: GraphModule, arguments: Sequence[Any]) -> list[Any]:
        """The outputs of a graph module on `arguments`."""
        env: dict[Node, Any] = {}
        given = iter(arguments)
        for node in module.graph.nodes:
            if node.op == "placeholder":
                env[node] = next(given)
            elif node.op == "get_attr":
                env[node] = self._attribute(module, str(node.target))
            elif node.op == "call_function":
                env[node] = self._import_node(node, env)
            elif node.op == "output":
                results = node.args[0]
                return [
                    self._read(item, env) for item in (results if isinstance(results, (list, tuple)) else [results])
                ]
        return []

    def _attribute(self, module: GraphModule, target: str) -> Any:
        found: Any = module
        for part in target.split("."):
            found = getattr(found, part)
        return self.b.constant(to_array(found, target), target) if isinstance(found, torch.Tensor) else found

    def _read(self, argument: Any, env: Mapping[Node, Any]) -> Any:
        if isinstance(argument, Node):
            return env[argument]
        if isinstance(argument, (list, tuple)):
            return [self._read(item, env) for item in argument]
        if isinstance(argument, torch.dtype):
            return dtype_of(argument, "a tensor")
        return argument

    def _import_node(self, node: Node, env: dict[Node, Any]) -> Any:
        value = node.meta.get("val")
        try:
            if isinstance(value, torch.SymInt):
                return self._size(value)
            if self._is_builtin(node):
                return self._builtin(node, env)
            arguments, keywords = self._arguments(node, env)
            if _is_poisoned(arguments) or _is_poisoned(list(keywords.values())):
                return _POISON
            self.b.hint = node.name
            result = self._apply(node, arguments, keywords, value)
        except UnsupportedError as error:
            self.problems.add_reason(str(node.target), node.name, str(error))
            return _POISON
        except RushlightError as error:
            raise type(error)(f"{node.target} '{node.name}': {error}") from None
        if _writes(node) and isinstance(node.args[0], Node):
            env[node.args[0]] = result
        return result

    def _builtin(self, node: Node, env: Mapping[Node, Any]) -> Any:
        """Nodes that only pick, compute with sizes, check, or wrap a sub-graph."""
        value = node.meta.get("val")
        if isinstance(value, (bool, int, float)):
            return value
        if node.target is operator.getitem:
            items = self._read(node.args[0], env)
            return _POISON if items is _POISON else items[node.args[1]]
        if _operator(node).split(".")[0] in _WRAPPERS:
            position = next(i for i, a in enumerate(node.args) if isinstance(a, Node) and a.op == "get_attr")
            body = env[node.args[position]]  # type: ignore[index]
            return self._run(body, [self._read(a, env) for a in node.args[position + 1 :]])
        return None

    def _arguments(self, node: Node, env: Mapping[Node, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional arguments in the schema's order, and those that are keywords only."""
        given = {name: self._read(argument, env) for name, argument in node.kwargs.items() if name not in _DROPPED}
        positional = [self._read(argument, env) for argument in node.args]
        schema = _schema(node)
        for parameter in schema.arguments[len(positional) :] if schema else ():
            if parameter.kwarg_only or not any(p.name in given for p in schema.arguments[len(positional) :]):
                break
            positional.append(given.pop(parameter.name, parameter.default_value))
        return positional, {name: argument for name, argument in given.items() if argument is not None}

    def _apply(self, node: Node, arguments: list[Any], keywords: dict[str, Any], value: Any) -> Any:
        name = _operator(node)
        rule = rules().get(name.rpartition(".")[0])
        if rule is not None:
            return rule(self.b, *arguments, **keywords)
        plain = plain_operators()[name]
        names = [parameter.name for parameter in _schema(node).arguments]
        given = {**dict(zip(names, arguments, strict=False)), **keywords}
        tensors = [x for x in given.values() if isinstance(x, Value)]
        attrs = {key: x for key, x in given.items() if not isinstance(x, Value) and x is not None}
        if not set(attrs) <= set(plain.attrs):
            raise UnsupportedError(f"with {', '.join(sorted(set(attrs) - set(plain.attrs)))}")
        if isinstance(value, torch.Tensor) and value.dtype.is_floating_point:
            tensors = [self.b.cast(x, dtype_of(value.dtype, node.name)) for x in tensors]
        results = self.b.add_node(plain, tensors, attrs)
        return results[0] if len(results) == 1 else results


def _operator(node: Node) -> str:
    """Name and overload, as ``relu.default``; a write in place is named like the function that it applies."""
    target: Any = node.target
    schema = _schema(node)
    if schema is None:
        return getattr(target, "__name__", str(target)) + "."
    name = schema.name.rpartition("::")[2]
    if _is_inplace(node) and name.endswith("_"):
        name = name.rstrip("_")
    return f"{name}.{schema.overload_name or 'default'}"


def _is_poisoned(items: Any) -> bool:
    if isinstance(items, (list, tuple)):
        return any(_is_poisoned(item) for item in items)
    return items is _POISON
