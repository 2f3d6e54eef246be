"""Float products in TF32 on a GPU. Skipped without one."""

from __future__ import annotations

import numpy as np
import pytest

from rushlight.runtime.cuda.gpu import GpuDevice
from rushlight.runtime.cuda.tiles import HOPPER_TILES, TILES, HopperTile, Tile
from rushlight.runtime.errors import DeviceError
from tests.gemm_calls import conv_params, matrix_params
from tests.test_cuda_tf32 import LENGTHS, attended, attention, check, noise, on_device, patches

try:
    DEVICE = GpuDevice()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

LOST = 8
"""Tensor cores cut off what they add below the largest of a few products: not a sum of roundings to nearest."""


def skip_unless_it_runs(tile: Tile | HopperTile | None) -> None:
    if tile is not None and tile.shared_bytes > DEVICE.shared_bytes:
        pytest.skip(f"{tile} needs more shared memory than {DEVICE.name} has")
    if isinstance(tile, HopperTile) and not DEVICE.is_hopper:
        pytest.skip(f"{DEVICE.name} is no Hopper GPU")


@pytest.mark.parametrize("tile", [*TILES, *HOPPER_TILES, None], ids=str)
@pytest.mark.parametrize(("m", "n", "k"), [(1, 3, 4), (131, 260, 52), (1000, 520, 260), (5, 40, 4096)])
def test_products(tile: Tile | HopperTile | None, m: int, n: int, k: int) -> None:
    skip_unless_it_runs(tile)
    x, weight, bias, residual, out = noise(m, k), noise(n, k), noise(n), noise(m, n), np.zeros((m, n), np.float32)
    got = [on_device(DEVICE, matrix_params(m, n, k), [x, weight, bias, residual, out], tile) for _ in range(2)]
    np.testing.assert_array_equal(*got)
    check(got[0], x, weight, bias[None], residual, lost=LOST)


@pytest.mark.parametrize("tile", [*TILES, *HOPPER_TILES], ids=str)
def test_operands_are_rounded_to_the_nearest(tile: Tile | HopperTile) -> None:
    """Of halves either neighbour will do."""
    skip_unless_it_runs(tile)
    x = (np.float32(1) + np.arange(4096, dtype=np.float32) * np.float32(2**-13)).reshape(64, 64)
    x[0, :2] = np.nan, np.inf
    got = on_device(DEVICE, matrix_params(64, 64, 64), [x, np.eye(64, dtype=np.float32), None, None, 0 * x], tile)
    assert np.isnan(got[0]).all()  # NaN times zero
    step = np.where(x[1:] < 2, 2**-10, 2**-9)
    np.testing.assert_array_equal(got[1:] % step, 0)
    assert (abs(got[1:] - x[1:]) <= step / 2).all()


@pytest.mark.parametrize("tile", [*TILES[1:], *HOPPER_TILES, None], ids=str)
@pytest.mark.parametrize("channels", [8, 16, 48])
def test_convolutions(tile: Tile | HopperTile | None, channels: int) -> None:
    skip_unless_it_runs(tile)
    shape = (3, 8, 9, channels, 80, (3, 3), (1, 1), (1, 1), (1, 1), 1)
    x, weight = noise(3, 8, 9, channels), noise(80, channels, 3, 3)
    got = on_device(DEVICE, conv_params(shape), [x, weight, None, None, np.zeros((3 * 8 * 9, 80), np.float32)], tile)
    check(got, patches(x, shape), weight.reshape(80, -1), lost=LOST)


@pytest.mark.parametrize(("lq", "lk", "d", "dv"), [*LENGTHS, (200, 1000, 64, 64)])
def test_attention(lq: int, lk: int, d: int, dv: int) -> None:
    q, k, v = noise(2, lq, d), noise(2, lk, d), noise(2, lk, dv)
    lost = abs(attention(DEVICE, q, k, v) - attended(q, k, v))
    assert np.median(lost) < LOST * 2e-6
    assert lost.max() < 2**-10 * abs(v).max()
