"""Walks an ONNX graph and writes it, operator by operator, to an `Emitter`.

A rule is a function of a family module in this package, named like the ONNX operator: ``rule(b, node)`` takes the
emitter and an `OnnxNode` and returns the output or a tuple of outputs. Operators whose `OpDef` names an ONNX operator
with the same attributes need none; operators that ONNX itself defines by a function body are replaced by it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeAlias

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

from rushlight.exporter.emitter import Emitter, ShapeTensor, Term
from rushlight.exporter.onnx import arithmetic
from rushlight.exporter.onnx.model import (
    OnnxNode,
    attributes,
    dtype_of,
    function_body,
    has_function_body,
    input_shape,
    opsets,
    to_array,
)
from rushlight.exporter.problems import Problems
from rushlight.exporter.restart import settle
from rushlight.runtime.errors import FormatError, RushlightError, ShapeError, UnsupportedError
from rushlight.runtime.ir import Graph, Half, Value
from rushlight.runtime.ops import Array, OpDef, registry
from rushlight.runtime.types import Dim, DimLike, parse_dim, substitute

Rule: TypeAlias = Callable[[Emitter, OnnxNode], Any]
Scope: TypeAlias = dict[str, Term | None]
"""Terms by ONNX name; None stands for a value whose node could not be imported."""

_INFRASTRUCTURE = ("arithmetic", "elements", "evaluate", "importer", "model", "source", "windows")


@cache
def rules() -> Mapping[str, Rule]:
    """The rules of all family modules by the ONNX operator's name."""
    found: dict[str, Rule] = {}
    package = import_module(__name__.rpartition(".")[0])
    for module_name in sorted(m.name for m in iter_modules(package.__path__) if m.name not in _INFRASTRUCTURE):
        module = import_module(f"{package.__name__}.{module_name}")
        for name, member in inspect.getmembers(module, inspect.isfunction):
            if member.__module__ == module.__name__ and name[0].isupper():
                found[name] = member
    return found


@cache
def plain_operators() -> Mapping[str, OpDef]:
    """Operators that an ONNX operator maps to one to one."""
    return {op.onnx: op for op in registry().values() if op.onnx is not None}


def import_model(
    model: ModelProto, shapes: Mapping[str, Mapping[int, int | str]] | None = None
) -> tuple[Graph, list[str]]:
    """The graph of `model`, and notes about what it demands of the sizes of its inputs.

    `shapes`: {input: {axis: size or symbol}} replaces declared dimensions. Raises UnsupportedError naming everything
    that is not supported, FormatError, ShapeError.
    """
    constants = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}

    def attempt(replaced: Mapping[str, DimLike], pins: Mapping[Dim, int]) -> tuple[Graph, list[str]]:
        importer = Importer(model, constants, shapes or {}, replaced, pins)
        return importer.run(), importer.notes()

    return settle(attempt)


class Importer:
    """One attempt to import a model."""

    def __init__(
        self,
        model: ModelProto,
        constants: Mapping[str, Array | Half],
        shapes: Mapping[str, Mapping[int, int | str]],
        replaced: Mapping[str, DimLike],
        pins: Mapping[Dim, int],
    ) -> None:
        self.model = model
        self.constants = constants
        self.shapes = shapes
        self.replaced = replaced
        self.opsets = opsets(model.opset_import)
        self.functions = {(f.domain, f.name): f for f in model.functions}
        self.b = Emitter(pins)
        self.problems = Problems()

    def run(self) -> Graph:
        graph = self.model.graph
        self._check_operators(graph.node, self.opsets)
        self.problems.raise_if_any()
        scope: Scope = {name: self.b.constant(array, name) for name, array in self.constants.items()}
        unknown = set(self.shapes) - {value.name for value in graph.input}
        if unknown:
            raise ShapeError(f"the model has no input '{sorted(unknown)[0]}'")
        for value in graph.input:
            if value.name not in scope:
                scope[value.name] = self._input(value)
        for dim, size in self.b.pins.items():
            self.b.require(dim, size, size, "a size that the model needs")
        self._nodes(graph.node, scope, self.opsets, {})
        self.problems.raise_if_any()
        for output in graph.output:
            term = scope.get(output.name)
            if term is None:
                raise FormatError(f"output '{output.name}' is not computed by any node")
            self.b.output(output.name, self.b.constant(term))
        return self.b.graph

    def notes(self) -> list[str]:
        """What the import found out about the sizes of the inputs."""
        out = [f"{value.name}: {value.type}" for value in self.b.graph.inputs] if self.replaced else []
        for name, known in sorted(self.b.ranges.items()):
            if (known.low, known.high) != (1, None):
                out.append(f"{name} is at least {known.low}" + (f" and at most {known.high}" if known.high else ""))
        return out

    def _input(self, value: Any) -> Term:
        shape = input_shape(value)
        for axis, size in self.shapes.get(value.name, {}).items():
            if not -len(shape) <= axis < len(shape):
                raise ShapeError(f"input '{value.name}' has no axis {axis}")
            shape[axis] = size
        dims = [parse_dim(dim) if isinstance(dim, str) else dim for dim in shape]
        resolved = [substitute(dim, self.replaced) for dim in dims]
        return self.b.input(value.name, dtype_of(value.type.tensor_type.elem_type), resolved)

    def _check_operators(self, nodes: Iterable[NodeProto], versions: Mapping[str, int]) -> None:
        for node in nodes:
            domain = "" if node.domain == "ai.onnx" else node.domain
            function = self.functions.get((node.domain, node.op_type))
            if function is not None:
                self._check_operators(function.node, opsets(function.opset_import))
                continue
            known = domain == "" and (
                node.op_type == "If"
                or node.op_type in rules()
                or node.op_type in plain_operators()
                or has_function_body(node.op_type, versions.get("", 1))
            )
            if not known:
                self.problems.add(f"{domain}.{node.op_type}" if domain else node.op_type, node.name or node.output[0])

    def _nodes(
        self, nodes: Iterable[NodeProto], scope: Scope, versions: Mapping[str, int], outer: Mapping[str, Any]
    ) -> None:
        for proto in nodes:
            domain = "" if proto.domain == "ai.onnx" else proto.domain
            missing = [name for name in proto.input if name and name not in scope]
            if missing:
                raise FormatError(f"{proto.op_type} '{proto.name}' reads '{missing[0]}' before it is computed")
            if any(name and scope[name] is None for name in proto.input):
                scope.update(dict.fromkeys(proto.output))
                continue
            node = OnnxNode(
                op=proto.op_type,
                domain=domain,
                name=proto.name or proto.output[0],
                opset=versions.get(domain, 1),
                inputs=[scope[name] if name else None for name in proto.input],
                attrs=attributes(proto, outer),
                outputs=list(proto.output),
                scope=scope,
            )
            self.b.hint = next(name for name in [*proto.output, node.name] if name)
            results = self._import_node(node, versions)
            for name, term in zip(proto.output, results, strict=False):
                if name:
                    scope[name] = term
            absent = [name for name in proto.output[len(results) :] if name]
            if absent:
                self.problems.add(f"{node.op} with output '{absent[0]}'", node.name)
                scope.update(dict.fromkeys(absent))

    def _import_node(self, node: OnnxNode, versions: Mapping[str, int]) -> tuple[Term | None, ...]:
        try:
            known = arithmetic.evaluate(self.b, node)
            if known is not None:
                return known
            result = self._apply(node, versions)
        except UnsupportedError as error:
            self.problems.add_reason(node.op, node.name, str(error))
            return (None,) * len(node.outputs)
        except RushlightError as error:
            raise type(error)(f"{node.label}: {error}") from None
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise FormatError(f"{node.label} is malformed: {str(error).splitlines()[0][:160]}") from error
        return result if isinstance(result, tuple) else (result,)

    def _apply(self, node: OnnxNode, versions: Mapping[str, int]) -> Any:
        local = self.functions.get((node.domain, node.op))
        if local is not None:
            defaults = attributes(NodeProto(attribute=local.attribute_proto), {})
            return self._call(local, node, opsets(local.opset_import), defaults)
        if node.op == "If":
            return self._if(node, versions)
        rule = rules().get(node.op)
        if rule is not None:
            return rule(self.b, node)
        plain = plain_operators().get(node.op)
        if plain is not None and set(node.attrs) <= set(plain.attrs):
            if plain.family == "binary":
                return self.b.add_broadcast(plain, [node.input(i) for i in range(len(node.inputs))], node.attrs)
            return self.b.add_node(plain, node.inputs, node.attrs)
        body = function_body(node)
        if body is None:
            raise UnsupportedError("with these attributes and types")
        return self._call(body[0], node, opsets(body[0].opset_import) or versions, body[1])

    def _call(
        self, function: FunctionProto, node: OnnxNode, versions: Mapping[str, int], defaults: Mapping[str, Any]
    ) -> tuple[Term | None, ...]:
        """The outputs of `function` on the inputs of `node`; `defaults` are those of its attributes."""
        scope: Scope = {}
        for position, name in enumerate(function.input):
            term = node.optional(position)
            if term is not None:
                scope[name] = term
        given = {**defaults, **node.attrs}
        nodes = [_without_absent(proto, scope, function) for proto in function.node]
        self._nodes(nodes, scope, versions, given)
        return tuple(scope.get(name) for name in function.output)

    def _if(self, node: OnnxNode, versions: Mapping[str, int]) -> tuple[Term | None, ...]:
        """The branch that a constant condition takes, in place of the `If`; else a node with both branches."""
        branches: list[GraphProto] = [node.attr("then_branch"), node.attr("else_branch")]
        condition = self.b.elements(node.input(0))
        if isinstance(node.input(0), ShapeTensor):
            raise UnsupportedError(
                "the condition is not the same for all sizes of the inputs; fix the size it depends on"
            )
        taken = branches if condition is None else [branches[0 if condition.item() else 1]]
        for graph in taken:
            self._check_operators(graph.node, versions)
        if self.problems:
            return (None,) * len(node.outputs)
        if condition is not None:
            return self._branch(taken[0], dict(node.scope), versions)
        captured = list(dict.fromkeys(name for graph in branches for name in _names_read(graph)))
        outer = {
            name: term for name in captured if isinstance(term := node.scope.get(name), Value) and not term.is_constant
        }
        predicate = self.b.reshape(node.input(0), ())
        if not outer:
            then, otherwise = (self._branch(graph, dict(node.scope), versions) for graph in branches)
            if any(term is None for term in (*then, *otherwise)):
                return (None,) * len(then)
            pairs = zip(then, otherwise, strict=True)
            return tuple(self.b.add_broadcast("where", [predicate, yes, no]) for yes, no in pairs)
        bodies = [self._body(graph, node.scope, outer, versions) for graph in branches]
        if self.problems:
            return (None,) * len(node.outputs)
        if [v.type for _, v in bodies[0].outputs] != [v.type for _, v in bodies[1].outputs]:
            raise UnsupportedError("the condition depends on data, and the branches give different types")
        return self.b.add_node("cond", [predicate, *outer.values()], {"then": bodies[0], "otherwise": bodies[1]})

    def _body(
        self,
        graph: GraphProto,
        scope: Mapping[str, Term | None],
        outer: Mapping[str, Value],
        versions: Mapping[str, int],
    ) -> Graph:
        """A branch as a graph of its own, whose inputs are the values of `outer`."""
        enclosing = self.b
        self.b = Emitter(enclosing=enclosing)
        try:
            inside: Scope = dict(scope)
            for name, value in outer.items():
                inside[name] = self.b.input(name, value.dtype, value.shape)
            for position, term in enumerate(self._branch(graph, inside, versions)):
                if term is not None:
                    self.b.output(f"out{position}", self.b.constant(term))
            return self.b.graph
        finally:
            self.b = enclosing

    def _branch(self, graph: GraphProto, scope: Scope, versions: Mapping[str, int]) -> tuple[Term | None, ...]:
        for tensor in graph.initializer:
            scope[tensor.name] = self.b.constant(to_array(tensor), tensor.name)
        self._nodes(graph.node, scope, versions, {})
        return tuple(scope[output.name] for output in graph.output)


def _names_read(graph: GraphProto) -> Iterable[str]:
    """Names that a branch reads, its own and those of the graph around it."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _names_read(attribute.g)
    yield from (output.name for output in graph.output)


def _without_absent(proto: NodeProto, scope: Mapping[str, Any], function: FunctionProto) -> NodeProto:
    """`proto` with absent optional parameters of `function` as absent inputs."""
    absent = [name for name in function.input if name not in scope]
    if not absent or not any(name in absent for name in proto.input):
        return proto
    copy = NodeProto()
    copy.CopyFrom(proto)
    for index, name in enumerate(copy.input):
        if name in absent:
            copy.input[index] = ""
    return copy
