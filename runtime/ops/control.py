"""Control flow. Bodies are graphs that see nothing but their inputs and share the symbols of the graph around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .opdef import Array, Attr, Case, define
from .samples import sample

if TYPE_CHECKING:
    from ..ir.graph import Graph

_CONDITION = TensorType(np.dtype(np.bool_), ())


def _check_inputs(name: str, body: Graph, operands: Sequence[TensorType]) -> None:
    wanted = [value.type for value in body.inputs]
    if wanted != list(operands):
        raise ShapeError(f"{name} takes ({', '.join(map(str, wanted))}), is given ({', '.join(map(str, operands))})")
    if body.states:
        raise ShapeError(f"{name} has states")


def _output_types(body: Graph) -> tuple[TensorType, ...]:
    return tuple(value.type for _, value in body.outputs)


def _run(body: Graph, arrays: Sequence[Array]) -> tuple[Array, ...]:
    from ..reference import run_reference

    named = {value.name: array for value, array in zip(body.inputs, arrays, strict=True)}
    results = run_reference(body, named)
    return tuple(results[name] for name, _ in body.outputs)


def _infer_cond(predicate: TensorType, *inputs: TensorType, then: Graph, otherwise: Graph) -> tuple[TensorType, ...]:
    if predicate != _CONDITION:
        raise ShapeError(f"predicate is {predicate}, must be bool[]")
    _check_inputs("then", then, inputs)
    _check_inputs("otherwise", otherwise, inputs)
    out = _output_types(then)
    if out != _output_types(otherwise):
        raise ShapeError("then and otherwise give different types")
    return out


def _cond(predicate: Array, *inputs: Array, then: Graph, otherwise: Graph) -> tuple[Array, ...]:
    return _run(then if predicate else otherwise, inputs)


def _infer_while(*carried: TensorType, condition: Graph, body: Graph) -> tuple[TensorType, ...]:
    _check_inputs("condition", condition, carried)
    _check_inputs("body", body, carried)
    if _output_types(condition) != (_CONDITION,):
        raise ShapeError("condition must give one bool[]")
    if _output_types(body) != carried:
        raise ShapeError("body must give what it takes")
    return carried


def _while_loop(*carried: Array, condition: Graph, body: Graph) -> tuple[Array, ...]:
    while _run(condition, carried)[0]:
        carried = _run(body, carried)
    return carried


def _cond_cases() -> Iterator[Case]:
    from ..ir.builder import GraphBuilder

    branches: dict[str, Graph] = {}
    for name, op in (("then", "relu"), ("otherwise", "neg")):
        b = GraphBuilder()
        b.output("y", getattr(b, op)(b.input("x", np.float32, (3, 5))))
        branches[name] = b.graph
    for predicate in (True, False):
        yield Case((np.array(predicate), sample((3, 5))), branches)


def _while_cases() -> Iterator[Case]:
    from ..ir.builder import GraphBuilder

    check = GraphBuilder()
    count = check.input("i", np.int64, ())
    check.input("x", np.float32, (4,))
    check.output("more", check.lt(count, np.int64(5)))
    step = GraphBuilder()
    count, x = step.input("i", np.int64, ()), step.input("x", np.float32, (4,))
    step.output("i", step.add(count, np.int64(1)))
    step.output("x", step.mul(x, np.float32(0.5)))
    for start in (0, 5):
        yield Case((np.array(start), sample((4,))), {"condition": check.graph, "body": step.graph})


cond = define(
    "cond",
    family="control",
    inputs=("predicate", "*inputs"),
    attrs={"then": Attr("graph"), "otherwise": Attr("graph")},
    infer=_infer_cond,
    reference=_cond,
    cases=_cond_cases,
    doc="The outputs of `then` or `otherwise`, which take the inputs; both give the same types.",
)

while_loop = define(
    "while_loop",
    family="control",
    inputs=("*carried",),
    attrs={"condition": Attr("graph"), "body": Attr("graph")},
    infer=_infer_while,
    reference=_while_loop,
    cases=_while_cases,
    doc="While `condition` of the carried values is true, they become what `body` makes of them.",
)
