"""Constant folding, identities, joined movements, merged and dead nodes."""

import numpy as np
import pytest

from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.passes import canonicalize
from rushlight.runtime.passes.fold import fold_constants

from .harness import F32, check, ops, single, weights


def test_constants_fold_through_a_chain():
    graph = single(lambda b, x: b.add(x, b.exp(b.mul(weights(3, 4), F32(2)))))
    check(graph, {"add": 1}, tolerance=1e-6)


def test_large_results_are_not_folded():
    graph = single(lambda b, x: b.add(x, b.expand(F32(3), shape=(1000, 1000))), (1000, 1000))
    check(graph, {"add": 1, "expand": 1})


def test_small_results_are_folded():
    graph = single(lambda b, x: b.add(x, b.full(shape=(3, 4), value=2.0)))
    check(graph, {"add": 1})


def test_quantized_constants_stay_quantized():
    b = GraphBuilder()
    q = b.dequantize(np.arange(12, dtype=np.int8).reshape(3, 4), F32(0.5), np.int8(1))
    b.output("y", b.mul(b.input("x", F32, (3, 4)), q))
    check(b.graph, {"dequantize": 1, "mul": 1})
    check(b.graph, {"mul": 1}, run=lambda graph: fold_constants(graph, kept=()))


def test_what_cannot_be_computed_is_left_to_the_run():
    b = GraphBuilder()
    b.input("x", F32, (1,))
    b.output("y", b.index_select(weights(3), np.array([7]), dim=0))
    out = b.graph.clone()
    canonicalize(out)
    assert ops(out) == {"index_select": 1}


def test_symbolic_sizes_do_not_fold():
    b = GraphBuilder()
    x = b.input("x", F32, ("N", 3))
    b.output("n", b.dim_values(values=(x.shape[0],)))
    check(b.graph, {"dim_values": 1}, N=5)


@pytest.mark.parametrize(
    "make",
    [
        lambda b, x: b.reshape(x, shape=(2, 3, 4)),
        lambda b, x: b.reshape(b.reshape(x, shape=(24,)), shape=(2, 3, 4)),
        lambda b, x: b.permute(x, dims=(0, 1, 2)),
        lambda b, x: b.permute(b.permute(x, dims=(2, 0, 1)), dims=(1, 2, 0)),
        lambda b, x: b.permute(b.permute(x, dims=(0, -1, 1)), dims=(0, 2, -2)),
        lambda b, x: b.cast(x, dtype="float32"),
        lambda b, x: b.expand(x, shape=(2, 3, 4)),
        lambda b, x: b.concat(x, dim=1),
        lambda b, x: b.slice(x, axes=(1, 2), starts=(0, 0), ends=(3, 4), steps=(1, 1)),
        lambda b, x: b.pad(x, pads=(0,) * 6),
        lambda b, x: b.tile(x, repeats=(1, 1, 1)),
        lambda b, x: b.add(x, F32(0)),
        lambda b, x: b.add(np.zeros((1,), F32), x),
        lambda b, x: b.sub(x, F32(0)),
        lambda b, x: b.mul(F32(1), x),
        lambda b, x: b.div(x, F32(1)),
        lambda b, x: b.pow(x, F32(1)),
        lambda b, x: b.clamp(x),
    ],
)
def test_identities_vanish(make):
    check(single(lambda b, x: b.neg(make(b, b.exp(x)))), {"exp": 1, "neg": 1})


def test_an_identity_of_an_input_can_be_an_output():
    check(single(lambda b, x: b.reshape(x, shape=(2, 3, 4))), {})


@pytest.mark.parametrize(
    ("make", "op"),
    [
        (lambda b, x: b.reshape(x, shape=(3, 2, 4)), "reshape"),
        (lambda b, x: b.permute(x, dims=(1, 0, 2)), "permute"),
        (lambda b, x: b.sub(F32(0), x), "sub"),
        (lambda b, x: b.div(F32(1), x), "div"),
        (lambda b, x: b.add(x, F32(1e-30)), "add"),
        (lambda b, x: b.mul(x, np.ones((5, 1, 1, 1), F32)), "mul"),
        (lambda b, x: b.slice(x, axes=(1,), starts=(2,), ends=(-1,), steps=(-1,)), "slice"),
        (lambda b, x: b.flip(x, dims=(0,)), "flip"),
    ],
)
def test_near_identities_stay(make, op):
    check(single(make), {op: 1})


def test_movements_join():
    graph = single(lambda b, x: b.permute(b.permute(x, dims=(2, 0, 1)), dims=(2, 1, 0)))
    check(graph, {"permute": 1})
    graph = single(lambda b, x: b.reshape(b.reshape(x, shape=(6, 4)), shape=(2, 12)))
    check(graph, {"reshape": 1})


def test_permuting_axes_of_size_one_is_a_reshape():
    check(single(lambda b, x: b.permute(x, dims=(0, 2, 1)), (3, 1, 5)), {"reshape": 1})


def test_a_quantized_constant_is_permuted_itself():
    b = GraphBuilder()
    scale, zero = weights(5) ** 2, np.arange(5, dtype=np.int8)
    q = b.dequantize(np.arange(20, dtype=np.int8).reshape(4, 5), scale, zero, axis=1)
    b.output("y", b.mul(b.input("x", F32, (5, 4)), b.permute(q, dims=(1, 0))))
    out = check(b.graph, {"dequantize": 1, "mul": 1})
    assert out.nodes[0].attrs["axis"] == 0


def test_equal_nodes_merge():
    b = GraphBuilder()
    x = b.input("x", F32, (4, 5))
    left = b.sub(x, b.mean(x, dim=(1,), keepdim=True))
    right = b.mul(b.sub(x, b.mean(x, dim=(1,), keepdim=True)), F32(2))
    b.output("y", b.add(b.exp(left), b.exp(right)))
    check(b.graph, {"mean": 1, "sub": 1, "mul": 1, "exp": 2, "add": 1})


def test_nodes_with_other_attributes_do_not_merge():
    b = GraphBuilder()
    x = b.input("x", F32, (4, 4))
    b.output("y", b.add(b.sum(x, dim=(0,)), b.sum(x, dim=(1,))))
    check(b.graph, {"sum": 2, "add": 1})


def test_dead_nodes_vanish():
    b = GraphBuilder()
    x = b.input("x", F32, (3,))
    b.exp(b.neg(x))
    b.output("y", b.abs(x))
    check(b.graph, {"abs": 1})


def test_clamps_join():
    check(single(lambda b, x: b.minimum(b.relu(x), F32(6))), {"clamp": 1})
    check(single(lambda b, x: b.clamp(b.maximum(x, F32(-1)), max=1.0)), {"clamp": 1})
    check(single(lambda b, x: b.maximum(x, F32(0))), {"relu": 1})
    check(single(lambda b, x: b.clamp(b.clamp(x, min=2.0), max=1.0)), {"clamp": 2})


@pytest.mark.parametrize("predicate", [True, False])
def test_a_condition_that_is_known_is_inlined(predicate):
    branches = {}
    for name, op in (("then", "relu"), ("otherwise", "neg")):
        inner = GraphBuilder()
        inner.output("y", getattr(inner, op)(inner.input("x", F32, (2, 3, 4))))
        branches[name] = inner.graph
    graph = single(lambda b, x: b.abs(b.cond(np.array(predicate), x, **branches)))
    check(graph, {"relu" if predicate else "neg": 1, "abs": 1})


def test_sub_graphs_are_simplified_too():
    branches = {}
    for name, op in (("then", "relu"), ("otherwise", "neg")):
        inner = GraphBuilder()
        x = inner.input("x", F32, (2,))
        inner.output("y", getattr(inner, op)(inner.add(x, F32(0))))
        branches[name] = inner.graph
    b = GraphBuilder()
    b.output("y", b.cond(b.input("p", np.bool_, ()), b.input("x", F32, (2,)), **branches))
    out = check(b.graph, {"cond": 1})
    assert ops(out.nodes[0].attrs["then"]) == {"relu": 1}


def test_axes_that_a_permutation_stands_before_are_split_at_once():
    def heads(b, x):
        length, n = x.shape[:2]
        merged = b.reshape(x, shape=(length, n * 3, 4))
        return b.reshape(b.permute(merged, dims=(1, 0, 2)), shape=(n, 3, length, 4))

    check(single(heads, (5, "N", 12)), {"reshape": 1, "permute": 1}, N=2)


def test_layers_see_rows_before_they_are_merged():
    def build(b, x):
        rows = b.reshape(x, shape=(5 * x.shape[0], 6))
        return b.reshape(b.linear(rows, weights(2, 6)), shape=(x.shape[0], 5, 2))

    check(single(build, ("N", 5, 6)), {"linear": 1}, N=2)
    check(single(build, ("N", 5, 2, 3)), {"reshape": 1, "linear": 1}, N=2)
