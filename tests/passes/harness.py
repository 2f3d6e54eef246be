"""Graphs for the tests of passes, and what every pass must keep."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from rushlight.runtime.ir import Graph, GraphBuilder, Value, verify
from rushlight.runtime.ops import Array
from rushlight.runtime.passes import canonicalize
from rushlight.runtime.reference import run_reference

F32 = np.float32


def weights(*shape: int, seed: int = 0, scale: float = 1.0) -> Array:
    """Normally distributed float32, the same for the same arguments."""
    return (np.random.default_rng([seed, *shape]).standard_normal(shape) * scale).astype(F32)


def ops(graph: Graph) -> dict[str, int]:
    """How many nodes of each operator there are."""
    return dict(Counter(node.op.name for node in graph.nodes))


def random_inputs(graph: Graph, **sizes: int) -> dict[str, Array]:
    rng = np.random.default_rng(7)
    found: dict[str, Array] = {}
    for value in graph.inputs:
        shape = [dim if isinstance(dim, int) else dim.evaluate(sizes) for dim in value.shape]
        if value.dtype == np.bool_:
            found[value.name] = np.asarray(rng.integers(0, 2, shape)).astype(bool)
        else:
            found[value.name] = np.asarray(rng.standard_normal(shape) * 3).astype(value.dtype)
    return found


def check_same(before: Graph, after: Graph, tolerance: float = 1e-9, **sizes: int) -> None:
    """Both graphs compute the same in float64."""
    verify(after)
    inputs = random_inputs(before, **sizes)
    want = run_reference(before, inputs, wide=True)
    got = run_reference(after, inputs, wide=True)
    assert want.keys() == got.keys()
    for name, array in want.items():
        np.testing.assert_allclose(got[name], array, rtol=tolerance, atol=tolerance)


def check(
    graph: Graph,
    expected: dict[str, int],
    run: Callable[[Graph], bool] = canonicalize,
    tolerance: float = 1e-9,
    **sizes: int,
) -> Graph:
    """Runs a pass on a copy: sound, same results, `expected` operators, and a second run finds nothing to do."""
    verify(graph)
    out = graph.clone()
    run(out)
    check_same(graph, out, tolerance, **sizes)
    assert ops(out) == expected
    assert not run(out)
    return out


def single(make: Callable[[GraphBuilder, Value], Value], shape: tuple[int | str, ...] = (2, 3, 4)) -> Graph:
    """A graph of one input `x` and what `make` computes of it."""
    b = GraphBuilder()
    b.output("y", make(b, b.input("x", F32, shape)))
    return b.graph
