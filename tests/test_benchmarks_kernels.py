"""The cost model of the gemm kernels: what its fit writes, and what compares products with and without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rushlight as rl
from benchmarks.kernels import choice, fit
from rushlight.runtime.cpu.params import families


def test_the_fit_writes_a_line_for_every_tile(tmp_path: Path) -> None:
    data = tmp_path / "costs.inc"
    other = "COST(gemm_f32f32f32_6x16_elsewhere, 1, 6, 1.000, 1.000, 1.0)"
    data.write_text(
        f"// a line that is written anew\n{other}\nCOST(gemm_f32f32f32_6x16_avx2, 1, 6, 9.000, 9.000, 9.0)\n"
    )
    fit.main(["--rounds", "1", "--out", str(data)])
    header, _, *lines = data.read_text().splitlines()
    assert header.startswith("// Written by python -m benchmarks.kernels.fit")
    assert other in lines
    costs = {}
    for line in lines:
        symbol, granules, rows, *numbers = line.removeprefix("COST(").removesuffix(")").split(", ")
        near, far, tile = map(float, numbers)
        assert (symbol, granules, rows) not in costs
        assert 0 < near <= far
        assert tile >= 0
        costs[symbol, granules, rows] = near
    rows = fit.fitted()
    assert {row.types for row in rows} == {row.types for row in families()["gemm"].rows if "f16" not in row.types}
    tiles = {
        (row.symbol, str(g), str(h)) for row in rows for g in range(1, row.nr // 16 + 1) for h in fit.heights(row, g)
    }
    assert tiles == {key for key in costs if not key[0].endswith("elsewhere")}
    assert all(str(row.mr) in {h for s, _, h in tiles if s == row.symbol} for row in rows)


@pytest.mark.parametrize("scheme", [None, "fp16-weight", "bf16-weight"])
def test_products_of_a_model_are_timed_with_and_without(
    scheme: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N", 24, 9, 9))
    y = builder.conv2d(x, weights(rng, 40, 24, 1, 1))
    y = builder.conv2d(y, weights(rng, 16, 20, 3, 3), groups=2, padding=(1, 1, 1, 1))
    builder.output("y", builder.linear(builder.reshape(y, shape=(y.shape[0], 1296)), weights(rng, 7, 1296)))
    program = builder.build()
    (program if scheme is None else rl.quantize(program, scheme=scheme)).save(tmp_path / "model.rush")
    choice.main([str(tmp_path / "model.rush"), "--batch", "2", "--seconds", "0"])
    *lines, summary = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(" beside " in line for line in lines)
    assert summary.startswith("3 products: ")


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)
