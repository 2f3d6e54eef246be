"""Whole models on a GPU beside PyTorch: `python -m benchmarks.gpu_models --help`.

The architectures of `benchmarks.peers.models` with random weights, batch by batch. Engines take turns in one process.
Inputs lie where an engine runs; those of PyTorch have the type and the memory format that suit it. Given are samples a
second of calls one after another, milliseconds of a call that waits for its result (medians), and the results' signal
to noise ratio against PyTorch in float32. What an engine refuses is printed. `--device cpu` runs the same on the CPU.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

import rushlight as rl
from benchmarks.peers import models
from benchmarks.peers.feeds import Input, calibration, make_feeds
from rushlight.cli.table import format_table

BATCHES = {"resnet50": [1, 256], "bert_base": [1, 64], "vit_b_16": [1, 64]}
"""Of the models that run where none is named."""
OFFLINE = {"resnet50": 94_620}
"""Samples a second of one H200: MLPerf Inference v4.1, closed, offline, NVIDIA's result of eight GPUs over eight."""
WAITED = 20
"""Calls a turn that are waited for."""

Array = np.ndarray[Any, Any]
Arrays = dict[str, Array]


@dataclass
class Subject:
    """An engine with a model and its inputs. `run`: a call, which may return before its result is there. `finish` waits
    for all results, `fetch` gives one as float32 of the host."""

    name: str
    run: Callable[[], Any]
    finish: Callable[[], None]
    fetch: Callable[[Any], Array]
    rates: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def take_turn(self, seconds: float) -> None:
        calls, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            for _ in range(4):
                self.run()
            self.finish()
            calls += 4
        self.rates.append(calls / (time.perf_counter() - start))
        for _ in range(WAITED):
            start = time.perf_counter()
            self.run()
            self.finish()
            self.waits.append(time.perf_counter() - start)


@dataclass(frozen=True)
class Network:
    """A model of the comparison, as each side takes it."""

    name: str
    module: torch.nn.Module
    inputs: list[Input]

    @staticmethod
    def make(name: str) -> Network:
        torch.manual_seed(0)
        model = models.MODELS[name]()
        module = models.calm(model.module, 1)
        if all(x.is_floating_point() for x in model.inputs.values()):
            module.train()
            with torch.no_grad():  # statistics of batch norms
                module(*(torch.randn(8, *x.shape[1:]) for x in model.inputs.values()))
        inputs = [Input.of(key, str(x.numpy().dtype), x.shape[1:]) for key, x in model.inputs.items()]
        return Network(name, module.eval(), inputs)

    @cached_property
    def program(self) -> rl.Program:
        feeds = make_feeds(self.inputs, 2)
        batch = {name: {0: "N"} for name in feeds}
        return rl.export(self.module, {name: torch.from_numpy(array) for name, array in feeds.items()}, dynamic=batch)

    @cached_property
    def integer_program(self) -> rl.Program:
        samples = calibration(self.inputs)
        return rl.quantize(
            self.program, {name: np.concatenate([each[name] for each in samples]) for name in samples[0]}
        )


Make = Callable[[Arrays], Subject]


def rushlight_subjects(network: Network, device: str) -> Iterator[tuple[str, Make]]:
    def make(name: str, precision: str) -> tuple[str, Make]:
        return name, partial(make_rushlight, name, network, device, precision)

    yield make("rushlight int8", "float32")
    if device != "cpu":
        yield make("rushlight TF32", "tf32")
    yield make("rushlight float32", "float32")


def make_rushlight(name: str, network: Network, device: str, precision: str, feeds: Arrays) -> Subject:
    program = network.integer_program if name.endswith("int8") else network.program
    model = rl.load(program, device=device, precision=precision)
    if device == "cpu":
        return Subject(name, lambda: model(*feeds.values()), lambda: None, np.asarray)
    import cupy

    placed = [cupy.asarray(array) for array in feeds.values()]
    finish = cupy.cuda.Device().synchronize
    return Subject(name, lambda: model(*placed), finish, lambda y: np.asarray(cupy.asnumpy(cupy.from_dlpack(y))))


Call = Callable[[], Any]


def torch_subjects(network: Network, device: str) -> Iterator[tuple[str, Make]]:
    def make(name: str, dtype: torch.dtype, wrap: Callable[..., Call]) -> tuple[str, Make]:
        return name, partial(make_torch, name, network.module, dtype, device, wrap)

    yield make("torch bf16", torch.bfloat16, eager)
    yield make("torch.compile bf16", torch.bfloat16, compiled)
    if device != "cpu":
        yield make("torch bf16 + CUDA graph", torch.bfloat16, captured)
        yield make("torch.compile TF32", torch.float32, compiled)
        yield make("torchao int8", torch.bfloat16, quantized)


def eager(module: torch.nn.Module, inputs: list[torch.Tensor]) -> Call:
    return lambda: module(*inputs)


def compiled(module: torch.nn.Module, inputs: list[torch.Tensor]) -> Call:
    return eager(torch.compile(module, mode="max-autotune", dynamic=False), inputs)  # type: ignore[arg-type]


def captured(module: torch.nn.Module, inputs: list[torch.Tensor]) -> Call:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            module(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        result = module(*inputs)

    def replay() -> Any:
        recorded.replay()
        return result

    return replay


def quantized(module: torch.nn.Module, inputs: list[torch.Tensor]) -> Call:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    quantize_(module, Int8DynamicActivationInt8WeightConfig())
    return compiled(module, inputs)


def make_torch(
    name: str,
    module: torch.nn.Module,
    dtype: torch.dtype,
    device: str,
    wrap: Callable[[torch.nn.Module, list[torch.Tensor]], Call],
    feeds: Arrays,
) -> Subject:
    def place(x: torch.Tensor) -> torch.Tensor:
        x = x.to(device, dtype) if x.is_floating_point() else x.to(device)
        return x.to(memory_format=torch.channels_last) if x.ndim == 4 else x

    own = copy.deepcopy(module).to(device, dtype)
    if any(array.ndim == 4 for array in feeds.values()):
        own = own.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode(wrap is not compiled and wrap is not quantized), torch.no_grad():
        call = wrap(own, [place(torch.from_numpy(array)) for array in feeds.values()])

    def run() -> Any:
        with torch.no_grad():
            return call()

    finish: Callable[[], None] = (lambda: None) if device == "cpu" else torch.cuda.synchronize
    return Subject(name, run, finish, lambda y: y.float().cpu().numpy())


def decibels(wanted: Array, got: Array) -> float:
    noise = float(np.square(wanted.astype(np.float64) - got).sum())
    return 10 * float(np.log10(np.square(wanted.astype(np.float64)).sum() / noise)) if noise else float("inf")


def compare(network: Network, batch: int, makes: list[tuple[str, Make]], rounds: int, seconds: float) -> str:
    """The table of one batch."""
    feeds = make_feeds(network.inputs, batch)
    with torch.no_grad():
        wanted = network.module(*(torch.from_numpy(array) for array in feeds.values())).numpy()
    subjects, signals = [], []
    for name, make in makes:
        try:
            subject = make(feeds)
            signals.append(decibels(wanted, subject.fetch(subject.run())))
        except Exception as error:
            print(f"{name} refuses {network.name}, batch {batch}: {type(error).__name__}: {error}", flush=True)
            continue
        subjects.append(subject)
    for _ in range(rounds):
        for subject in subjects:
            subject.take_turn(seconds)
    rows = []
    first = statistics.median(subjects[0].rates) if subjects else 0.0
    for subject, signal in zip(subjects, signals, strict=True):
        rate, wait = statistics.median(subject.rates), statistics.median(subject.waits)
        share = f"{rate * batch / OFFLINE[network.name]:.1%}" if network.name in OFFLINE else ""
        figures = [f"{rate * batch:.0f}", f"{wait * 1e3:.3f}", f"{signal:.1f}", f"{first / rate:.2f}", share]
        rows.append([network.name, str(batch), subject.name, *figures])
    headings = ["model", "batch", "engine", "samples/s", "ms", "dB", "first over it", "of MLPerf's H200"]
    return str(format_table(headings, rows))


def hold_memory(network: Network, requests: int) -> str:
    """What CuPy's pool and the device hold before and after requests of changing batch."""
    import cupy

    model, pool = rl.load(network.program, device="cuda"), cupy.get_default_memory_pool()
    placed = [[cupy.asarray(array) for array in make_feeds(network.inputs, n).values()] for n in (1, 7, 8, 3, 5)]

    def measure() -> str:
        cupy.cuda.Device().synchronize()
        free, total = cupy.cuda.Device().mem_info
        return f"{pool.total_bytes() / 2**20:.1f} MiB in the pool, {(total - free) / 2**20:.0f} MiB of the device"

    for inputs in placed * 2:
        model(*inputs)
    before = measure()
    for index in range(requests):
        model(*placed[index % len(placed)])
    return f"{network.name}: {before}; after {requests} requests {measure()}"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(BATCHES), help=", ".join(models.MODELS))
    parser.add_argument("--batches", help="of all models, such as 1,64")
    parser.add_argument("--engines", default="rushlight,torch", help="words that an engine's name begins with")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn")
    parser.add_argument("--requests", type=int, default=0, help="then hold memory over so many requests")
    options = parser.parse_args(words)
    torch.set_float32_matmul_precision("high")
    engines = tuple(options.engines.split(","))
    for name in options.models.split(","):
        network = Network.make(name)
        every = [*rushlight_subjects(network, options.device), *torch_subjects(network, options.device)]
        makes = [(engine, make) for engine, make in every if engine.startswith(engines)]
        batches = [int(word) for word in options.batches.split(",")] if options.batches else BATCHES.get(name, [1, 8])
        for batch in batches:
            print(compare(network, batch, makes, options.rounds, options.seconds), flush=True)
        if options.requests:
            print(hold_memory(network, options.requests), flush=True)


if __name__ == "__main__":
    main()
