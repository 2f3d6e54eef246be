"""Plans: memory is shared only where nobody reads it, references run between kernels, sizes are checked."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.runtime.plan import KernelStep, ReferenceStep
from rushlight.runtime.reference import run_reference
from rushlight.runtime.types import Dim

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


@pytest.mark.parametrize(("isa", "words"), [("sse9", "no such instruction set"), ("neondot", "this machine has")])
def test_instruction_sets_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch, isa: str, words: str) -> None:
    monkeypatch.setenv("RUSHLIGHT_FORCE_ISA", isa)
    with pytest.raises(rl.DeviceError, match=words):
        rl.backends()


def cut(b: rl.GraphBuilder, x: Any, start: Any, end: Any) -> Any:
    return b.slice(x, axes=(0,), starts=(start,), ends=(end,), steps=(1,))


N = Dim.symbol("N")
UNFIT: dict[str, tuple[tuple[int | str, ...], int, int, Callable[[rl.GraphBuilder, Any], Any]]] = {
    "slice beyond the end": (("N", 3), 6, 5, lambda b, x: cut(b, x, 0, 6)),
    "slice before the start": (("N", 3), 5, 4, lambda b, x: cut(b, x, N - 5, N)),
    "slice of a table": (("N",), 9, 10, lambda b, x: b.add(x, cut(b, b.constant(weights(9)), 0, N))),
    "negative padding": (("N", 3), 3, 2, lambda b, x: b.pad(x, pads=(N - 3, 0, 0, 0))),
    "mirror wider than the image": ((1, "N"), 6, 5, lambda b, x: b.pad(x, pads=(0, 5, 0, 5), mode="reflect")),
    "convolution": ((1, 3, "N", 8), 5, 2, lambda b, x: b.conv2d(x, weights(4, 3, 5, 5))),
    "depthwise convolution": ((1, 3, "N", 8), 5, 2, lambda b, x: b.conv2d(x, weights(3, 1, 5, 5), groups=3)),
    "pool": ((1, 3, "N", 8), 5, 2, lambda b, x: b.max_pool2d(x, kernel_size=(5, 5), stride=(1, 1))),
    "more than all memory": (("N",), 1, 2, lambda b, x: b.full(shape=((N - 1) * 2**45 + 1,), value=1.0)),
}  # fmt: skip
"""Shape of x, a size of N that fits, one that does not, and the graph."""


@pytest.mark.parametrize("what", UNFIT)
def test_sizes_that_leave_a_graph_without_meaning_are_refused(what: str) -> None:
    shape, fits, does_not, make = UNFIT[what]
    b = rl.GraphBuilder()
    b.output("y", make(b, b.input("x", np.float32, shape)))
    model = rl.load(b.build())

    def run(size: int) -> Any:
        return model(np.ones([size if isinstance(dim, str) else dim for dim in shape], np.float32))

    assert np.isfinite(run(fits)).all()
    with pytest.raises(rl.ShapeError, match=f"N = {does_not}"):
        run(does_not)


def test_empty_tensors_of_absurd_sizes_are_refused() -> None:
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, (1, 0, 1, 1))
    taps = np.zeros((1, 0, 2**30, 2**30), np.float32)
    b.output("y", b.conv2d(x, taps, padding=(2**30 - 1,) * 4, dilation=(2, 2)))
    with pytest.raises(rl.ShapeError, match="more than"):
        b.build()


WITHOUT_THREADS = """
import os, resource
import numpy as np
import rushlight as rl

b = rl.GraphBuilder()
b.output("y", b.linear(b.input("x", np.float32, (512, 512)), np.ones((512, 512), np.float32)))
model = rl.load(b.build(), threads=4)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
if os.getuid() == 0:  # no limit holds for root
    os.setgid(65534)
    os.setuid(65534)
assert (model(np.ones((512, 512), np.float32)) == 512).all()
"""


def test_a_caller_works_alone_where_the_system_gives_no_threads() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_THREADS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_memory_of_a_large_run_is_given_back_after_many_small_ones() -> None:
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, ("N", 1024))
    b.output("y", b.neg(b.exp(b.neg(x))))
    model = rl.load(b.build(), threads=1)
    loaded = model.main.loaded
    model(np.zeros((16_384, 1024), np.float32))
    large = loaded.held_bytes
    assert large >= 16_384 * 1024 * 4
    for _ in range(50):
        model(np.zeros((1, 1024), np.float32))
    assert loaded.held_bytes == large
    for _ in range(60):
        model(np.zeros((1, 1024), np.float32))
    assert loaded.held_bytes < 1 << 20
