"""Products with weights of 16 bits give the bits of float32 weights of the same numbers, on every instruction set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.ir import Half
from tests.gemm_calls import CONVOLUTIONS, F32_ROWS, IDS, ROWS, SIZES, conv_params, matrix_params, packable, run

HALF_ROWS = [row for row in ROWS if row.types in ("f32f16f32", "f32bf16f32")]


def halves(row: Any, shape: tuple[int, ...], seed: int) -> np.ndarray:
    return packable(row, np.random.default_rng(seed).standard_normal(shape, np.float32))


def assert_same(out: np.ndarray, expected: np.ndarray) -> None:
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(out), nan)
    np.testing.assert_array_equal(out[~nan].view(np.int32), expected[~nan].view(np.int32))


def test_every_float_row_has_its_halves() -> None:
    assert {(row.isa, row.types) for row in HALF_ROWS} == {
        (row.isa, types) for row in F32_ROWS for types in ("f32f16f32", "f32bf16f32")
    }


@pytest.mark.parametrize("row", HALF_ROWS, **IDS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_product(row: Any, size: tuple[int, int, int]) -> None:
    m, n, k = size
    rng = np.random.default_rng(m * 1009 + n * 31 + k)
    src, bias = rng.standard_normal((m, k), np.float32), rng.standard_normal(n, np.float32)
    weight = halves(row, (n, k), k)
    dst = np.full((m, n), np.nan, np.float32)
    out = run(row, matrix_params(m, n, k), src, weight, dst, bias)
    assert_same(out, run(F32_ROWS[-1], matrix_params(m, n, k), src, Half(weight).read(), dst, bias))


@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_convolution(shape: tuple[Any, ...]) -> None:
    images, _, _, ic, oc, kernel, *_, groups = shape
    params = conv_params(shape)
    src = np.random.default_rng(oc).standard_normal((images, *shape[1:4]), np.float32)
    dst = np.full((images, params["oh"], params["ow"], oc), np.nan, np.float32)
    for row in HALF_ROWS:
        weight = halves(row, (oc, ic // groups, *kernel), ic)
        assert_same(run(row, params, src, weight, dst), run(F32_ROWS[-1], params, src, Half(weight).read(), dst))


@pytest.mark.parametrize("row", HALF_ROWS, **IDS)
@pytest.mark.parametrize("m", [1, 40])
def test_every_number_there_is(row: Any, m: int) -> None:
    """One weight a column: denormal halves are exact, infinities and NaN pass on, denormal float32 count as zero."""
    bits = np.arange(1 << 16, dtype=np.uint16)
    weight = bits.view(np.float16) if row.types == "f32f16f32" else bits
    src = np.full((m, 1), 2, np.float32)
    out = run(row, matrix_params(m, bits.size, 1), src, weight[:, None], np.zeros((m, bits.size), np.float32))
    wide = Half(weight).read()
    with np.errstate(over="ignore", invalid="ignore"):
        expected = np.where(np.abs(wide) < np.finfo(np.float32).tiny, np.float32(0), wide * 2)
    np.testing.assert_array_equal(out, np.broadcast_to(expected, out.shape))


@pytest.mark.parametrize("row", HALF_ROWS, **IDS)
def test_packed_weights_keep_their_16_bits(row: Any) -> None:
    weight = halves(row, (70, 33), 1)
    packed = _core.pack(row.symbol, pack_params("gemm", **matrix_params(1, 70, 33)), weight)
    assert packed.nbytes == 80 * 33 * 2
