"""Register tiles of gemm kernels: none changes a bit; those are taken that are asked for, or measured to be fast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families, pack_params
from tests.gemm_calls import IDS, ROWS, matrix_params, packable, random_int8, run

TILE_ROWS = [-1, 0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 32]


@pytest.mark.parametrize("row", [row for row in ROWS if row.isa != "generic"], **IDS)
def test_tiles_change_no_bit(row: Any) -> None:
    """Every tile that can be asked for, with rows and columns left over; those that the cost model chooses too."""
    is_float, is_u8 = row.types[0] == "f", row.types.endswith("u8")
    for m, n, k in [(1, 40, 24), (7, 70, 33), (13, 100, 64), (29, 150, 16), (45, 33, 600), (9, 20, 3300)]:
        rng = np.random.default_rng(m)
        if is_float:
            src = rng.standard_normal((m, k), np.float32)
            weight = packable(row, rng.standard_normal((n, k), np.float32))
            scale, bias = None, rng.standard_normal(n, np.float32)
        else:
            src, weight, scale, bias = random_int8(rng, m, n, k)
        dst = np.zeros((m, n), np.uint8 if is_u8 else np.float32)
        outs = {}
        for columns in range(-16, row.nr + 1, 16):
            for rows in TILE_ROWS:
                params = matrix_params(m, n, k, panel_columns=columns, tile_rows=rows)
                outs[columns, rows] = run(row, params, src, weight, dst, bias, scale)
                high, wide = _core.tile(row.symbol, pack_params("gemm", **params))
                assert 1 <= high <= max(row.mr, 12)
                assert wide <= (columns if columns > 0 else row.nr)
        for choice, out in outs.items():
            np.testing.assert_array_equal(out.view(np.uint8), outs[0, 0].view(np.uint8), str(choice))


def test_the_tile_asked_for_is_taken() -> None:
    for row in ROWS:
        for columns in range(16, row.nr + 1, 16):
            asked = [matrix_params(96, 256, 64, panel_columns=columns, tile_rows=rows) for rows in TILE_ROWS[2:]]
            heights = {_core.tile(row.symbol, pack_params("gemm", **params)) for params in asked}
            assert {width for _, width in heights} == {columns}
            assert len(heights) > 2 or row.isa == "generic"
    empty = matrix_params(0, 16, 4)
    assert _core.tile(ROWS[0].symbol, pack_params("gemm", **empty)) == (0, 0)


def costs() -> dict[tuple[str, int], dict[int, float]]:
    """Nanoseconds of 128 steps and a row by the height of the tile, of every kernel and width of panels measured."""
    found: dict[tuple[str, int], dict[int, float]] = {}
    data = Path(__file__).parents[1] / "runtime" / "cpu" / "kernels" / "gemm" / "costs.inc"
    for line in data.read_text().splitlines():
        if line.startswith("COST("):
            symbol, granules, rows, near, _, tile = line.removeprefix("COST(").removesuffix(")").split(", ")
            found.setdefault((symbol, int(granules)), {})[int(rows)] = (128 * float(near) + float(tile)) / int(rows)
    return found


def test_measured_kernels_have_no_tile_that_is_clearly_faster() -> None:
    rows = {row.symbol: row for row in families()["gemm"].rows}
    for (symbol, granules), of_height in costs().items():
        params = matrix_params(960, 16 * granules, 64, panel_columns=16 * granules)
        height, columns = _core.tile(symbol, pack_params("gemm", **params))
        assert columns == 16 * granules
        assert of_height[height] <= min(of_height.values()) / 0.97
        assert max(of_height) <= max(rows[symbol].mr, 12)
    measured = {symbol for symbol, _ in costs()}
    assert measured == {
        row.symbol
        for row in rows.values()
        if row.isa in ("avx2", "avxvnni", "avx512", "avx512vnni") and "f16" not in row.types
    }


def test_weights_of_16_bits_take_the_tiles_of_float32() -> None:
    rows = {row.symbol: row for row in families()["gemm"].rows}
    for symbol, row in rows.items():
        same = rows[symbol.replace("f32bf16f32", "f32f32f32").replace("f32f16f32", "f32f32f32")]
        assert (same.mr, same.nr) == (row.mr, row.nr)
        for m in (*range(1, 14), 100):
            for n in (16, 40, 64, 300):
                params = pack_params("gemm", **matrix_params(m, n, 64))
                assert _core.tile(symbol, params) == _core.tile(same.symbol, params)
