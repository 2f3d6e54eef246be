"""Concatenations of slices and of each other's parts."""

import numpy as np
import pytest

from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.passes.joins import reuse_joins
from rushlight.runtime.reference import run_reference

from .harness import F32, ops


def build(parts):
    """Concatenations, in turn, of what `parts` names: letters of inputs, or (letter, start, stop) of their slices."""
    b = GraphBuilder()
    inputs = {name: b.input(name, F32, (2, 6)) for name in "abc"}

    def value(part):
        if isinstance(part, str):
            return inputs[part]
        name, start, stop = part
        return b.slice(inputs[name], axes=(-1,), starts=(start,), ends=(stop,), steps=(1,))

    for index, names in enumerate(parts):
        b.output(f"y{index}", b.concat(*map(value, names), dim=1))
    return b.graph


@pytest.mark.parametrize(
    ("parts", "joined", "slices"),
    [
        ([[("a", 0, 2), ("a", 2, 6), "b"]], [2], 0),
        ([["b", ("a", 1, 2), ("a", 2, 3), ("a", 3, 5), "c"]], [3], 1),
        ([[("a", 2, 6), ("a", 0, 2)]], [2], 2),
        ([[("a", 0, 2), ("a", 3, 6)]], [2], 2),
        ([[("a", 0, 2), ("b", 2, 6)]], [2], 2),
        ([["a", "b"], ["a", "b", "c"], ["a", "b", "c", "a"]], [2, 2, 2], 0),
        ([["a", "b"], ["b", "a", "c"]], [2, 3], 0),
        ([["a", "b", "c"], ["a", "b"]], [3, 2], 0),
        ([[("a", 0, 3), ("a", 3, 6), "b"], ["a", "b", "c"]], [2, 2], 0),
    ],
)
def test_joins(parts, joined, slices):
    graph = build(parts)
    arrays = {name: np.random.default_rng(i).standard_normal((2, 6)).astype(F32) for i, name in enumerate("abc")}
    expected = run_reference(graph, arrays)
    reuse_joins(graph)
    assert [len(node.inputs) for node in graph.nodes if node.op.name == "concat"] == joined
    assert ops(graph).get("slice", 0) == slices
    for name, value in run_reference(graph, arrays).items():
        np.testing.assert_array_equal(value, expected[name])
