"""topk through plans: on kernels, of any axis and of sizes that are symbols, and where there is no kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.runtime.cuda.emulated import compiler
from rushlight.runtime.errors import DeviceError
from rushlight.runtime.explain import explain
from rushlight.runtime.ops import Array, get
from rushlight.runtime.plan.lowering import KernelStep, ReferenceStep

KERNEL_DTYPES = (np.float32, np.int64, np.int32, np.uint8, np.int8, np.bool_)


@pytest.fixture(params=["cpu", "cuda-emulated"])
def device(request: pytest.FixtureRequest) -> str:
    if request.param != "cpu":
        try:
            compiler()
        except DeviceError as error:
            pytest.skip(str(error))
    return str(request.param)


def program(dtype: Any, shape: tuple[Any, ...], attrs: dict[str, Any]) -> rl.Program:
    builder = rl.GraphBuilder()
    values, indices = builder.topk(builder.input("x", dtype, shape), **attrs)
    builder.output("values", values)
    builder.output("indices", indices)
    return builder.build()


def check(model: rl.Model, x: Array, attrs: dict[str, Any]) -> None:
    op = get("topk")
    for got, wanted in zip(model(x), op.run_reference([x], op.complete_attrs(attrs)), strict=True):
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)


def sample(dtype: Any, shape: tuple[int, ...]) -> Array:
    return np.random.default_rng(len(shape)).integers(0, 2 if dtype == np.bool_ else 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", KERNEL_DTYPES)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_every_dtype_and_axis(dtype: Any, dim: int, device: str) -> None:
    attrs = {"k": 3, "dim": dim, "largest": dim != 1, "sorted": dim == 0}
    model = rl.load(program(dtype, (5, 7, 6), attrs), device=device)
    assert [type(step) for step in model.main.plan.steps] == [KernelStep]
    check(model, sample(dtype, (5, 7, 6)), attrs)


@pytest.mark.parametrize("index", range(len(list(get("topk").cases()))))
def test_cases(index: int, device: str) -> None:
    case = list(get("topk").cases())[index]
    (x,) = case.inputs
    assert x is not None
    model = rl.load(program(x.dtype, x.shape, dict(case.attrs)), device=device)
    assert [type(step) for step in model.main.plan.steps] == [KernelStep]
    check(model, x, dict(case.attrs))


def test_symbolic_sizes(device: str) -> None:
    attrs = {"k": 4, "dim": 1}
    model = rl.load(program(np.float32, ("N", "L", 3), attrs), device=device)
    for shape in ((2, 4, 3), (1, 90, 3)):
        check(model, sample(np.float32, shape), attrs)
    with pytest.raises(rl.ShapeError, match="the first 4 of 3"):
        model(sample(np.float32, (2, 3, 3)))


def test_explained(device: str) -> None:
    model = rl.load(program(np.float32, (4, 100), {"k": 5}), device=device)
    (step,) = explain(model, {"x": sample(np.float32, (4, 100))}).steps
    assert step.operator == "topk"
    assert step.kernel.startswith("topk_f32s64_")
    assert step.share > 0 or device != "cpu"
    assert step.reason.startswith("elements that come before the last of those kept")


def test_other_dtypes_run_by_the_reference() -> None:
    model = rl.load(program(np.float64, (4, 9), {"k": 2}))
    assert [type(step) for step in model.main.plan.steps] == [ReferenceStep]
    check(model, sample(np.float64, (4, 9)), {"k": 2})
