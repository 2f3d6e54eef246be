"""Which steps of graphs are joined to chains, and that whole graphs keep the CPU's bits."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.runtime.cuda.backend import cuda_backend
from rushlight.runtime.cuda.chains import MAX_RESULTS, MAX_SOURCES
from rushlight.runtime.cuda.emulated import compiler
from rushlight.runtime.errors import DeviceError
from rushlight.runtime.explain import explain
from rushlight.runtime.ir import GraphBuilder, Value
from rushlight.runtime.plan import KernelStep, Plan
from rushlight.runtime.plan.prepare import prepare

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

Arrays = dict[str, np.ndarray[Any, Any]]


def noise(seed: int, *shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def kinds(builder_or_model: GraphBuilder | rl.Model) -> list[str]:
    """The operator of every step, those of a chain joined by +."""
    if isinstance(builder_or_model, GraphBuilder):
        plan = Plan(prepare(builder_or_model.graph, cuda_backend()), cuda_backend())
    else:
        plan = builder_or_model.main.plan
    return [
        "+".join(own.node.op.name for own in step.chain) or step.node.op.name
        if isinstance(step, KernelStep)
        else step.node.op.name
        for step in plan.steps
    ]


def check(builder: GraphBuilder, *runs: Arrays) -> rl.Model:
    """The model on the emulated device, whose results were compared with the CPU's."""
    program = builder.build()
    here, there = rl.load(program, threads=1), rl.load(program, device="cuda-emulated")
    for inputs in runs:
        for _ in range(2):  # the second time in memory that holds the first one's values
            for (name, got), wanted in zip(there.run(inputs).items(), here.run(inputs).values(), strict=True):
                assert got.dtype == wanted.dtype
                np.testing.assert_array_equal(got, wanted, name)
    return there


def test_a_chain_of_all_kinds_of_steps() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 5, 12))
    scale = b.input("scale", np.float32, (12,))
    row = b.input("row", np.float32, ("N", 1, 1))
    gate = b.sigmoid(b.add(b.mul(x, scale), 0.25))
    mixed = b.where(b.gt(gate, row), b.mul(gate, x), b.tanh(x))
    b.output("gate", gate)
    b.output("bytes", b.quantize(mixed, b.constant(np.float32(0.01)), b.constant(np.uint8(120)), axis=None))
    runs = [{"x": noise(n, n, 5, 12), "scale": noise(8, 12), "row": noise(9, n, 1, 1)} for n in (3, 1)]
    model = check(b, *runs)
    assert len(kinds(model)) == 1


def test_a_value_between_members_is_not_read_before_it_is_there() -> None:
    """The softmax stands between two members of what would be one chain."""
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 9))
    y = b.exp(b.neg(x))
    b.output("z", b.mul(b.sub(y, b.softmax(y, dim=-1)), y))
    assert kinds(check(b, {"x": noise(1, 4, 9)})) == ["neg+exp", "softmax", "sub+mul"]


def test_two_chains_do_not_wait_for_each_other() -> None:
    """Either pair can be joined, but with both each would need the other first."""
    b = GraphBuilder()
    x, y = b.input("x", np.float32, (4, 6)), b.input("y", np.float32, (4, 6))
    first, second = b.exp(x), b.tanh(y)
    b.output("a", b.mul(first, b.cumsum(second, dim=1)))
    b.output("b", b.mul(second, b.cumsum(first, dim=1)))
    found = kinds(check(b, {"x": noise(1, 4, 6), "y": noise(2, 4, 6)}))
    assert sorted(found) == ["cumsum", "cumsum", "exp+mul", "mul", "tanh"]


def test_what_several_read_is_made_once_and_what_others_need_is_written() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (6, 7))
    y = b.exp(x)
    b.output("sum", b.add(b.neg(y), b.mul(y, y)))
    b.output("mean", b.mean(y, dim=(0,), keepdim=False))
    model = check(b, {"x": noise(3, 6, 7)})
    assert kinds(model) == ["exp+neg+mul+add", "mean"]
    (chain, _) = model.main.plan.steps
    assert isinstance(chain, KernelStep)
    assert sorted(chain.operands) == ["in0", "out0", "out1"]


def test_results_take_the_memory_of_what_is_read_for_the_last_time() -> None:
    b = GraphBuilder()
    x = b.mean(b.input("x", np.float32, (3, 64, 64)), dim=(0,), keepdim=False)
    row = b.softmax(b.input("row", np.float32, (64,)), dim=-1)
    y = b.mul(b.exp(x), row)
    b.output("y", b.cumsum(y, dim=1))
    model = check(b, {"x": noise(1, 3, 64, 64), "row": noise(2, 64)})
    assert kinds(model)[-2:] == ["exp+mul", "cumsum"]
    assert model.main.plan.bind({}).arena_bytes == 64 * 64 * 4 + 64 * 4


def test_an_operand_that_is_also_read_otherwise_is_not_overwritten() -> None:
    b = GraphBuilder()
    x = b.cumsum(b.input("x", np.float32, (5, 5)), dim=1)
    first = b.slice(x, axes=(1,), starts=(0,), ends=(5,), steps=(1,))
    column = b.slice(x, axes=(0,), starts=(2,), ends=(3,), steps=(1,))
    b.output("y", b.cumsum(b.sub(b.mul(first, column), b.neg(x)), dim=1))
    check(b, {"x": noise(1, 5, 5)})


def test_slices_are_read_where_they_lie() -> None:
    b = GraphBuilder()
    x = b.cumsum(b.input("x", np.float32, ("N", 10)), dim=1)
    left, right = (b.slice(x, axes=(1,), starts=(at,), ends=(at + 5,), steps=(1,)) for at in (0, 5))
    b.output("y", b.mul(b.add(left, right), right))
    assert kinds(check(b, {"x": noise(1, 3, 10)}, {"x": noise(1, 1, 10)})) == ["cumsum", "add+mul"]


def test_chains_are_bounded() -> None:
    """By what they read and by what they write; the rest is another chain."""
    b = GraphBuilder()
    values = [b.input(f"x{k}", np.float32, (3, 4)) for k in range(2 * MAX_SOURCES)]
    b.output("y", list(itertools.accumulate(values, b.mul))[-1])
    inputs = {f"x{k}": noise(k, 3, 4) for k in range(2 * MAX_SOURCES)}
    model = check(b, inputs)
    assert len(kinds(model)) == 3
    assert max(len(step.operands) for step in model.main.plan.steps if isinstance(step, KernelStep)) == MAX_SOURCES + 1
    b = GraphBuilder()
    value = b.input("x", np.float32, (3, 4))
    for k in range(MAX_RESULTS + 2):
        value = b.tanh(value)
        b.output(f"y{k}", value)
    assert len(kinds(check(b, {"x": noise(1, 3, 4)}))) == 2


def test_bytes_go_through_tables_and_sums() -> None:
    b = GraphBuilder()
    x, y = b.input("x", np.uint8, ("N", 40)), b.input("y", np.uint8, ("N", 40))
    table = b.constant(np.random.default_rng(0).integers(0, 256, 256).astype(np.uint8))
    added = b.qadd(b.qlut(x, table), y, a_scale=0.5, b_scale=0.25, offset=3.5, qmin=2, qmax=200)
    b.output("y", b.qlut(added, table))
    rng = np.random.default_rng(1)
    runs = [{name: rng.integers(0, 256, (n, 40)).astype(np.uint8) for name in "xy"} for n in (5, 1)]
    assert kinds(check(b, *runs)) == ["qlut+qadd+qlut"]


def test_a_table_is_there_before_it_is_read() -> None:
    """Of one element of the second step's result every element of the first one's may be needed."""
    b = GraphBuilder()
    x = b.input("x", np.uint8, (256,))
    table = b.qlut(x, b.constant(np.arange(255, -1, -1).astype(np.uint8)))
    b.output("y", b.qlut(table, table))
    x = np.random.default_rng(2).integers(0, 256, 256).astype(np.uint8)
    assert kinds(check(b, {"x": x})) == ["qlut", "qlut"]


def test_chains_are_explained() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 7))
    b.output("y", b.tanh(b.exp(b.neg(x))))
    (step,) = explain(check(b, {"x": noise(1, 2, 7)}), {"x": noise(1, 2, 7)}).steps
    assert step.operator == "chain"
    assert step.kernel.startswith("chain_")
    names = ", ".join(f"{name} '{name}'" for name in ("neg", "exp", "tanh"))
    assert (
        step.reason == f"3 steps over the same elements, in registers between them: {names}; generated from the graph"
    )


Operator = Callable[[GraphBuilder, np.random.Generator, list[Value]], Value]


def _binary(name: str) -> Operator:
    def make(b: GraphBuilder, rng: np.random.Generator, values: list[Value]) -> Value:
        x = values[rng.integers(len(values))]
        other = [x, values[rng.integers(len(values))], b.constant(noise(int(rng.integers(99)), 6)), 0.5]
        out: Value = getattr(b, name)(x, other[rng.integers(len(other))])
        return out

    return make


def _unary(name: str, **attrs: Any) -> Operator:
    def make(b: GraphBuilder, rng: np.random.Generator, values: list[Value]) -> Value:
        out: Value = getattr(b, name)(values[rng.integers(len(values))], **attrs)
        return out

    return make


def _choice(b: GraphBuilder, rng: np.random.Generator, values: list[Value]) -> Value:
    condition, left, right = (values[rng.integers(len(values))] for _ in range(3))
    out: Value = b.where(b.gt(condition, 0.1), left, right)
    return out


OPERATORS: list[Operator] = [
    *map(_binary, ("add", "sub", "mul", "maximum", "add", "mul")), *map(_unary, ("neg", "tanh", "abs", "square")),
    _unary("softmax", dim=-1), _unary("cumsum", dim=1), _unary("mean", dim=(1,), keepdim=True), _choice,
]  # fmt: skip


def random_graph(seed: int) -> GraphBuilder:
    """Elementwise operators over values of (N, 6), (N, 1) and constants, and others between them."""
    b, rng = GraphBuilder(), np.random.default_rng(seed)
    values: list[Value] = [b.input("x", np.float32, ("N", 6)), b.input("y", np.float32, ("N", 6))]
    for _ in range(int(rng.integers(6, 18))):
        values.append(OPERATORS[rng.integers(len(OPERATORS))](b, rng, values))
    ends = [values[-1], *(values[at] for at in rng.choice(len(values), 2, replace=False))]
    for number, value in enumerate(dict.fromkeys(ends)):
        b.output(f"out{number}", value)
    return b


@pytest.mark.parametrize("seed", range(14))
def test_random_graphs_keep_their_bits(seed: int) -> None:
    check(random_graph(seed), {"x": noise(seed, 3, 6), "y": noise(seed + 1, 3, 6)})


def test_plans_of_random_graphs_can_run_in_their_order() -> None:
    joined = 0
    for seed in range(300):
        plan = Plan(prepare(random_graph(seed).graph, cuda_backend()), cuda_backend())
        there = set(plan.graph.inputs)
        made = []
        for step in plan.steps:
            assert isinstance(step, KernelStep)
            members = step.chain or (step,)
            joined += len(members) - 1
            read = {operand for name, operand in step.operands.items() if not name.startswith("out")}
            values = {plan._root(value) for value in read if isinstance(value, Value)}
            assert {value for value in values if not value.is_constant} <= there
            there |= {value for name, value in step.operands.items() if name.startswith("out")}  # type: ignore[misc]
            made += [member.node for member in members]
        assert len(made) == len(set(map(id, made)))
    assert joined > 500
