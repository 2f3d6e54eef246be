"""Indexing and creating operators through a plan, and errors for indices of what is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rushlight as rl
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import best_isa, cpu_backend
from rushlight.runtime.cpu.execution import CpuExecution
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.ops import get
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.lowering import KernelStep

OPS = ("index_select", "gather", "gather_nd", "full", "arange", "dim_values")

Array = npt.NDArray[Any]


def cases() -> Iterator[Any]:
    for op in OPS:
        for index, case in enumerate(get(op).cases()):
            yield pytest.param(op, list(case.inputs), dict(case.attrs), id=f"{op}-{index}")


def program(op: str, inputs: list[Array], attrs: dict[str, Any]) -> rl.Program:
    b = GraphBuilder()
    values = [b.input(f"input{i}", array.dtype, array.shape) for i, array in enumerate(inputs)]
    b.output("out", b.add_node(op, values, attrs)[0])
    return b.build()


def has_kernels(model: rl.Model) -> bool:
    return all(isinstance(step, KernelStep) for step in model.main.plan.steps)


@pytest.mark.parametrize(("op", "inputs", "attrs"), list(cases()))
def test_like_the_reference(op: str, inputs: list[Array], attrs: dict[str, Any]) -> None:
    (expected,) = get(op).run_reference(inputs, get(op).complete_attrs(attrs))
    plan = Plan(program(op, inputs, attrs).graph, cpu_backend(best_isa()))
    assert all(isinstance(step, KernelStep) for step in plan.steps)
    out = CpuExecution(plan, plan.bind({}), _core.Executor(plan.constants, 2)).run(inputs)[0]
    assert out.dtype == expected.dtype
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.bool_, np.int16, np.float32, np.int64])
def test_rows_of_a_table_of_any_length(dtype: Any, index_dtype: Any) -> None:
    rng = np.random.default_rng(0)
    for columns in (1, 3, 384, 20_000):
        table = rng.integers(0, 2 if dtype == np.bool_ else 1000, (37, columns)).astype(dtype)
        index = rng.integers(-37, 37, (5, 11)).astype(index_dtype)
        model = rl.load(program("index_select", [table, index], {"dim": 0}))
        assert has_kernels(model)
        np.testing.assert_array_equal(model(table, index), table[index])


def test_symbolic_sizes() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("n", 5, "m"))
    positions = b.arange(bounds=(x.shape[2] - 1, -1, -1))
    b.output("reversed", b.index_select(x, positions, dim=2))
    b.output("sizes", b.dim_values(values=(x.shape[0] * x.shape[2], 7, x.shape[2])))
    b.output("ones", b.full(shape=(x.shape[2], x.shape[0]), value=1.0))
    model = rl.load(b.build())
    assert has_kernels(model)
    for n, m in ((1, 1), (3, 17)):
        data = np.random.default_rng(n).standard_normal((n, 5, m)).astype(np.float32)
        turned, sizes, ones = model(data)
        np.testing.assert_array_equal(turned, data[:, :, ::-1])
        assert sizes.tolist() == [n * m, 7, m]
        np.testing.assert_array_equal(ones, np.ones((m, n), np.float32))


@pytest.mark.parametrize("wrong", [4, -5, 2**40, -(2**63)])
@pytest.mark.parametrize(
    ("op", "shape", "attrs"),
    [("index_select", (3,), {"dim": 0}), ("gather", (3, 6), {"dim": 0}), ("gather_nd", (3, 1), {})],
)
def test_an_index_of_what_is_not_there_is_an_error(
    op: str, shape: tuple[int, ...], attrs: dict[str, Any], wrong: int
) -> None:
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    index = np.zeros(shape, np.int64)
    model = rl.load(program(op, [x, index], attrs))
    assert has_kernels(model)
    good = model(x, index)
    bad = index.copy()
    bad.reshape(-1)[-1] = wrong
    with pytest.raises(rl.ShapeError, match=rf"^{op} '.*': an index is out of range$"):
        model(x, bad)
    np.testing.assert_array_equal(model(x, index), good)


def test_an_index_that_the_reference_refuses_is_the_same_error() -> None:
    b = GraphBuilder()
    x, index, src = (b.input(n, d, (3,)) for n, d in (("x", np.float32), ("index", np.int64), ("src", np.float32)))
    b.output("out", b.scatter(x, index, src, dim=0))
    zeros = np.zeros(3, np.float32)
    with pytest.raises(rl.ShapeError, match=r"^scatter '.*': index 9 is out of bounds"):
        rl.load(b.build())(zeros, np.array([0, 9, 1]), zeros)
