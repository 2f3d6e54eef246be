"""Convolutions by Hopper's tensor memory access on the emulated device: bits, what it may run, planted mistakes."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.gpu_layer import QuantizedLayer
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.cuda.backend import cuda_backend
from rushlight.runtime.cuda.device import download, upload
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.family import Call, Row
from rushlight.runtime.cuda.gpu import encoding
from rushlight.runtime.cuda.products import Product, launches
from rushlight.runtime.cuda.tensor_maps import MatrixMap, PixelMap
from rushlight.runtime.cuda.tiles import HOPPER_TILES, HopperTile, choose_chunk
from rushlight.runtime.errors import DeviceError
from tests.gemm_calls import INT8_ROWS, conv_params, run
from tests.test_cuda_kernels import SCHEDULES, FaultyDevice, Problem, check

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

WIDE, MIDDLE, NARROW = HOPPER_TILES
HOPPER = EmulatedDevice(is_hopper=True)


def convolution(x: tuple[int, ...], weight: tuple[int, ...], residual: bool = False, **attrs: Any) -> Problem:
    """Of x whose zero point is 0, as behind a ReLU."""
    problem = Problem.convolution(x, weight, **{"x_zero_point": 0, **attrs})
    if residual:
        out = problem.expected()
        rng = np.random.default_rng(out.size)
        problem.attrs["residual_scale"] = 0.3
        added = rng.integers(0, 256, out.shape) if out.dtype == np.uint8 else rng.standard_normal(out.shape)
        problem.inputs.append(added.astype(out.dtype))
    return problem


CASES = [
    ((2, 9, 11, 64), (40, 64, 3, 3), {"padding": (1, 1, 1, 1)}),
    ((1, 15, 8, 48), (24, 48, 1, 1), {"stride": (2, 2)}),
    ((3, 12, 7, 32), (70, 32, 3, 2), {"dilation": (2, 1), "padding": (2, 0, 1, 1)}),
    ((3, 5, 5, 16), (16, 16, 5, 5), {"padding": (2, 2, 2, 2)}),
    ((2, 7, 10, 128), (65, 128, 3, 3), {"stride": (2, 2), "padding": (0, 1, 1, 0)}),
    ((1, 8, 9, 192), (64, 192, 2, 3), {"stride": (1, 2), "padding": (1, 2, 0, 0)}),
    ((2, 6, 6, 80), (300, 80, 2, 2), {"padding": (0, 0, 1, 1)}),
    ((2, 4, 4, 16), (17, 16, 2, 2), {"padding": (3, 3, 3, 3), "stride": (3, 3)}),
    ((5, 1, 40, 16), (16, 16, 1, 7), {"stride": (1, 3), "padding": (0, 3, 0, 0)}),
    ((2, 9, 9, 32), (33, 32, 3, 3), {"x_zero_point": 117}),
    ((2, 20, 13, 16), (20, 16, 3, 3), {"padding": (1, 1, 1, 1), "dilation": (1, 3), "out_dtype": "float32"}),
]


@pytest.mark.parametrize(("x", "weight", "attrs"), CASES)
@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
def test_convolution_has_the_bits_of_the_reference(
    x: tuple[int, ...], weight: tuple[int, ...], attrs: dict[str, Any], residual: bool
) -> None:
    tile = next(tile for tile in reversed(HOPPER_TILES) if tile.block_n >= weight[0] or tile is WIDE)
    check(convolution(x, weight, residual, **attrs), tile, multiprocessors=1, is_hopper=True)


@pytest.mark.parametrize("tile", HOPPER_TILES, ids=str)
@pytest.mark.parametrize("channels", [16, 48, 128])
def test_every_kernel_convolves(tile: HopperTile, channels: int) -> None:
    problem = convolution((3, 8, 9, channels), (80, channels, 3, 3), padding=(1, 1, 1, 1))
    check(problem, tile, multiprocessors=1, is_hopper=True)


def test_channels_of_wider_pixels_and_rows_of_wider_results() -> None:
    """x is 48 of 112 channels, from the 32nd, and the result 20 of 24."""
    images, height, width, pixel, first, row = 2, 7, 9, 112, 32, 24
    shape = (images, height, width, 48, 20, (3, 3), (2, 1), (1, 1), (1, 1), 1)
    steps = {"src_image": height * width * pixel, "src_row": width * pixel, "src_pixel": pixel, "dst_row": row}
    params = conv_params(shape, **steps)
    rng = np.random.default_rng(1)
    src = rng.integers(0, 256, images * height * width * pixel, np.uint8)
    weight = rng.integers(-128, 128, (20, 48, 3, 3)).astype(np.int8)
    scale = rng.standard_normal(20).astype(np.float32)
    rows = images * params["oh"] * params["ow"]
    (generic,) = (row for row in INT8_ROWS if (row.isa, row.types) == ("generic", "u8s8f32"))
    expected = np.full((rows, row), np.nan, np.float32)
    expected = run(generic, params, src[first:], weight, expected, scale=scale)

    cuda_row = cuda_backend().find("gemm", "gemm", "u8s8f32")
    assert isinstance(cuda_row, Row)
    raw = pack_params("gemm", **params)
    packed = np.empty(cuda_backend().packed_bytes(cuda_row, raw), np.uint8)
    cuda_backend().pack(cuda_row, raw, weight, packed)
    out = np.full((rows, row), np.nan, np.float32)
    x, weights, scales, result = (upload(HOPPER, array) for array in (src, packed, scale, out))
    call = Call(cuda_row, raw, (x.address + first, weights.address, 0, scales.address, 0, result.address))
    assert Product(call).tiles_for(HOPPER)[:3] == list(HOPPER_TILES)
    for launch in launches(call, HOPPER, NARROW):
        HOPPER.launch(launch)
    np.testing.assert_array_equal(download(HOPPER, result, out.shape, np.float32), expected)


def test_chunks_pad_taps_the_least() -> None:
    sizes = {16: 32, 32: 32, 48: 64, 64: 64, 80: 128, 96: 128, 128: 128, 144: 64, 192: 64, 256: 128, 512: 128}
    assert {channels: choose_chunk(channels) for channels in sizes} == sizes


def tiles_for(
    x: tuple[int, ...], weight: tuple[int, ...], device: EmulatedDevice = HOPPER, **attrs: Any
) -> list[HopperTile]:
    """Hopper's tiles that may run a layer."""
    problem = Problem.make("qconv2d", x, weight, None, {"x_zero_point": 0, **attrs})
    layer = QuantizedLayer(device, *problem.inputs[1:4], problem.attrs)
    return [tile for tile in layer.tiles(1024, x) if isinstance(tile, HopperTile)]


@pytest.mark.parametrize(
    ("x", "weight", "attrs"),
    [
        ((1, 9, 9, 16), (8, 16, 3, 3), {}),
        ((1, 9, 9, 16), (8, 16, 3, 3), {"padding": (1, 1, 1, 1)}),
        ((1, 9, 9, 16), (8, 16, 3, 3), {"x_zero_point": 117}),
        ((1, 30, 30, 16), (8, 16, 1, 1), {"stride": (8, 8)}),
        ((1, 129, 2, 16), (8, 16, 129, 1), {"padding": (128, 0, 0, 0)}),
        ((1, 200, 1, 16), (8, 16, 2, 1), {"dilation": (128, 1)}),
        ((1, 1, 129, 16), (8, 16, 1, 2), {"dilation": (1, 128)}),
        ((1, 256, 1, 16), (8, 16, 256, 1), {"padding": (128, 0, 127, 0)}),
    ],
)
def test_what_loads_can_describe_runs(x: tuple[int, ...], weight: tuple[int, ...], attrs: dict[str, Any]) -> None:
    assert tiles_for(x, weight, **attrs) == list(HOPPER_TILES)
    assert tiles_for(x, weight, EmulatedDevice(), **attrs) == []


@pytest.mark.parametrize(
    ("x", "weight", "attrs"),
    [
        ((1, 9, 9, 24), (8, 24, 3, 3), {}),
        ((1, 9, 9, 32), (8, 16, 3, 3), {"groups": 2}),
        ((1, 9, 9, 16), (8, 16, 3, 3), {"padding": (1, 0, 0, 0), "x_zero_point": 117}),
        ((1, 9, 9, 16), (8, 16, 3, 3), {"padding": (0, 0, 0, 1), "x_zero_point": 117}),
        ((1, 30, 30, 16), (8, 16, 1, 1), {"stride": (1, 9)}),
        ((1, 129, 2, 16), (8, 16, 130, 1), {"padding": (129, 0, 0, 0)}),
        ((1, 200, 1, 16), (8, 16, 2, 1), {"dilation": (129, 1)}),
        ((1, 257, 1, 16), (8, 16, 257, 1), {"padding": (128, 0, 128, 0)}),
    ],
)
def test_what_loads_cannot_describe_is_left_to_others(
    x: tuple[int, ...], weight: tuple[int, ...], attrs: dict[str, Any]
) -> None:
    assert tiles_for(x, weight, **attrs) == []


PIXELS = PixelMap(256, 16, (9, 8), 3, 16, 144, 1152, (-1, -1), (-1, -1), (1, 1), (2, 2), 32, 128)
MATRIX = MatrixMap(256, 48, 10, 48, 128, 128)


@pytest.mark.parametrize(
    "change",
    [
        {"address": 8}, {"channels": 0}, {"images": 0}, {"pixel": 24}, {"pixel": 0}, {"row": 128}, {"image": 1 << 40},
        {"image": 1136}, {"lower": (-129, 0)}, {"upper": (0, 128)}, {"steps": (9, 1)}, {"steps": (1, 0)},
        {"reach": (256, 0)}, {"tile_channels": 48}, {"tile_pixels": 1025},
    ],
    ids=str,
)  # fmt: skip
def test_limits_of_maps_of_pixels(change: dict[str, Any]) -> None:
    assert PIXELS.is_encodable
    assert not replace(PIXELS, **change).is_encodable
    with pytest.raises(DeviceError, match="PixelMap"):
        HOPPER.tensor_map(replace(PIXELS, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"address": 8}, {"pitch": 56}, {"pitch": 32}, {"rows": 0}, {"columns": 0}, {"tile_rows": 257},
        {"tile_columns": 16},
    ],
    ids=str,
)  # fmt: skip
def test_limits_of_maps_of_matrices(change: dict[str, Any]) -> None:
    assert MATRIX.is_encodable
    assert not replace(MATRIX, **change).is_encodable


DRIVER = """
#include <cstdint>
extern "C" int cuTensorMapEncodeTiled(
    uint64_t* out, int type, uint32_t rank, void* address, const uint64_t* sizes, const uint64_t* steps,
    const uint32_t* box, const uint32_t* strides, int interleave, int swizzle, int promotion, int fill) {
  const uint64_t element = type == 11 ? 4 : 1;
  if (type % 11 || rank != 2 || strides[0] != 1 || strides[1] != 1 || interleave || promotion != 2 || fill) return 1;
  if (box[0] * element != 16u << swizzle) return 2;
  const uint64_t tile = element << 32 | box[0] * element;
  const uint64_t fields[] = {(uint64_t)address, sizes[0] * element, sizes[1], steps[0], tile, box[1]};
  for (int i = 0; i < 6; ++i) out[i] = fields[i];
  return 0;
}
extern "C" int cuTensorMapEncodeIm2col(
    uint64_t* out, int type, uint32_t rank, void* address, const uint64_t* sizes, const uint64_t* steps,
    const int* lower, const int* upper, uint32_t channels, uint32_t pixels, const uint32_t* strides, int interleave,
    int swizzle, int promotion, int fill) {
  const uint64_t element = type == 11 ? 4 : 1;
  if (type % 11 || rank != 4 || strides[0] != 1 || strides[3] != 1 || interleave || promotion != 2 || fill) return 1;
  if (channels * element != 16u << swizzle) return 2;
  const uint64_t tile = element << 32 | channels * element;
  const uint64_t fields[] = {
      (uint64_t)address, sizes[0] * element, sizes[1], sizes[2], sizes[3], steps[0], steps[1], steps[2],
      (uint64_t)lower[0], (uint64_t)lower[1], (uint64_t)upper[0], (uint64_t)upper[1], tile, pixels,
      strides[1], strides[2]};
  for (int i = 0; i < 16; ++i) out[i] = fields[i];
  return 0;
}
"""
"""The driver's functions as cuda.h declares them; what they make is as the emulator reads it."""


def test_the_driver_gets_what_the_emulator_gets(tmp_path: Path) -> None:
    (tmp_path / "driver.cc").write_text(DRIVER)
    library = str(tmp_path / "driver.so")
    subprocess.run([compiler(), "-shared", "-fPIC", str(tmp_path / "driver.cc"), "-o", library], check=True)
    driver = ctypes.CDLL(library)
    pixels = PixelMap(1 << 40, 48, (9, 8), 3, 64, 640, 8192, (-1, -2), (3, -4), (5, 6), (2, 4), 64, 128)
    layouts: list[tuple[Any, MatrixMap | PixelMap]] = [
        (driver.cuTensorMapEncodeTiled, MatrixMap(1 << 40, 48, 10, 64, 32, 130)),
        (driver.cuTensorMapEncodeIm2col, pixels),
        (driver.cuTensorMapEncodeIm2col, replace(pixels, tile_channels=128)),
        (driver.cuTensorMapEncodeTiled, MatrixMap(1 << 40, 48, 10, 64, 128, 130, 4)),
        (driver.cuTensorMapEncodeIm2col, replace(pixels, element=4)),
    ]
    for encode, layout in layouts:
        out = np.zeros(16, np.uint64)
        assert encode(out.ctypes.data_as(ctypes.c_void_p), *encoding(layout)) == 0
        np.testing.assert_array_equal(out, HOPPER.tensor_map(layout))


COPY = """
#include "hopper.cuh"
extern "C" void copy(unsigned char* dst, const uint64_t* map, const int* at) {
  emulator::copy_pixels(dst, map, 0, {at[0], at[1], at[2]}, at[3], at[4]);
}
"""


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("copies")
    (folder / "copy.cc").write_text(COPY)
    flags = ["-std=c++20", "-march=x86-64-v3", "-DRUSHLIGHT_EMULATED", "-shared", "-fPIC"]
    include = str(files("rushlight.runtime.cuda") / "kernels")
    command = [compiler(), *flags, "-I", include, str(folder / "copy.cc"), "-o", str(folder / "copy.so")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(folder / "copy.so"))


@pytest.mark.parametrize(
    ("corner", "at", "expected"),
    [
        (0, (0, 0, 0, 0, 0), [*range(1, 17)]),
        (-1, (-1, -1, 0, 0, 0), [0, 0, 0, 0, 0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11]),
        (-1, (-1, -1, 0, 1, 1), [*range(1, 17)]),
        (0, (3, 1, 0, 0, 0), [*range(8, 24)]),
        (0, (0, 3, 1, 0, 0), [29, 30, 31, 32, *[0] * 12]),
    ],
    ids=["inside", "padded", "moved", "two-images", "behind-the-last"],
)
def test_pixels_come_in_the_documented_order(
    corner: int, at: tuple[int, ...], expected: list[int], copies: ctypes.CDLL
) -> None:
    """Two images of 4 x 4 pixels, numbered from 1; all corners of the bounding box are the same. The PTX ISA's im2col
    mode: places, not taps, stay within the box, and go on in the next row and image."""
    images = upload(HOPPER, np.repeat(np.arange(1, 33, dtype=np.uint8), 32))
    corners = (corner, corner)
    layout = PixelMap(images.address, 32, (4, 4), 2, 32, 128, 512, corners, corners, (1, 1), (1, 1), 32, 16)
    out = np.zeros((16, 32), np.uint8)
    arguments = [array.ctypes.data_as(ctypes.c_void_p) for array in (out, HOPPER.tensor_map(layout))]
    copies.copy(*arguments, (ctypes.c_int * 5)(*at))
    assert (out == out[:, :1]).all()
    assert out[:, 0].tolist() == expected


@dataclass(frozen=True)
class MisledDevice(EmulatedDevice):
    """Its maps of pixels are changed on their way to it."""

    mistake: Callable[[PixelMap], PixelMap] = lambda layout: layout

    def tensor_map(self, layout: MatrixMap | PixelMap) -> npt.NDArray[np.uint64]:
        return super().tensor_map(self.mistake(layout) if isinstance(layout, PixelMap) else layout)


def moved(corner: str, width: int, height: int) -> Callable[[PixelMap], PixelMap]:
    def move(layout: PixelMap) -> PixelMap:
        old = getattr(layout, corner)
        return replace(layout, **{corner: (old[0] + width, old[1] + height)})

    return move


def is_seen(problem: Problem, tile: HopperTile, device: EmulatedDevice) -> bool:
    try:
        return not np.array_equal(problem.run(device, tile), problem.expected())
    except DeviceError:
        return True


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("corner", "width", "height"),
    [(corner, *step) for corner in ("lower", "upper") for step in ((1, 0), (-1, 0), (0, 1), (0, -1))],
)
def test_wrong_corners_are_seen(corner: str, width: int, height: int, stride: int) -> None:
    if corner == "upper" and stride == 2 and width + height > 0:
        width, height = 2 * width, 2 * height  # one more is not yet a place
    problem = convolution((3, 9, 7, 16), (16, 16, 3, 3), padding=(1, 1, 1, 1), stride=(stride, stride))
    assert not is_seen(problem, NARROW, MisledDevice())
    assert is_seen(problem, NARROW, MisledDevice(mistake=moved(corner, width, height)))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("k > 0 || c > 0 || i > 0", "k > 0 || i > 0"),
        ("wait_products<1>();", "wait_products<2>();"),
        ("wait_barrier(&empty[cursor.stage], cursor.parity ^ 1);", ""),
        ("if (k > 0 && thread % 32 == 0) arrive(&empty[previous]);", ""),
        ("chunks * (kChunkX + kChunkWeight)", "kChunks * (kChunkX + kChunkWeight)"),
        ("chunk.tap_w * p.window.dilation_w", "chunk.tap_w"),
    ],
    ids=["forgets", "early-release", "no-free-check", "no-release", "bytes-that-do-not-come", "no-dilation"],
)
def test_mistakes_are_seen(right: str, wrong: str) -> None:
    problem = convolution((2, 24, 16, 48), (16, 48, 5, 3), padding=(2, 2, 2, 2), stride=(1, 2), dilation=(1, 2))
    devices = [FaultyDevice(*schedule, multiprocessors=1, mistake=(right, wrong)) for schedule in SCHEDULES]
    assert any(is_seen(problem, NARROW, device) for device in devices)


def test_chosen_on_hopper() -> None:
    problem = convolution((2, 8, 8, 32), (64, 32, 3, 3), padding=(1, 1, 1, 1))
    x, weight, scale, bias = problem.inputs
    device = EmulatedDevice(is_hopper=True, multiprocessors=1)
    layer = QuantizedLayer(device, weight, scale, bias, problem.attrs)
    source, out = upload(device, x), device.allocate(2 * 8 * 8 * 64)
    (launch,) = layer.launches(source.address, x.shape, out.address)
    assert launch.kernel == NARROW.kernel(True, 32)
    assert launch.grid == (1, 1, 1)
    np.testing.assert_array_equal(problem.run(device), problem.expected())
