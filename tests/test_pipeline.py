"""Recurrent layers that run at once, each on a thread, give the bits that they give one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rushlight as rl
from rushlight.runtime.cpu import _core
from rushlight.runtime.explain import explain
from rushlight.runtime.plan.pipeline import LONGEST, MAX_MEMBERS, SHORTEST, Pipeline, spans_of
from rushlight.runtime.program import Program
from rushlight.runtime.reference import run_reference

Array = npt.NDArray[Any]

WIDTH, HIDDEN = 24, 40
LAYERS = 3


def layer(b: rl.GraphBuilder, op: str, x: Any, states: Sequence[Any], rng: np.random.Generator, **attrs: bool) -> Any:
    """A layer with random weights; its results."""
    gates = 4 if op == "lstm" else 3
    shapes = [(gates * HIDDEN, x.shape[2]), (gates * HIDDEN, HIDDEN), (gates * HIDDEN,), (gates * HIDDEN,)]
    weights = [rng.uniform(-0.4, 0.4, (1, *shape)).astype(np.float32) for shape in shapes]
    return b.add_node(op, [x, *states, *weights], attrs)


def network(ops: tuple[str, ...], *, batch_first: bool = False, reverse: bool = False) -> Program:
    """Layers on one another, of any time and batch; all states are inputs and outputs."""
    rng = np.random.default_rng(5)
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, ("N", "T", WIDTH) if batch_first else ("T", "N", WIDTH))
    for index, op in enumerate(ops):
        names = ("h", "c") if op == "lstm" else ("h",)
        states = [b.input(f"{name}{index}", np.float32, (1, "N", HIDDEN)) for name in names]
        x, *last = layer(b, op, x, states, rng, batch_first=batch_first, reverse=reverse)
        for name, value in zip(names, last, strict=True):
            b.output(f"{name}{index}_n", value)
    b.output("y", x)
    return b.build()


def feeds(program: Program, steps: int, batch: int) -> dict[str, Array]:
    rng = np.random.default_rng(steps)
    sizes = {"T": steps, "N": batch}
    return {
        value.name: rng.uniform(-1, 1, [sizes.get(str(d), d) for d in value.shape]).astype(np.float32)
        for value in program.graph.inputs
    }


def pipelines(model: rl.Model, steps: int, batch: int) -> list[Pipeline]:
    groups = model.main.execution({"T": steps, "N": batch}).binding.groups
    return [group for group in groups if isinstance(group, Pipeline)]


@pytest.mark.parametrize(("batch_first", "reverse"), [(False, False), (True, False), (False, True)], ids=str)
@pytest.mark.parametrize("ops", [("lstm",) * LAYERS, ("gru", "lstm"), ("gru",) * 4], ids="-".join)
def test_pipelines_give_the_same_bits(ops: tuple[str, ...], batch_first: bool, reverse: bool) -> None:
    program = network(ops, batch_first=batch_first, reverse=reverse)
    models = {threads: rl.load(program, threads=threads) for threads in (1, 2, 3)}
    for steps in (1, 2 * SHORTEST - 1, 2 * SHORTEST, 37, 100):
        for batch in (1, 3, 9):
            given = feeds(program, steps, batch)
            expected = models[1].run(given)
            for threads in (2, 3):
                found = models[threads].run(given)
                assert {name: a.tobytes() for name, a in found.items()} == {
                    name: a.tobytes() for name, a in expected.items()
                }


def test_as_many_layers_as_threads_run_at_once() -> None:
    program = network(("lstm",) * LAYERS)
    for threads, ends in ((1, []), (2, [(0, 2)]), (3, [(0, 3)])):
        model = rl.load(program, threads=threads)
        assert [(p.first, p.end) for p in pipelines(model, 100, 1)] == ends
        assert pipelines(model, 2 * SHORTEST - 1, 1) == []
        assert pipelines(model, 100, 64) == []


def test_no_more_layers_than_the_executor_takes() -> None:
    assert MAX_MEMBERS == _core.MAX_PIPELINE


@pytest.mark.parametrize("layers", [1, 2])
def test_steps_of_one_node_stay_in_their_order(layers: int) -> None:
    """A product by a result is packed by a step of its own, into memory that no value names."""
    b = rl.GraphBuilder()
    q, x = b.input("q", np.float32, (3, 5, HIDDEN)), b.input("x", np.float32, ("T", 3, WIDTH))
    rng = np.random.default_rng(6)
    for _ in range(layers):
        x, *_ = layer(b, "lstm", x, [np.zeros((1, 3, HIDDEN), np.float32)] * 2, rng)
    b.output("y", b.matmul(q, b.permute(x, dims=(1, 2, 0))))
    program = b.build()
    given = feeds(program, 40, 3)
    (expected,) = run_reference(program.graph, given).values()
    for threads in (1, 2):
        np.testing.assert_allclose(rl.load(program, threads=threads).run(given)["y"], expected, rtol=1e-4, atol=1e-5)


def test_what_stands_between_and_needs_no_layer_goes_before() -> None:
    b = rl.GraphBuilder()
    rng = np.random.default_rng(1)
    x, h = b.input("x", np.float32, ("T", "N", HIDDEN)), b.input("h", np.float32, (2, "N", HIDDEN))
    for index in range(2):
        state = b.tanh(b.slice(h, axes=[0], starts=[index], ends=[index + 1], steps=[1]))
        x, last = layer(b, "gru", x, [state], rng)
        b.output(f"last{index}", b.tanh(last))
    b.output("y", x)
    program = b.build()
    given = feeds(program, 40, 1)
    model = rl.load(program, threads=2)
    alone = rl.load(program, threads=1).run(given)
    assert {name: a.tobytes() for name, a in model.run(given).items()} == {n: a.tobytes() for n, a in alone.items()}
    names = [step.node.op.name for step in model.main.plan.steps if step.node.op.name != "slice"]
    (pipeline,) = pipelines(model, 40, 1)
    assert pipeline.end - pipeline.first == names.count("gru") == 2


def test_a_state_that_comes_from_a_member_is_waited_for() -> None:
    """The second layer begins where the first ended: it can not begin before."""
    b = rl.GraphBuilder()
    rng = np.random.default_rng(1)
    x, h = b.input("x", np.float32, ("T", "N", HIDDEN)), b.input("h", np.float32, (1, "N", HIDDEN))
    for _ in range(2):
        x, h = layer(b, "gru", x, [h], rng)
    b.output("y", x)
    program = b.build()
    given = feeds(program, 40, 1)
    model = rl.load(program, threads=2)
    assert model.run(given)["y"].tobytes() == rl.load(program, threads=1).run(given)["y"].tobytes()
    assert pipelines(model, 40, 1) == []


def test_callers_at_once_get_the_same_bits() -> None:
    """More callers than CPUs: there are no helpers for all of them."""
    program = network(("lstm", "lstm"))
    model, given = rl.load(program, threads=2), feeds(program, 64, 1)
    expected = rl.load(program, threads=1).run(given)["y"].tobytes()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: model.run(given)["y"].tobytes(), range(200))) == {expected}


def test_explain_has_a_line_for_every_layer() -> None:
    program = network(("lstm", "gru"))
    found = explain(rl.load(program, threads=2), feeds(program, 64, 1))
    at_once = [step for step in found.steps if "2 steps at once, each on a thread" in step.reason]
    assert len(at_once) == 2
    assert all(step.nanoseconds > 0 for step in at_once)


@pytest.mark.parametrize("is_reverse", [False, True])
@pytest.mark.parametrize("steps", [1, 16, 17, 31, 63, 96, 100, 1000])
def test_spans_cover_the_time_once(steps: int, is_reverse: bool) -> None:
    spans = spans_of(steps, is_reverse)
    covered = [t for begin, count in spans for t in range(begin, begin + count)]
    assert sorted(covered) == list(range(steps))
    assert [begin for begin, _ in spans] == sorted((begin for begin, _ in spans), reverse=is_reverse)
    assert max(count for _, count in spans) <= LONGEST
