"""Whole programs on the emulated GPU: the plan, its memory, references between kernels, arrays of the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.runtime.cpu.execution import CpuEngine
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.cuda.array import DeviceArray
from rushlight.runtime.cuda.choice import choose
from rushlight.runtime.cuda.device import Launch
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.execution import CudaEngine
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import Call
from rushlight.runtime.errors import DeviceError, ShapeError
from rushlight.runtime.explain import explain
from rushlight.runtime.plan import ReferenceStep
from rushlight.server.repository import Repository
from rushlight.server.settings import load_settings

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)


def noise(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def elementwise() -> rl.Program:
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N", 7))
    builder.output("y", builder.gelu(builder.exp(builder.neg(x))))
    builder.output("x again", x)
    builder.output("constant", builder.constant(noise(3)))
    return builder.build()


def test_batches_of_any_size_share_memory() -> None:
    program = elementwise()
    expected, model = rl.load(program), rl.load(program, device="cuda-emulated")
    held = []
    for batch in (2, 5, 1, 5, 2):
        x = noise(batch, 7)
        for got, wanted in zip(model(x), expected(x), strict=True):
            assert got.dtype == wanted.dtype
            np.testing.assert_array_equal(got, wanted)
        held.append(model.main.loaded.held_bytes)
    assert held == sorted(held)
    assert held[1] == held[-1]


def test_what_has_no_kernel_runs_on_the_host() -> None:
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, (4, 9))
    builder.output("y", builder.neg(builder.tril(builder.exp(x))))
    program = builder.build()
    model = rl.load(program, device="cuda-emulated")
    assert [step.node.op.name for step in model.main.plan.steps if isinstance(step, ReferenceStep)] == ["tril"]
    x = noise(4, 9)
    np.testing.assert_array_equal(model(x), rl.load(program)(x))


class OnDevice:
    """What another library's array shows of itself."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = dict(self.array.__array_interface__)
        return {**interface, "version": 3, "stream": None}


def test_arrays_of_the_device_stay_there() -> None:
    program = elementwise()
    model = rl.load(program, device="cuda-emulated")
    x = noise(3, 7)
    results = model(OnDevice(x))
    assert [type(result) for result in results] == [DeviceArray] * 3
    for got, wanted in zip(results, rl.load(program)(x), strict=True):
        assert got.shape == wanted.shape
        np.testing.assert_array_equal(got.numpy(), wanted)
        np.testing.assert_array_equal(np.asarray(got), wanted)
    (again, _, _) = model(results[0])
    np.testing.assert_array_equal(again.numpy(), rl.load(program)(results[0].numpy())[0])
    first = results[0].numpy()
    model(OnDevice(noise(3, 7) + 1))
    np.testing.assert_array_equal(results[0].numpy(), first)  # memory of its own


def test_arrays_of_the_device_have_to_be_dense() -> None:
    model = rl.load(elementwise(), device="cuda-emulated")
    with pytest.raises(ShapeError, match="contiguous"):
        model(OnDevice(noise(7, 3).T))
    with pytest.raises(ShapeError, match="shape"):
        model(OnDevice(noise(3, 8)))
    with pytest.raises(ShapeError, match="float64"):
        model(OnDevice(noise(3, 7).astype(np.float64)))


def test_steps_are_explained() -> None:
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N", 7))
    builder.output("y", builder.gelu(builder.cumsum(builder.exp(x), dim=1)))
    found = explain(rl.load(builder.build(), device="cuda-emulated"), {"x": noise(2, 7)})
    assert [step.kernel for step in found.steps] == ["exp_f32f32_cuda", "cumsum_f32f32_cuda", "gelu_f32f32_cuda"]
    assert {step.bound for step in found.steps} == {""}
    assert found.steps[0].reason == "one result an element; the f32f32 row of GPUs"


def test_products_are_explained_with_their_tile() -> None:
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N", 16))
    builder.output("y", builder.linear(x, noise(24, 16)))
    (step,) = explain(rl.load(builder.build(), device="cuda-emulated"), {"x": noise(2, 16)}).steps
    assert (step.kernel, step.tile) == ("gemm_f32f32f32_cuda", "8x32")


def test_a_server_runs_models_where_its_settings_say(tmp_path: Path) -> None:
    program = elementwise()
    for name in ("here", "there"):
        program.save(tmp_path / f"{name}.rush")
    (tmp_path / "settings.toml").write_text('[models.there]\ndevice = "cuda-emulated"\n')
    models = Repository.load(tmp_path, load_settings(tmp_path / "settings.toml")).models
    engines = {name: type(model.engine) for name, versions in models.items() for model in versions.values()}  # type: ignore[attr-defined]
    assert engines == {"here": CpuEngine, "there": CudaEngine}
    results = [model.run({"x": noise(2, 7)})["y"] for versions in models.values() for model in versions.values()]
    np.testing.assert_array_equal(*results)


@dataclass(frozen=True)
class SlowStart(EmulatedDevice):
    """Tells that launches of few blocks are the faster ones, and counts the times that it is asked."""

    tells_time = True
    asked: list[int] = field(default_factory=list)

    def timed(self, launches: Sequence[Launch], repeats: int = 0) -> int:
        self.asked.append(repeats)
        if launches[0].grid[0] > 100:
            raise DeviceError("too many blocks")
        return sum(launch.grid[0] for launch in launches)


def test_the_fastest_way_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", str(tmp_path))
    family = families()["unary"]
    row = next(row for row in family.rows if row.op == "neg")
    call = Call(row, pack_params("unary", n=100_000, alpha=0.0, beta=0.0), [0, 0])
    (launch,) = family.launches(call, EmulatedDevice())
    ways = [[replace(launch, grid=(blocks, 1, 1))] for blocks in (4, 2, 8)]
    assert choose(call, ways, EmulatedDevice()) is ways[0]
    device = SlowStart()
    assert choose(call, ways, device) is ways[1]
    assert len(device.asked) == 9
    assert choose(call, ways, device) is ways[1]
    assert len(device.asked) == 9
    assert choose(call, ways[1:], device) is ways[1]
    assert len(device.asked) == 15
    fails = [replace(launch, grid=(101, 1, 1))]
    assert choose(call, [fails, *ways], device) is ways[1]
    with pytest.raises(DeviceError, match="too many blocks"):
        choose(call, [fails, [*fails]], device)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "cpu:0", ""])
def test_devices_that_there_are_not(device: str) -> None:
    with pytest.raises(DeviceError, match="there is 'cpu'"):
        rl.load(elementwise(), device=device)
