"""Integer products and convolutions on a GPU, beside PyTorch: `python -m benchmarks.gpu --help`."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rushlight.runtime.cuda.device import download, upload
from rushlight.runtime.cuda.gpu import GpuDevice
from rushlight.runtime.cuda.tiles import HopperTile, Tile
from rushlight.runtime.errors import RushlightError
from rushlight.runtime.ops import get

from .gpu_layer import QuantizedLayer

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


@dataclass
class Problem:
    """A quantized layer with random constants, and how to ask PyTorch for one of the same size."""

    name: str
    x_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    attrs: dict[str, Any]

    def make(self, device: GpuDevice, tile: Tile | HopperTile | None) -> QuantizedLayer:
        rng = np.random.default_rng(0)
        outputs, width = self.weight_shape[0], 1 / (60 * np.sqrt(np.prod(self.weight_shape[1:])))
        weight = rng.integers(-128, 128, self.weight_shape, np.int8)
        scale = rng.uniform(0.3 * width, width, outputs).astype(np.float32)
        bias = rng.uniform(110, 146, outputs).astype(np.float32)
        self.constants = (weight, scale, bias)
        return QuantizedLayer(device, weight, scale, bias, self.attrs, tile)

    @property
    def op(self) -> str:
        return "qlinear" if len(self.weight_shape) == 2 else "qconv2d"

    def reference(self, x: Any) -> Any:
        op = get(self.op)
        (out,) = op.run_reference([x, *self.constants], op.complete_attrs(dict(self.attrs)))
        return out


def problems(batch: int) -> list[Problem]:
    found = [Problem(f"{m}x{n}x{k}", (m, k), (n, k), {"x_zero_point": 117}) for m, n, k in PRODUCTS]
    for size, ic, oc, kernel, stride in LAYERS:
        # images are not centred on zero, results of ReLU are zero or more
        attrs = {"x_zero_point": 117 if ic == 3 else 0, "padding": (kernel // 2,) * 4, "stride": (stride, stride)}
        name = f"conv {size} {ic}->{oc} k{kernel} s{stride}"
        found.append(Problem(name, (batch, size, size, ic), (oc, ic, kernel, kernel), attrs))
    return found


def median_seconds(cupy: Any, run: Callable[[], None], repeats: int) -> float:
    """Median time on the device of one call, after two that warm up."""
    times = []
    for index in range(repeats + 2):
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        run()
        stop.record()
        stop.synchronize()
        if index >= 2:
            times.append(float(cupy.cuda.get_elapsed_time(start, stop)) / 1e3)
    return statistics.median(times)


def measure(device: GpuDevice, problem: Problem, tile: Tile | HopperTile | None, repeats: int) -> tuple[float, float]:
    """Seconds and operations of a layer; its first rows or images are compared with the reference.

    Raises RushlightError where they differ.
    """
    layer = problem.make(device, tile)
    x = np.random.default_rng(1).integers(0, 256, problem.x_shape, np.uint8)
    shape, _ = layer.out_type(x.shape)
    source, out = upload(device, x), upload(device, np.full(shape, 0xCD, np.uint8))
    launches = layer.launches(source.address, x.shape, out.address)

    def run() -> None:
        for launch in launches:
            device.launch(launch)

    seconds = median_seconds(device.cupy, run, repeats)
    got, checked = download(device, out, shape, np.uint8), 1 if problem.op == "qconv2d" else 8
    for part in (slice(0, checked), slice(-checked, None)):
        if not np.array_equal(got[part], problem.reference(x[part])):
            raise RushlightError(f"{problem.name}: {tile} differs from the reference")
    return seconds, 2.0 * float(np.prod(shape)) * float(np.prod(problem.weight_shape[1:]))


def peers(problem: Problem, cupy: Any, repeats: int) -> dict[str, float]:
    """Seconds that PyTorch takes for a layer of this size; what it cannot run is left out."""
    try:
        import torch
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    stream = cupy.cuda.ExternalStream(torch.cuda.current_stream().cuda_stream)
    found: dict[str, Callable[[], Any]] = {}
    if problem.op == "qlinear":
        x = torch.randint(-128, 128, problem.x_shape, dtype=torch.int8, device="cuda")
        weight = torch.randint(-128, 128, problem.weight_shape, dtype=torch.int8, device="cuda")
        a, b = torch.randn(problem.x_shape, device="cuda"), torch.randn(problem.weight_shape, device="cuda")
        found["torch._int_mm"] = lambda: torch._int_mm(x, weight.t())
        a, b = a.bfloat16(), b.bfloat16()
        found["torch bf16"] = lambda: a @ b.t()
    else:
        n, h, w, c = problem.x_shape
        image = torch.randn(n, c, h, w, device="cuda").bfloat16().to(memory_format=torch.channels_last)
        filters = torch.randn(problem.weight_shape, device="cuda").bfloat16().to(memory_format=torch.channels_last)
        stride, padding = problem.attrs["stride"], problem.attrs["padding"][:2]
        found["torch bf16"] = lambda: torch.nn.functional.conv2d(image, filters, None, stride, padding)
    out = {}
    with stream:
        for name, run in found.items():
            try:
                out[name] = median_seconds(cupy, run, repeats)
            except RuntimeError as error:
                print(f"{name} refuses {problem.name}: {error}")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=256, help="images of convolutions")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--tiles", action="store_true", help="every tile, not only the chosen one")
    options = parser.parse_args()
    try:
        device = GpuDevice()
    except RushlightError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{device.name}, {device.multiprocessors} multiprocessors, {device.arch}; TOPS, median of {options.repeats}")
    for problem in problems(options.batch):
        tiles: list[Tile | HopperTile | None] = [None]
        if options.tiles:
            tiles += problem.make(device, None).tiles(0, problem.x_shape)
        work = 0.0
        for tile in tiles:
            seconds, work = measure(device, problem, tile, options.repeats)
            print(f"{problem.name:28} {tile or 'chosen'!s:90} {work / seconds / 1e12:9.1f}", flush=True)
        for name, seconds in peers(problem, device.cupy, options.repeats).items():
            print(f"{problem.name:28} {name:90} {work / seconds / 1e12:9.1f}", flush=True)


if __name__ == "__main__":
    main()
