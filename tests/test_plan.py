"""Plans: memory is shared only where nobody reads it, references run between kernels, sizes are checked."""

from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.runtime.plan import KernelStep, ReferenceStep
from rushlight.runtime.reference import run_reference

RNG = np.random.default_rng(11)


def weights(*shape: int) -> Any:
    return (RNG.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)


def check(builder: rl.GraphBuilder, **inputs: Any) -> rl.Model:
    """Builds, runs, and compares every output with the reference interpreter."""
    program = builder.build()
    expected = run_reference(program.graph, inputs)
    model = rl.load(program)
    for name, got in model.run(inputs).items():
        assert got.dtype == expected[name].dtype
        np.testing.assert_allclose(got, expected[name], rtol=2e-5, atol=2e-5)
    return model


def test_a_residual_that_is_the_layers_own_input_is_not_overwritten() -> None:
    b = rl.GraphBuilder()
    x = b.relu(b.input("x", np.float32, ("N", 300)))
    b.output("y", b.add(b.linear(x, weights(300, 300)), x))
    check(b, x=RNG.standard_normal((70, 300)).astype(np.float32))


def test_an_operand_that_is_read_twice_is_not_overwritten() -> None:
    b = rl.GraphBuilder()
    x = b.exp(b.input("x", np.float32, (64, 64)))
    b.output("y", b.sub(x, b.reshape(b.mean(x, dim=(1,), keepdim=True), shape=(64, 1))))
    b.output("z", b.mul(b.neg(x), b.neg(x)))
    check(b, x=RNG.standard_normal((64, 64)).astype(np.float32))


@pytest.mark.parametrize(("size", "rows"), [("N", 1), ("N", 5), (0, 0)])
def test_outputs_may_be_inputs_constants_views_and_each_other(size: int | str, rows: int) -> None:
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, (size, 6))
    y = b.relu(x)
    b.output("input", x)
    b.output("constant", b.constant(np.arange(4.0)))
    b.output("relu", y)
    b.output("again", y)
    b.output("view", b.reshape(y, shape=(x.shape[0], 2, 3)))
    b.output("view_of_input", b.reshape(x, shape=(x.shape[0], 3, 2)))
    check(b, x=RNG.standard_normal((rows, 6)).astype(np.float32))


def test_references_run_between_kernels() -> None:
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, ("N", 8))
    y = b.cast(b.relu(x), dtype="float64")
    y = b.tanh(y)
    b.output("y", b.sigmoid(b.cast(y, dtype="float32")))
    b.output("wide", y)
    model = check(b, x=RNG.standard_normal((3, 8)).astype(np.float32))
    kinds = [type(step) for step in model.main.plan.steps]
    assert ReferenceStep in kinds
    assert KernelStep in kinds


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"x": np.zeros((2, 3), np.float64), "z": np.zeros((2, 6), np.float32)}, "input 'x' is float64"),
        ({"x": np.zeros((2, 4), np.float32), "z": np.zeros((2, 6), np.float32)}, r"input 'x' has shape \[2, 4\]"),
        ({"x": np.zeros((2, 3), np.float32), "z": np.zeros((3, 6), np.float32)}, "input 'z' has shape"),
        ({"x": np.zeros(3, np.float32), "z": np.zeros((3, 6), np.float32)}, "input 'x' has shape"),
        ({"x": np.zeros((2, 3), np.float32)}, "missing z"),
        ({"x": np.zeros((2, 3), np.float32), "z": np.zeros((2, 6), np.float32), "q": 1}, "unknown q"),
    ],
)
def test_inputs_that_do_not_fit_are_named(inputs: Any, words: str) -> None:
    b = rl.GraphBuilder()
    x, z = b.input("x", np.float32, ("N", 3)), b.input("z", np.float32, ("N", 6))
    b.output("y", b.add(b.concat(x, x, dim=1), z))
    with pytest.raises(rl.ShapeError, match=words):
        rl.load(b.build()).run(inputs)


def test_calls_take_strided_arrays_and_lists() -> None:
    b = rl.GraphBuilder()
    b.output("y", b.neg(b.input("x", np.float32, ("N", 3))))
    model = rl.load(b.build())
    x = np.asfortranarray(RNG.standard_normal((5, 3)).astype(np.float32))
    np.testing.assert_array_equal(model(x), -x)
    np.testing.assert_array_equal(model(x[::-2]), -x[::-2])
    with pytest.raises(rl.ShapeError, match="2 arrays given"):
        model(x, x)


def test_outputs_can_be_selected() -> None:
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, ("N",))
    b.output("a", b.neg(x))
    b.output("b", b.abs(x))
    model = rl.load(b.build())
    assert list(model.run({"x": np.ones(2, np.float32)}, outputs=["b"])) == ["b"]
    with pytest.raises(rl.ShapeError, match="no output c"):
        model.run({"x": np.ones(2, np.float32)}, outputs=["c"])


def test_devices_and_threads_that_are_not_there_are_refused() -> None:
    b = rl.GraphBuilder()
    b.output("y", b.neg(b.input("x", np.float32, ("N",))))
    program = b.build()
    with pytest.raises(rl.DeviceError, match="cuda"):
        rl.load(program, device="cuda")
    with pytest.raises(rl.RushlightError, match="threads"):
        rl.load(program, threads=0)


@pytest.mark.parametrize(("isa", "words"), [("sse9", "no such instruction set"), ("amx", "this machine has")])
def test_instruction_sets_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch, isa: str, words: str) -> None:
    monkeypatch.setenv("RUSHLIGHT_FORCE_ISA", isa)
    with pytest.raises(rl.DeviceError, match=words):
        rl.backends()
