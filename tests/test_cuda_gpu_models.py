"""The engine on a GPU: graphs, streams, arrays of other libraries, memory. Skipped without one."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

import rushlight as rl
from rushlight.runtime.cuda.array import DeviceArray
from rushlight.runtime.cuda.gpu import GpuDevice, device_names
from rushlight.runtime.errors import DeviceError

try:
    DEVICE = GpuDevice()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)


def noise(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def network(width: int = 96) -> rl.Program:
    """Linear layers and softmax over rows of any length."""
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N", width))
    hidden = builder.gelu(builder.linear(x, noise(width, width) / 8))
    builder.output("y", builder.softmax(builder.linear(hidden, noise(width, width)), dim=-1))
    return builder.build()


@pytest.fixture(scope="module")
def program() -> rl.Program:
    return network()


def test_batches_rise_and_fall(program: rl.Program) -> None:
    here, there = rl.load(program), rl.load(program, device="cuda")
    free = []
    for _ in range(3):
        for batch in (1, 300, 2, 17, 300, 1):
            x = noise(batch, 96)
            np.testing.assert_array_equal(there(x), here(x))
        free.append(DEVICE.cupy.cuda.Device().mem_info[0])
    assert free[1] == free[2]


def test_one_kernel_with_two_sizes_of_shared_memory() -> None:
    builder = rl.GraphBuilder()
    for name, columns in (("long", 20_000), ("short", 13_000)):
        builder.output(f"{name} softmax", builder.softmax(builder.input(name, np.float32, (3, columns)), dim=-1))
    program = builder.build()
    inputs = {"long": noise(3, 20_000), "short": noise(3, 13_000)}
    expected = rl.load(program).run(inputs)
    for name, got in rl.load(program, device="cuda").run(inputs).items():
        np.testing.assert_array_equal(got, expected[name])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this PyTorch has no CUDA")
def test_tensors_of_pytorch(program: rl.Program) -> None:
    here, there = rl.load(program), rl.load(program, device="cuda")
    for _ in range(20):
        slow = torch.randn(4096, 4096, device="cuda")
        for _ in range(4):
            slow = torch.tanh(slow @ slow)
        x = slow[:64, :96].contiguous()
        y = there(x)
        given = x.clone()
        x.zero_()  # the call has read it
        del x, slow
        np.testing.assert_array_equal(torch.from_dlpack(y).cpu().numpy(), here(given.cpu().numpy()))


def test_one_model_behind_another(program: rl.Program) -> None:
    first, second, here = rl.load(program, device="cuda"), rl.load(program, device="cuda"), rl.load(program)
    x = DEVICE.cupy.asarray(noise(2000, 96))
    for _ in range(20):
        got = second(first(x))
        assert isinstance(got, DeviceArray)
        np.testing.assert_array_equal(got.numpy(), here(here(noise(2000, 96))))


def test_threads_with_sizes_of_their_own(program: rl.Program) -> None:
    here, there = rl.load(program), rl.load(program, device="cuda")
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for batch in range(first, first + 40):
                x = noise(batch, 96)
                on_gpu = there(DEVICE.cupy.asarray(x))
                np.testing.assert_array_equal(there(x), here(x))
                np.testing.assert_array_equal(on_gpu.numpy(), here(x))
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(first,)) for first in (1, 21, 400)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []


@pytest.mark.skipif(len(device_names()) < 2, reason="there is one GPU")
def test_the_second_gpu(program: rl.Program) -> None:
    x = noise(5, 96)
    np.testing.assert_array_equal(rl.load(program, device="cuda:1")(x), rl.load(program)(x))
