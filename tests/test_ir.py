"""Graphs: building, verifying, printing, cloning and rewriting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.errors import RushlightError, ShapeError, UnsupportedError
from rushlight.runtime.ir import Graph, GraphBuilder, Node, State, Value, constant, make_node, print_graph, verify
from rushlight.runtime.program import Program
from rushlight.runtime.reference import run_reference
from rushlight.runtime.types import Dim, TensorType, tensor_type


def two_layers() -> GraphBuilder:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 4))
    hidden = b.relu(b.linear(x, np.ones((3, 4), np.float32), np.zeros(3, np.float32)))
    b.output("y", b.linear(hidden, np.full((2, 3), 2, np.float32)))
    return b


def only_node(graph: Graph, op: str) -> Node:
    (node,) = (node for node in graph.nodes if node.op.name == op)
    return node


def test_builder_infers_types_and_names_values() -> None:
    graph = two_layers().graph
    verify(graph)
    assert [node.op.name for node in graph.nodes] == ["linear", "relu", "linear"]
    assert graph.outputs[0][1].type == tensor_type(np.float32, ("N", 2))
    assert list(graph.symbols) == ["N"]
    names = [value.name for node in graph.nodes for value in (*node.inputs, *node.outputs) if value is not None]
    assert all(names)
    assert len({id(v) for v in graph.constants()}) == len(graph.constants()) == 3


def test_builder_takes_inputs_by_name_and_numbers() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (5, 4))
    y = b.layer_norm(x, bias=np.ones(4, np.float32))
    node = only_node(b.graph, "layer_norm")
    assert node.inputs[1] is None
    assert node.inputs[2] is not None
    assert node.attrs == {"normalized_dims": 1, "eps": 1e-5}
    assert b.add(y, 2.0).dtype == np.float32
    assert b.constant(3).dtype == np.int64
    assert b.constant(x) is x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b, x: b.add(x, np.zeros(3, np.float32)), "add: dimensions"),
        (lambda b, x: b.add(x, np.zeros(4, np.float64)), "add: a is float32"),
        (lambda b, x: b.relu(), "relu: 0 inputs"),
        (lambda b, x: b.relu(x, x), "relu: 2 inputs"),
        (lambda b, x: b.softmax(x), "'dim' is missing"),
        (lambda b, x: b.softmax(x, dim=2), "softmax: dim 2"),
        (lambda b, x: b.softmax(x, dim=1, axis=1), "no attribute axis"),
        (lambda b, x: b.softmax(x, dim="1"), "'dim' must be int"),
        (lambda b, x: b.gelu(x, approximate="erf"), "one of none, tanh"),
        (lambda b, x: b.add(x, None), "add: input 'b' is missing"),
        (lambda b, x: b.sum(x, dim=(0, -2)), "twice"),
        (lambda b, x: b.input("x", np.float32, ()), "defined twice"),
        (lambda b, x: (b.output("o", x), b.output("o", x)), "defined twice"),
        (lambda b, x: b.set_state("s", x), "no state 's'"),
    ],
)
def test_builder_refuses(call: Any, message: str) -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 4))
    with pytest.raises(ShapeError, match=message):
        call(b, x)


def test_unknown_operator() -> None:
    with pytest.raises(AttributeError, match="no operator 'nonsense'"):
        GraphBuilder().nonsense()
    with pytest.raises(UnsupportedError, match="unknown operator 'nonsense'"):
        make_node("nonsense", [])


def test_printing() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 4))
    y = b.sum(b.mul(x, 0.5), dim=(1,), keepdim=True)
    b.output("y", y)
    assert print_graph(b.graph) == (
        "def forward(%x: float32[N, 4]):\n"
        "  %mul: float32[N, 4] = mul(%x, 0.5)\n"
        "  %sum: float32[N, 1] = sum(%mul, dim=[1], keepdim=True)\n"
        "  return y=%sum"
    )
    assert str(b.graph) == print_graph(b.graph)


def test_printing_shows_states_and_absent_inputs_and_never_repeats_a_name() -> None:
    b = GraphBuilder()
    before = b.state("total", tensor_type(np.float32, (3,)))
    x = b.input("x", np.float32, (3,))
    after = b.add(before, x, name="a")
    other = b.add(after, x, name="a")
    b.set_state("total", after)
    b.output("y", b.layer_norm(other))
    b.graph.nodes[1].outputs[0].name = "a"
    text = print_graph(b.graph)
    assert "(state 'total')" in text
    assert "state 'total' = %a" in text
    assert "layer_norm(%a.1, None, None)" in text


def broken(change: Any) -> Graph:
    graph = two_layers().graph
    change(graph)
    return graph


def _swap_first_nodes(graph: Graph) -> None:
    graph.nodes[0], graph.nodes[1] = graph.nodes[1], graph.nodes[0]


def _set_type(graph: Graph) -> None:
    graph.nodes[1].output.type = tensor_type(np.float32, ("N", 5))


def _spoil_constant(graph: Graph) -> None:
    graph.constants()[0].stored = np.ones((3, 4), np.float64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_swap_first_nodes, "before it is assigned"),
        (_set_type, "declares"),
        (_spoil_constant, "holds float64"),
        (lambda g: g.nodes.append(g.nodes[-1]), "assigned twice"),
        (lambda g: g.inputs.append(g.inputs[0]), "listed twice"),
        (lambda g: g.symbols.clear(), "undeclared dimension N"),
        (lambda g: g.outputs.append(g.outputs[0]), "output 'y' is listed twice"),
        (lambda g: g.outputs.append(("", g.outputs[0][1])), "has no name"),
        (lambda g: g.outputs.append(("z", Value(tensor_type(np.float32, ())))), "before it is assigned"),
        (lambda g: g.inputs.append(g.nodes[0].output), "is not free"),
        (lambda g: setattr(g.nodes[0].output, "producer", None), "produced elsewhere"),
        (lambda g: g.nodes[1].attrs.update(x=1), "no attribute x"),
        (
            lambda g: g.states.append(State("s", Value(tensor_type(np.float32, (1,)), "s"), g.outputs[0][1])),
            "state 's' is",
        ),
    ],
)
def test_verifier_refuses(change: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        verify(broken(change))


def test_verifier_bounds_nesting() -> None:
    def nested(depth: int) -> Graph:
        b = GraphBuilder()
        x = b.input("x", np.float32, (3,))
        if depth:
            body = nested(depth - 1)
            x = b.cond(np.array(True), x, then=body, otherwise=body)
        b.output("y", x)
        return b.graph

    verify(nested(8))
    deep = nested(17)
    with pytest.raises(ShapeError, match="more than 16 deep"):
        verify(deep)


def test_clone_is_independent() -> None:
    graph = two_layers().graph
    text = str(graph)
    copy = graph.clone()
    assert str(copy) == text
    verify(copy)
    assert not {id(v) for v in graph.used_values()} & {id(v) for v in copy.used_values()}
    assert graph.constants()[0].data is copy.constants()[0].data
    copy.nodes[1].attrs["other"] = 1
    copy.nodes.clear()
    copy.symbols.clear()
    assert str(graph) == text
    verify(graph)


def test_clone_keeps_states_and_clones_bodies() -> None:
    body = GraphBuilder()
    body.output("y", body.relu(body.input("x", np.float32, (3,))))
    b = GraphBuilder()
    before = b.state("s", tensor_type(np.float32, (3,)), np.ones(3, np.float32))
    b.set_state("s", b.cond(np.array(True), before, then=body.graph, otherwise=body.graph))
    copy = b.graph.clone()
    verify(copy)
    assert copy.states[0].name == "s"
    assert copy.states[0].before is not before
    assert copy.states[0].after is copy.nodes[0].output
    assert copy.nodes[0].attrs["then"] is not body.graph


def test_users_and_kept() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (3,))
    square = b.mul(x, x)
    b.output("y", b.add(square, x))
    users = b.graph.users()
    assert [node.op.name for node in users[x]] == ["mul", "mul", "add"]
    assert [node.op.name for node in users[square]] == ["add"]
    assert b.graph.kept() == {b.graph.outputs[0][1]}


def test_replace_and_prune() -> None:
    graph = two_layers().graph
    linear, relu = graph.nodes[0].output, graph.nodes[1].output
    graph.replace(relu, linear)
    assert graph.prune()
    assert not graph.prune()
    verify(graph)
    assert [node.op.name for node in graph.nodes] == ["linear", "linear"]
    x = np.full((1, 4), -1, np.float32)
    assert run_reference(graph, {"x": x})["y"].tolist() == [[-24, -24]]


def test_replace_reaches_outputs_and_states_and_checks_types() -> None:
    b = GraphBuilder()
    before = b.state("s", tensor_type(np.float32, (3,)))
    doubled = b.add(before, before)
    b.set_state("s", doubled)
    b.output("y", doubled)
    b.graph.replace(doubled, before)
    assert b.graph.outputs[0][1] is before
    assert b.graph.states[0].after is before
    with pytest.raises(ShapeError, match="cannot replace"):
        b.graph.replace(before, constant(np.zeros(4, np.float32)))


def test_replace_many_follows_chains() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (3,))
    first = b.relu(x)
    second = b.neg(first)
    b.output("y", b.abs(second))
    b.output("z", second)
    b.graph.replace_many({second: first, first: x})
    b.graph.prune()
    verify(b.graph)
    assert [node.op.name for node in b.graph.nodes] == ["abs"]
    assert b.graph.nodes[0].inputs == [x]
    assert b.graph.outputs[1][1] is x


def test_prune_keeps_states() -> None:
    b = GraphBuilder()
    before = b.state("s", tensor_type(np.float32, (3,)))
    b.set_state("s", b.relu(before))
    b.neg(before)
    assert b.graph.prune()
    assert [node.op.name for node in b.graph.nodes] == ["relu"]


def test_constants_are_contiguous_and_keep_rank_zero() -> None:
    assert constant(np.arange(6).reshape(2, 3).T).data.flags.c_contiguous  # type: ignore[union-attr]
    assert constant(np.float32(1)).type == TensorType(np.dtype(np.float32), ())


def test_program_names_its_methods() -> None:
    graph = two_layers().graph
    assert Program({"forward": graph}).graph is graph
    assert Program({"other": graph}).graph is graph
    both = Program({"forward": graph, "other": graph.clone()})
    assert both.graph is graph
    assert "def other(" in str(both)
    with pytest.raises(RushlightError, match="no method 'third'"):
        both.method("third")
    with pytest.raises(RushlightError, match="at least one method"):
        Program({})
    with pytest.raises(ShapeError):
        Program({"forward": broken(_set_type)})


def test_symbols_of_an_input_are_declared() -> None:
    b = GraphBuilder()
    b.input("x", np.float32, ("2*H+1", Dim.symbol("W"), 3))
    assert set(b.graph.symbols) == {"H", "W"}
