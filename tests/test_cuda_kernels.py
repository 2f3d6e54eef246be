"""The CUDA kernels on the emulated device, against the references of the operators that they compute, bit by bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu_layer import QuantizedLayer
from rushlight.runtime.cuda.device import Launch, download, upload
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.source import Kernel
from rushlight.runtime.cuda.tiles import HOPPER_TILES, TILES, HopperTile, Tile, choose_tile, load_bytes, usable_tiles
from rushlight.runtime.errors import DeviceError, UnsupportedError
from rushlight.runtime.ops import Array, get

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

SCHEDULES = [(0, 0), (0, 3), (3, 1), (5, 2)]
"""Order of warps, and which asynchronous work happens at once."""
LARGE, MEDIUM, SMALL, FLAT = TILES
WIDE, MIDDLE, NARROW = HOPPER_TILES


@dataclass
class Problem:
    """Inputs and attributes of qlinear or qconv2d, random, with results spread over all of uint8."""

    op: str
    inputs: list[Array]
    attrs: dict[str, Any]

    @staticmethod
    def linear(m: int, n: int, k: int, residual: bool = False, **attrs: Any) -> Problem:
        return Problem.make("qlinear", (m, k), (n, k), (m, n) if residual else None, attrs)

    @staticmethod
    def convolution(x: tuple[int, ...], weight: tuple[int, ...], **attrs: Any) -> Problem:
        return Problem.make("qconv2d", x, weight, None, attrs)

    @staticmethod
    def make(
        op: str, x: tuple[int, ...], weight: tuple[int, ...], residual: tuple[int, ...] | None, attrs: dict[str, Any]
    ) -> Problem:
        rng = np.random.default_rng(sum(x) + sum(weight))
        width = 1 / (60 * np.sqrt(np.prod(weight[1:])))
        inputs: list[Array] = [
            rng.integers(0, 256, x, np.uint8),
            rng.integers(-128, 128, weight, np.int8),
            rng.uniform(0.3 * width, width, weight[0]).astype(np.float32),
            rng.uniform(110, 146, weight[0]).astype(np.float32),
        ]
        attrs = {"x_zero_point": 117, **attrs}
        if residual is not None:
            inputs.append(rng.integers(0, 256, residual, np.uint8))
            attrs["residual_scale"] = 0.3
        return Problem(op, inputs, get(op).complete_attrs(attrs))

    def expected(self) -> Array:
        (out,) = get(self.op).run_reference(self.inputs, self.attrs)
        return out

    def run(self, device: Any, tile: Tile | HopperTile | None = None) -> Array:
        x, weight, scale, bias, *residual = self.inputs
        layer = QuantizedLayer(device, weight, scale, bias, self.attrs, tile)
        return layer.run(x, residual[0] if residual else None)


def check(problem: Problem, tile: Tile | HopperTile | None = None, **device: Any) -> None:
    expected = problem.expected()
    for seed, eager in SCHEDULES:
        got = problem.run(EmulatedDevice(seed, eager, **device), tile)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected, err_msg=f"seed {seed}, eager {eager}")


def operator_cases() -> Iterator[Any]:
    for op in ("qlinear", "qconv2d"):
        for index, case in enumerate(get(op).cases()):
            attrs = get(op).complete_attrs(dict(case.attrs))
            if attrs.get("layout") != "NCHW" and attrs["activation"] != "sigmoid":  # whose reference has other bits
                yield pytest.param(Problem(op, [x for x in case.inputs if x is not None], attrs), id=f"{op}-{index}")


@pytest.mark.parametrize("problem", list(operator_cases()))
def test_operator_case(problem: Problem) -> None:
    np.testing.assert_array_equal(problem.run(EmulatedDevice()), problem.expected())


@pytest.mark.parametrize(
    ("tile", "m", "n", "k"),
    [
        (LARGE, 131, 260, 208),
        (MEDIUM, 129, 144, 80),
        (SMALL, 65, 63, 16),
        (FLAT, 17, 70, 304),
        (WIDE, 300, 272, 144),
        (WIDE, 1, 3, 16),
        (WIDE, 128, 256, 640),
        (MIDDLE, 130, 144, 912),
        (NARROW, 300, 72, 656),
    ],
)
@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
def test_product_has_the_bits_of_the_reference(tile: Tile | HopperTile, m: int, n: int, k: int, residual: bool) -> None:
    check(Problem.linear(m, n, k, residual), tile, multiprocessors=1)


@pytest.mark.parametrize("tile", [SMALL, *HOPPER_TILES], ids=str)
def test_product_in_float(tile: Tile | HopperTile) -> None:
    check(Problem.linear(70, 33, 48, out_dtype="float32"), tile)
    check(Problem.linear(70, 33, 48, out_dtype="float32", activation="clamp", alpha=120.0, beta=130.0), tile)


def test_results_are_saturated() -> None:
    check(Problem.linear(20, 16, 16, qmin=126, qmax=129), SMALL)


def test_deepest_sum_is_exact() -> None:
    k = 65792
    x, weight = np.full((1, k), 255, np.uint8), np.full((2, k), -128, np.int8)
    weight[1] = 127
    ones, zeros = np.ones(2, np.float32), np.zeros(2, np.float32)
    attrs = get("qlinear").complete_attrs({"x_zero_point": 0, "out_dtype": "float32"})
    check(Problem("qlinear", [x, weight, ones, zeros], attrs), multiprocessors=2)


def test_split_depth_of_several_tiles() -> None:
    check(Problem.linear(70, 150, 128 * 4 * 3, True), FLAT, multiprocessors=45)


@pytest.mark.parametrize("splits", [2, 5])
def test_split_depth_changes_no_bit(splits: int) -> None:
    problem = Problem.linear(5, 40, 128 * 4 * splits, True)
    device = EmulatedDevice(multiprocessors=splits)
    x, weight, scale, bias, residual = problem.inputs
    layer = QuantizedLayer(device, weight, scale, bias, problem.attrs)
    memory = [upload(device, x), device.allocate(200), upload(device, residual)]
    launches = layer.launches(memory[0].address, x.shape, *(buffer.address for buffer in memory[1:]))
    assert [launch.grid[0] for launch in launches] == [splits]
    for _ in range(2):  # the counters are zero again
        device.launch(launches[0])
        np.testing.assert_array_equal(download(device, memory[1], (5, 40), np.uint8), problem.expected())
    check(problem, multiprocessors=splits)


@pytest.mark.parametrize(
    ("x", "weight", "attrs"),
    [
        ((2, 9, 11, 32), (40, 32, 3, 3), {"padding": (1, 1, 1, 1)}),
        ((1, 15, 8, 48), (24, 48, 1, 1), {"stride": (2, 2)}),
        ((1, 12, 7, 32), (20, 16, 3, 2), {"groups": 2, "dilation": (2, 1), "padding": (2, 0, 1, 1)}),
        ((3, 5, 5, 16), (8, 16, 5, 5), {"padding": (2, 2, 2, 2), "x_zero_point": 255}),
        ((1, 1, 1, 16), (3, 16, 1, 1), {"padding": (3, 3, 3, 3), "x_zero_point": 9}),
    ],
)
@pytest.mark.parametrize("tile", [LARGE, SMALL])
def test_convolution_has_the_bits_of_the_reference(
    x: tuple[int, ...], weight: tuple[int, ...], attrs: dict[str, Any], tile: Tile
) -> None:
    check(Problem.convolution(x, weight, **attrs), tile)


@pytest.mark.parametrize("channels", [3, 20, 24])
def test_convolution_of_any_channels(channels: int) -> None:
    check(Problem.convolution((1, 9, 10, channels), (16, channels, 3, 3), stride=(2, 2), padding=(0, 1, 1, 0)))


@pytest.mark.parametrize(
    ("shape", "kernel", "attrs"),
    [
        ((2, 8, 9, 32), (3, 3), {"padding": (1, 1, 1, 1)}),
        ((1, 11, 10, 33), (5, 3), {"stride": (2, 1), "dilation": (1, 2), "padding": (2, 2, 1, 0)}),
        ((1, 3, 3, 2), (3, 3), {"x_zero_point": 0, "out_dtype": "float32", "activation": "relu"}),
    ],
)
def test_depthwise_has_the_bits_of_the_reference(
    shape: tuple[int, ...], kernel: tuple[int, int], attrs: dict[str, Any]
) -> None:
    check(Problem.convolution(shape, (shape[3], 1, *kernel), groups=shape[3], **attrs))


CHECKED = """
import numpy as np
from benchmarks.gpu_layer import QuantizedLayer
from rushlight.runtime.cuda.device import upload
from rushlight.runtime.cuda.emulated import EmulatedDevice
from rushlight.runtime.cuda.tiles import HOPPER_TILES, TILES

device = EmulatedDevice(3, 1, ("-O0", "-fsanitize=address"), multiprocessors=1)

def layer(weight, tile, **attrs):
    ones = np.ones(weight[0], np.float32)
    return QuantizedLayer(device, np.ones(weight, np.int8), ones, ones, {"x_zero_point": 3, **attrs}, tile)

layer((35, 80), HOPPER_TILES[0]).run(np.ones((67, 80), np.uint8))
layer((20, 48, 3, 2), HOPPER_TILES[2], padding=(1, 1, 1, 0), x_zero_point=0).run(np.ones((2, 9, 9, 48), np.uint8))
layer((5, 3, 3, 3), TILES[2], padding=(1, 1, 1, 1)).run(np.ones((1, 5, 7, 3), np.uint8))
layer((6, 1, 3, 3), None, groups=6, padding=(1, 1, 1, 1)).run(np.ones((1, 5, 7, 6), np.uint8))
print("clean", flush=True)
source, out = upload(device, np.ones((67, 80), np.uint8)), device.allocate(67 * 35 - 1)
short = layer((35, 80), HOPPER_TILES[0])
for launch in short.launches(source.address, (67, 80), out.address):
    device.launch(launch)
"""


def test_kernels_stay_in_their_buffers() -> None:
    """Under AddressSanitizer; the last product, whose result has a byte too few, shows that it watches."""
    library = subprocess.run([compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    if not Path(library.stdout.strip()).is_absolute():
        pytest.skip("the compiler has no AddressSanitizer")
    environment = {**os.environ, "LD_PRELOAD": library.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([sys.executable, "-c", CHECKED], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "clean\n", done.stderr
    assert "heap-buffer-overflow" in done.stderr


def test_images_without_pixels_need_no_launch() -> None:
    problem = Problem.convolution((0, 4, 4, 16), (8, 16, 1, 1))
    assert problem.run(EmulatedDevice()).shape == (0, 4, 4, 8)


def test_more_rows_than_kernels_count_are_refused() -> None:
    problem = Problem.linear(1, 16, 16)
    _, weight, scale, bias = problem.inputs
    layer = QuantizedLayer(EmulatedDevice(), weight, scale, bias, problem.attrs)
    with pytest.raises(UnsupportedError, match="2147483648 images"):
        layer.launches(0, (2**31, 16), 0)


@pytest.mark.parametrize("tile", [SMALL, FLAT, *HOPPER_TILES], ids=str)
def test_float_residuals_are_added(tile: Tile | HopperTile) -> None:
    problem = Problem.linear(9, 35, 48, out_dtype="float32")
    problem.inputs.append(np.random.default_rng(0).standard_normal((9, 35)).astype(np.float32))
    check(problem, tile)


def chosen_tile(m: int, n: int, width: int = 16, is_mapped: bool = True, **device: Any) -> Tile | HopperTile:
    made = EmulatedDevice(multiprocessors=132, **device)
    return choose_tile(usable_tiles(width, is_mapped, made), m, n, 1, made)


def test_tiles_follow_the_size() -> None:
    assert chosen_tile(8192, 8192) == LARGE
    assert chosen_tile(8192, 8192, is_mapped=False, is_hopper=True) == LARGE
    assert chosen_tile(8192, 8192, is_hopper=True) == WIDE
    assert chosen_tile(25088, 128, is_hopper=True) == MIDDLE
    assert chosen_tile(3136, 512, is_hopper=True) == NARROW
    assert chosen_tile(3136, 64, is_hopper=True) == SMALL
    assert chosen_tile(8192, 8192, shared_bytes=64 << 10) == MEDIUM
    assert chosen_tile(8192, 8192, width=1) == SMALL
    assert chosen_tile(256, 256) == SMALL
    assert chosen_tile(16, 4096) == FLAT
    assert [load_bytes(16, 48), load_bytes(32, 24), load_bytes(20), load_bytes(3)] == [16, 8, 4, 1]


@dataclass(frozen=True)
class Mutant(Kernel):
    """A kernel with one mistake."""

    right: str = ""
    wrong: str = ""

    @property
    def source(self) -> str:
        text = super().source
        assert text.count(self.right) == 1
        return text.replace(self.right, self.wrong)


@dataclass(frozen=True)
class FaultyDevice(EmulatedDevice):
    mistake: tuple[str, str] = ("", "")

    def launch(self, launch: Launch) -> None:
        kernel = Mutant(launch.kernel.name, launch.kernel.defines, *self.mistake)
        super().launch(Launch(kernel, launch.grid, launch.threads, launch.shared_bytes, launch.params))


@pytest.mark.parametrize(
    ("tile", "right", "wrong"),
    [
        (SMALL, "wait_copies<STAGES - 2>();\n        sync_threads();", "sync_threads();"),
        (SMALL, "wait_copies<STAGES - 2>();\n        sync_threads();", "wait_copies<STAGES - 2>();"),
        (WIDE, "wait_products<1>();", "wait_products<2>();"),
        (WIDE, "wait_barrier(&empty[cursor.stage], cursor.parity ^ 1);", ""),
        (WIDE, "if (k > 0 && thread % 32 == 0) arrive(&empty[previous]);", ""),
    ],
    ids=["no-wait", "no-barrier", "early-release", "no-free-check", "no-release"],
)
def test_mistakes_in_synchronization_are_seen(tile: Tile | HopperTile, right: str, wrong: str) -> None:
    problem = Problem.linear(64, 64, 2048)
    expected = problem.expected()

    def is_seen(seed: int, eager: int) -> bool:
        device = FaultyDevice(seed, eager, multiprocessors=1, mistake=(right, wrong))
        try:
            return not np.array_equal(problem.run(device, tile), expected)
        except DeviceError:
            return True

    assert any(is_seen(seed, eager) for seed, eager in SCHEDULES)
