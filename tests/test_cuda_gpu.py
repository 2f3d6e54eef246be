"""The CUDA kernels on a GPU, against the references of the operators that they compute. Skipped without one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.gpu_layer import QuantizedLayer
from rushlight.runtime.cuda.gpu import GpuDevice
from rushlight.runtime.cuda.tiles import HOPPER_TILES, TILES, HopperTile, Tile
from rushlight.runtime.errors import DeviceError
from rushlight.runtime.ops import get

try:
    DEVICE = GpuDevice()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)


def check(
    x: tuple[int, ...], weight: tuple[int, ...], tile: Tile | HopperTile | None, residual: bool = False, **attrs: Any
) -> None:
    if tile is not None and tile.shared_bytes > DEVICE.shared_bytes:
        pytest.skip(f"{tile} needs more shared memory than {DEVICE.name} has")
    if isinstance(tile, HopperTile) and not DEVICE.is_hopper:
        pytest.skip(f"{DEVICE.name} is no Hopper GPU")
    rng = np.random.default_rng(0)
    width = 1 / (60 * np.sqrt(np.prod(weight[1:])))
    op = get("qlinear" if len(weight) == 2 else "qconv2d")
    attrs = op.complete_attrs({"x_zero_point": 117, "residual_scale": 0.3 if residual else 0.0, **attrs})
    image = rng.integers(0, 256, x, np.uint8)
    constants = (
        rng.integers(-128, 128, weight, np.int8),
        rng.uniform(0.3 * width, width, weight[0]).astype(np.float32),
        rng.uniform(110, 146, weight[0]).astype(np.float32),
    )
    layer = QuantizedLayer(DEVICE, *constants, attrs, tile)
    added = rng.integers(0, 256, layer.out_type(x)[0], np.uint8) if residual else None
    inputs = [image, *constants] if added is None else [image, *constants, added]
    (expected,) = op.run_reference(inputs, attrs)
    np.testing.assert_array_equal(layer.run(image, added), expected)


@pytest.mark.parametrize("tile", [*TILES, *HOPPER_TILES, None], ids=str)
@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 3, 16), (131, 260, 208), (1000, 520, 1040)])
def test_product(tile: Tile | HopperTile | None, residual: bool, m: int, n: int, k: int) -> None:
    check((m, k), (n, k), tile, residual)


@pytest.mark.parametrize("tile", [*HOPPER_TILES, None], ids=str)
def test_product_in_float(tile: Tile | HopperTile | None) -> None:
    check((70, 48), (33, 48), tile, out_dtype="float32", activation="relu")


def test_split_depth() -> None:
    check((5, 4096), (40, 4096), None, True)


@pytest.mark.parametrize("channels", [3, 20, 24, 64])
@pytest.mark.parametrize("tile", [*TILES[2:], None], ids=str)
def test_convolution(channels: int, tile: Tile | None) -> None:
    check((2, 19, 21, channels), (40, channels, 3, 3), tile, stride=(2, 1), padding=(1, 1, 0, 1))


@pytest.mark.parametrize("tile", HOPPER_TILES, ids=str)
@pytest.mark.parametrize(
    ("x", "weight", "attrs"),
    [
        ((5, 19, 21, 64), (300, 64, 3, 3), {"padding": (1, 1, 1, 1)}),
        ((3, 20, 23, 16), (64, 16, 5, 4), {"stride": (2, 3), "padding": (2, 0, 1, 3)}),
        ((2, 33, 20, 80), (130, 80, 3, 2), {"dilation": (3, 2), "padding": (3, 1, 2, 2)}),
        ((7, 14, 14, 128), (64, 128, 1, 1), {"stride": (2, 2)}),
        ((4, 9, 11, 192), (40, 192, 3, 3), {"x_zero_point": 117}),
    ],
)
def test_mapped_convolution(
    tile: HopperTile, x: tuple[int, ...], weight: tuple[int, ...], attrs: dict[str, Any]
) -> None:
    check(x, weight, tile, residual=True, **{"x_zero_point": 0, **attrs})


@pytest.mark.parametrize("channels", [2, 33, 64])
def test_depthwise(channels: int) -> None:
    check((2, 19, 21, channels), (channels, 1, 3, 3), None, groups=channels, padding=(1, 1, 1, 1))
