"""Products and convolutions on a GPU, of bytes and in TF32, beside PyTorch: `python -m benchmarks.gpu --help`.

Layers are timed in CUDA graphs of many calls, so that the host's time does not count. Their first and last rows are
compared with the reference first. TOPS are multiplications and additions a second; the share is of the GPU's peak by
its clocks, and of the fastest of PyTorch's in the same run.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rushlight.runtime.cuda.device import Device, download, upload
from rushlight.runtime.cuda.gpu import GpuDevice
from rushlight.runtime.cuda.packed import round_to_tf32
from rushlight.runtime.errors import RushlightError
from rushlight.runtime.ops import Array

from .gpu_layer import Layer, QuantizedLayer

PRODUCTS = [
    (8192, 8192, 8192),
    (4096, 4096, 4096),
    (2048, 2048, 2048),
    (16384, 768, 768),
    (16384, 3072, 768),
    (16384, 768, 3072),
    (128, 4096, 4096),
    (16, 4096, 4096),
    (1, 4096, 4096),
]
"""m, n, k."""

LAYERS = [
    (224, 3, 64, 7, 2),
    (56, 64, 64, 1, 1),
    (56, 64, 64, 3, 1),
    (56, 64, 256, 1, 1),
    (56, 256, 128, 1, 1),
    (56, 128, 128, 3, 2),
    (28, 128, 512, 1, 1),
    (28, 128, 128, 3, 1),
    (28, 512, 256, 1, 1),
    (14, 256, 1024, 1, 1),
    (14, 256, 256, 3, 1),
    (14, 1024, 512, 1, 1),
    (7, 512, 2048, 1, 1),
    (7, 512, 512, 3, 1),
]
"""Convolutions of ResNet-50: size, input channels, output channels, kernel, stride."""


LOST = 8 * 2.0**-24
"""Of what is added to a float sum, the part that an addition may lose: eight times what rounding to nearest does."""


@dataclass(frozen=True)
class Problem:
    """The sizes of a layer."""

    name: str
    x_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    stride: int = 1

    @property
    def is_convolution(self) -> bool:
        return len(self.weight_shape) == 4

    @property
    def attrs(self) -> dict[str, Any]:
        if not self.is_convolution:
            return {}
        return {"padding": (self.weight_shape[2] // 2,) * 4, "stride": (self.stride, self.stride)}

    def quantized(self, device: Device) -> Layer:
        rng = np.random.default_rng(0)
        outputs, width = self.weight_shape[0], 1 / (60 * np.sqrt(np.prod(self.weight_shape[1:])))
        weight = rng.integers(-128, 128, self.weight_shape, np.int8)
        scale = rng.uniform(0.3 * width, width, outputs).astype(np.float32)
        bias = rng.uniform(110, 146, outputs).astype(np.float32)
        # images are not centred on zero, results of ReLU are zero or more
        is_positive = self.is_convolution and self.x_shape[-1] > 3
        attrs = {**self.attrs, "x_zero_point": 0 if is_positive else 117}
        return QuantizedLayer(device, weight, scale, bias, attrs)

    def tf32(self, device: Device) -> Layer:
        weight = np.random.default_rng(0).standard_normal(self.weight_shape, np.float32)
        op, attrs = ("conv2d", {**self.attrs, "layout": "NHWC"}) if self.is_convolution else ("linear", {})
        return Layer(device, op, np.float32, [weight], attrs, tf32=True)


def problems(batch: int) -> list[Problem]:
    found = [Problem(f"{m}x{n}x{k}", (m, k), (n, k)) for m, n, k in PRODUCTS]
    for size, ic, oc, kernel, stride in LAYERS:
        name = f"conv {size} {ic}->{oc} k{kernel} s{stride}"
        found.append(Problem(name, (batch, size, size, ic), (oc, ic, kernel, kernel), stride))
    return found


def is_near(layer: Layer, x: Array, got: Array) -> bool:
    """Whether `got` is the layer's result for x, as far as its arithmetic says."""
    if not layer.tf32:
        (expected,) = layer.op.run_reference([x, *layer.constants], layer.attrs)
        return np.array_equal(got, expected)
    operands = [round_to_tf32(array) for array in (x, *layer.constants)]
    (expected,) = layer.op.run_reference(operands, layer.attrs)
    (added,) = layer.op.run_reference([abs(array) for array in operands], layer.attrs)
    depth = int(np.prod(layer.constants[0].shape[1:]))
    return bool((abs(got - expected) <= (depth + 2) * LOST * added).all())


def measure(device: Device, problem: Problem, layer: Layer, repeats: int) -> float:
    """Seconds that a layer takes. Raises RushlightError where its result is wrong."""
    rng = np.random.default_rng(1)
    if layer.tf32:
        x = rng.standard_normal(problem.x_shape, np.float32)
    else:
        x = rng.integers(0, 256, problem.x_shape, np.uint8)
    shape, dtype = layer.out_type(x.shape)
    source, out = upload(device, x), upload(device, np.full(shape, 0xCD, dtype))
    launches = layer.launches(source.address, x.shape, out.address)
    seconds = statistics.median(device.timed(launches, repeats) for _ in range(5)) / 1e9
    got, checked = download(device, out, shape, dtype), 1 if problem.is_convolution else 8
    for part in (slice(0, checked), slice(-checked, None)):
        if not is_near(layer, x[part], got[part]):
            raise RushlightError(f"{problem.name}: {layer.tile or 'the chosen tile'} gives a wrong result")
    return seconds


def peers(problem: Problem) -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """What PyTorch has for a layer of this size: its peak ("int8", "TF32" or "bf16"), its name, a call."""
    import torch

    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    if not problem.is_convolution:
        x = torch.randint(-128, 128, problem.x_shape, dtype=torch.int8, device="cuda")
        weight = torch.randint(-128, 128, problem.weight_shape, dtype=torch.int8, device="cuda").t()
        yield "int8", "torch._int_mm", lambda: torch._int_mm(x, weight)
        scale = torch.rand(problem.weight_shape[0], device="cuda")

        def scaled(x: Any, weight: Any, scale: Any) -> Any:
            return (torch._int_mm(x, weight) * scale).clamp(0, 255).to(torch.uint8)

        tuned = torch.compile(scaled, mode="max-autotune-no-cudagraphs", dynamic=False)
        yield "int8", "torch.compile of _int_mm and scaling (Triton)", lambda: tuned(x, weight, scale)
        for kind, dtype in (("TF32", torch.float32), ("bf16", torch.bfloat16)):
            a = torch.randn(problem.x_shape, device="cuda", dtype=dtype)
            b = torch.randn(problem.weight_shape, device="cuda", dtype=dtype)
            yield kind, f"torch {kind}", lambda a=a, b=b: a @ b.t()
        return
    n, h, w, c = problem.x_shape
    stride, padding = problem.stride, problem.weight_shape[2] // 2
    for kind, dtype in (("TF32", torch.float32), ("bf16", torch.bfloat16)):
        image = torch.randn(n, c, h, w, device="cuda", dtype=dtype).to(memory_format=torch.channels_last)
        filters = torch.randn(problem.weight_shape, device="cuda", dtype=dtype).to(memory_format=torch.channels_last)
        yield kind, f"torch {kind}", lambda i=image, f=filters: torch.nn.functional.conv2d(i, f, None, stride, padding)


def torch_seconds(run: Callable[[], Any], repeats: int) -> float:
    """Of a call in a CUDA graph of many."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            run()
    times = []
    for _ in range(6):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / repeats)
    return statistics.median(times[1:])


def report(
    device: Device, problem: Problem, kinds: list[str], tiles: bool, repeats: int, beside: bool
) -> tuple[list[str], list[str]]:
    """A line a way: TOPS, share of the peak, and times the fastest of PyTorch's of the same kind. And what is wrong."""
    makes = {"int8": problem.quantized, "TF32": problem.tf32}
    peak = {"int8": device.peaks().int8_ops, "TF32": device.peaks().tf32_flops}
    found: list[tuple[str, str, float]] = []
    wrong: list[str] = []
    work = 0.0
    for kind in kinds:
        chosen = makes[kind](device)
        ways = [chosen]
        if tiles:
            ways += [chosen.with_tile(tile) for tile in chosen.tiles(0, problem.x_shape)]
        work = 2.0 * float(np.prod(chosen.out_type(problem.x_shape)[0])) * float(np.prod(problem.weight_shape[1:]))
        for layer in ways:
            try:
                found.append((kind, str(layer.tile or "chosen"), measure(device, problem, layer, repeats)))
            except RushlightError as error:
                wrong.append(f"{kind} {error}")
    best: dict[str, float] = {}
    for kind, name, run in peers(problem) if beside else ():
        try:
            seconds = torch_seconds(run, repeats)
        except Exception as error:  # of whatever PyTorch's compilers raise
            print(f"{name} refuses {problem.name}: {type(error).__name__}: {error}", flush=True)
            continue
        found.append((kind, name, seconds))
        best[kind] = min(seconds, best.get(kind, seconds))
    lines = []
    for kind, name, seconds in found:
        share = f"{work / seconds / peak[kind]:6.1%}" if peak.get(kind) else "      "
        against = f"{best[kind] / seconds:5.2f}x" if kind in best else ""
        lines.append(f"{problem.name:28} {kind:5} {name:70} {work / seconds / 1e12:9.1f} {share} {against}")
    return lines, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256, help="images of convolutions")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--kinds", default="int8,TF32")
    parser.add_argument("--only", default="", help="layers whose names contain this")
    parser.add_argument("--tiles", action="store_true", help="every tile, not only the chosen one")
    options = parser.parse_args()
    try:
        device = GpuDevice()
    except RushlightError as error:
        raise SystemExit(f"error: {error}") from error
    try:
        import torch

        beside = torch.cuda.is_available()
    except ImportError:
        beside = False
    peaks = device.peaks()
    print(f"{device.name}, {device.multiprocessors} multiprocessors, {device.arch}; TOPS, share of the peak")
    print(f"peaks {peaks.source}: {peaks.int8_ops / 1e12:.0f} TOPS of bytes, {peaks.tf32_flops / 1e12:.0f} in TF32")
    faults: list[str] = []
    for problem in problems(options.batch):
        if options.only in problem.name:
            kinds = options.kinds.split(",")
            lines, wrong = report(device, problem, kinds, options.tiles, options.repeats, beside)
            print("\n".join([*lines, *wrong]), flush=True)
            faults += wrong
    if faults:
        raise SystemExit(f"error: {len(faults)} wrong results")


if __name__ == "__main__":
    main()
