"""The reference interpreter: symbolic sizes, states, control flow, float64, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.errors import ShapeError
from rushlight.runtime.ir import Graph, GraphBuilder, SymbolRange
from rushlight.runtime.ops import Array
from rushlight.runtime.reference import bind_symbols, run_reference, widen
from rushlight.runtime.types import Dim, tensor_type


def sums(*shape: int | str) -> Graph:
    b = GraphBuilder()
    x, y = b.input("x", np.float32, shape), b.input("y", np.float32, shape)
    b.output("sum", b.add(x, y))
    b.output("difference", b.sub(x, y))
    return b.graph


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


def test_outputs_by_name() -> None:
    inputs = {"y": ones(2, 3), "x": 3 * ones(2, 3)}
    out = run_reference(sums("N", 3), inputs)
    assert list(out) == ["sum", "difference"]
    np.testing.assert_array_equal(out["difference"], 2 * ones(2, 3))
    assert list(run_reference(sums("N", 3), inputs, ["difference"])) == ["difference"]


def test_matches_torch_on_a_small_network() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.SiLU(),
        torch.nn.Conv2d(8, 8, 3, groups=8),
        torch.nn.GroupNorm(2, 8),
        torch.nn.Flatten(1),
        torch.nn.Linear(8 * 3 * 2, 5),
        torch.nn.Softmax(1),
    ).eval()
    module[1].running_mean.uniform_(-1, 1)
    module[1].running_var.uniform_(0.5, 2)
    p = [{name: t.detach().numpy() for name, t in (*m.named_parameters(), *m.named_buffers())} for m in module]
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 3, 9, 8))
    y = b.conv2d(x, p[0]["weight"], p[0]["bias"], stride=(2, 2), padding=(1, 1, 1, 1))
    y = b.silu(b.batch_norm(y, p[1]["running_mean"], p[1]["running_var"], p[1]["weight"], p[1]["bias"]))
    y = b.group_norm(b.conv2d(y, p[3]["weight"], p[3]["bias"], groups=8), p[4]["weight"], p[4]["bias"], num_groups=2)
    y = b.linear(b.reshape(y, shape=(Dim.symbol("N"), 48)), p[6]["weight"], p[6]["bias"])
    b.output("y", b.softmax(y, dim=1))
    data = np.random.default_rng(0).standard_normal((2, 3, 9, 8)).astype(np.float32)
    with torch.no_grad():
        expected = module.double()(torch.from_numpy(data).double()).numpy()
    np.testing.assert_allclose(run_reference(b.graph, {"x": data})["y"], expected, atol=1e-6)
    np.testing.assert_allclose(run_reference(b.graph, {"x": data}, wide=True)["y"], expected, atol=1e-12)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_symbolic_attributes_are_evaluated(size: int) -> None:
    b = GraphBuilder()
    n = Dim.symbol("N")
    x = b.input("x", np.float32, ("N", 6))
    b.output("flat", b.reshape(x, shape=(n * 3, 2)))
    b.output("sizes", b.dim_values(values=(n, 2 * n + 1, 7)))
    b.graph.symbols["N"] = SymbolRange(0, None)
    out = run_reference(b.graph, {"x": ones(size, 6)})
    assert out["flat"].shape == (3 * size, 2)
    assert out["sizes"].tolist() == [size, 2 * size + 1, 7]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": ones(2, 3)}, "missing y"),
        ({"x": ones(2, 3), "y": ones(2, 3), "z": ones(1)}, "unknown z"),
        ({"x": ones(2, 3), "y": ones(4, 3)}, "dimension 'N' is 2 and 4"),
        ({"x": ones(2, 4), "y": ones(2, 3)}, r"'x' is float32\[2, 4\]"),
        ({"x": ones(2), "y": ones(2, 3)}, r"'x' has shape \[2\]"),
        ({"x": ones(2, 3).astype(np.float64), "y": ones(2, 3)}, "'x' is float64"),
        ({"x": ones(0, 3), "y": ones(0, 3)}, "'N' is 0, allowed is 1 to any"),
    ],
)
def test_inputs_that_do_not_fit(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        run_reference(sums("N", 3), inputs)


def test_unknown_output() -> None:
    with pytest.raises(ShapeError, match="no output z; there is sum, difference"):
        run_reference(sums(1), {"x": ones(1), "y": ones(1)}, ["z"])


def test_sizes_are_bound_and_checked() -> None:
    graph = sums("N", "2*N+1")
    assert bind_symbols(graph, [(3, 7), (3, 7)]) == {"N": 3}
    run_reference(graph, {"x": ones(3, 7), "y": ones(3, 7)})
    with pytest.raises(ShapeError, match="'N' is 3 and 2"):
        run_reference(graph, {"x": ones(3, 6), "y": ones(3, 6)})
    with pytest.raises(ShapeError, match=r"expected float32\[5\]"):
        run_reference(sums("2*N+1"), {"x": ones(6), "y": ones(6)})
    graph.symbols["N"] = SymbolRange(1, 2)
    with pytest.raises(ShapeError, match="'N' is 3, allowed is 1 to 2"):
        bind_symbols(graph, [(3, 7), (3, 7)])


def test_states_live_between_calls() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (3,))
    total = b.state("total", tensor_type(np.float32, (3,)))
    count = b.state("count", tensor_type(np.int64, ()), np.array(10))
    after = b.add(total, x)
    b.set_state("total", after)
    b.set_state("count", b.add(count, 1))
    b.output("before", total)
    states: dict[str, Array] = {}
    for call in range(3):
        out = run_reference(b.graph, {"x": ones(3)}, states=states)
        assert out["before"].tolist() == [call] * 3
    assert states["total"].tolist() == [3, 3, 3]
    assert states["count"] == 13
    assert run_reference(b.graph, {"x": ones(3)})["before"].tolist() == [0, 0, 0]
    with pytest.raises(ShapeError, match="state 'total' is"):
        run_reference(b.graph, {"x": ones(3)}, states={"total": ones(4)})


def double_while_below(limit: float, dtype: Any = np.float32) -> Graph:
    n = Dim.symbol("N")
    check, step = GraphBuilder(), GraphBuilder()
    x = check.input("x", dtype, ("N",))
    check.output("more", check.lt(check.amax(x), np.asarray(limit, dtype)))
    x = step.input("x", dtype, ("N",))
    step.output("x", step.add(x, step.expand(step.reshape(step.amax(x), shape=(1,)), shape=(n,))))
    b = GraphBuilder()
    b.output("y", b.while_loop(b.input("x", dtype, ("N",)), condition=check.graph, body=step.graph))
    return b.graph


@pytest.mark.parametrize("wide", [False, True])
def test_loops_over_symbolic_sizes(wide: bool) -> None:
    out = run_reference(double_while_below(100), {"x": np.array([1, 3], np.float32)}, wide=wide)["y"]
    assert out.tolist() == [190.0, 192.0]
    assert out.dtype == (np.float64 if wide else np.float32)


@pytest.mark.parametrize("flag", [False, True])
def test_branches_see_the_sizes_outside(flag: bool) -> None:
    """A body may use a symbol that its own inputs do not show."""
    bodies = []
    for sign in (1.0, -1.0):
        body = GraphBuilder()
        x = body.input("x", np.float32, ())
        body.graph.symbols["N"] = SymbolRange()
        body.output("y", body.mul(body.expand(x, shape=(Dim.symbol("N"),)), sign))
        bodies.append(body.graph)
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N",))
    predicate = b.input("flag", bool, ())
    b.output("y", b.cond(predicate, b.amax(x), then=bodies[0], otherwise=bodies[1]))
    out = run_reference(b.graph, {"x": np.array([1, 5, 2], np.float32), "flag": np.array(flag)})
    assert out["y"].tolist() == ([5, 5, 5] if flag else [-5, -5, -5])


def test_wide_is_more_precise() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (2,))
    b.output("y", b.add(b.sub(b.add(x, 1e8), 1e8), b.full(shape=(2,), value=0.0)))
    given = {"x": np.array([0.25, 1], np.float32)}
    assert run_reference(b.graph, given)["y"].tolist() == [0, 0]
    assert run_reference(b.graph, given, wide=True)["y"].tolist() == [0.25, 1]


def test_widen_leaves_the_graph_alone_and_integers_too() -> None:
    graph = double_while_below(1, np.int64)
    text = str(graph)
    assert str(widen(graph)) == text
    graph = double_while_below(1)
    text = str(graph)
    assert "float32" not in str(widen(graph))
    assert str(graph) == text


def test_float32_arithmetic_by_definition_stays_float32_when_wide() -> None:
    b = GraphBuilder()
    x = b.input("x", np.uint8, (1, 3))
    scale, bias = np.full(2, 0.1, np.float32), np.zeros(2, np.float32)
    v = b.qlinear(x, np.ones((2, 3), np.int8), scale, bias, x_zero_point=0, out_dtype="float32")
    b.output("y", b.mul(v, 1.0))
    given = {"x": np.array([[1, 1, 1]], np.uint8)}
    narrow, wide = run_reference(b.graph, given)["y"], run_reference(b.graph, given, wide=True)["y"]
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(narrow, wide)
