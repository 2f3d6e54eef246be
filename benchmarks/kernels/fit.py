"""Measures what register tiles of the gemm kernels cost and writes the data that tiles are chosen by.

Every tile of every kernel that this CPU has is timed alone, with panels of several depths in the first-level cache and
beyond; a line through the times gives what a step and what a tile costs. Kernels that this CPU lacks keep what the file
says of them. The result decides how fast products are, never what they give.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kernels.timing import NONE, constant, given, result
from benchmarks.peers.machine import cpu_name
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families, pack_params
from rushlight.runtime.lower.gemm import NEUTRAL

DATA = Path(__file__).resolve().parents[2] / "runtime" / "cpu" / "kernels" / "gemm" / "costs.inc"

NEAR = (4 << 10, 12 << 10, 24 << 10)
"""Bytes of panels that stay in any first-level cache."""
FAR = (96 << 10, 192 << 10)
"""Bytes of panels that stay in the second-level cache."""
STEP_BYTES = 64
"""Of 16 columns."""
CALL_STEPS = 200_000
"""Steps, times rows and times 16 columns, of a call: what begins one is lost in so many."""
REPEATS = 4


@dataclass
class Tile:
    """A register tile and the calls that time it, by steps and by whether the panel is near."""

    symbol: str
    granules: int
    rows: int
    calls: list[tuple[int, bool, int, Any]] = field(default_factory=list)
    ns: list[float] = field(default_factory=list)

    def time(self) -> None:
        """Once more; the fastest time of each call stays: the first of a few finds its panel far away."""
        times = [
            min(float(session.run_timed(0, 1)[1][0]) for _ in range(REPEATS)) / tiles
            for _, _, tiles, session in self.calls
        ]
        self.ns = [min(pair) for pair in zip(times, self.ns or times, strict=True)]

    def cost(self) -> tuple[float, float, float]:
        """Nanoseconds of a step with a near panel, of one with a far panel, of a tile besides."""
        near = [(steps, ns) for (steps, is_near, *_), ns in zip(self.calls, self.ns, strict=True) if is_near]
        far = [(steps, ns) for (steps, is_near, *_), ns in zip(self.calls, self.ns, strict=True) if not is_near]
        # Relative errors count: rows are divided by their times.
        lines = np.array([[steps / ns, 1 / ns] for steps, ns in near])
        step, tile = np.linalg.lstsq(lines, np.ones(len(near)), rcond=None)[0]
        if tile < 0:
            step, tile = float(np.mean([ns / steps for steps, ns in near])), 0.0
        return float(step), max(float(step), float(np.mean([(ns - tile) / steps for steps, ns in far]))), float(tile)


def call(row: Any, granules: int, rows: int, steps: int) -> tuple[int, Any]:
    """How many tiles one run of the session computes, and the session. Rows of src are one row,
    those of dst too: both stay in the first-level cache."""
    is_float = row.types.startswith("f32")
    k = steps * (1 if is_float else 2 if row.isa in ("avx2", "avx512", "neon") else 4)
    tiles = max(4, CALL_STEPS // (steps * rows * granules))
    m, n = tiles * rows, 16 * granules
    params = {**NEUTRAL, "images": m, "dst_row": 0, "n": n, "k": k, "activation": 1, "alpha": 0.0, "beta": 0.0}
    packed = pack_params("gemm", **{**params, "panel_columns": n, "tile_rows": rows})
    rng = np.random.default_rng(0)
    src = rng.random(k, np.float32) if is_float else rng.integers(0, 256, k, np.uint8)
    weight = rng.random((n, k), np.float32) if is_float else rng.integers(-127, 128, (n, k)).astype(np.int8)
    dst = np.empty(n, np.uint8 if row.types.endswith("u8") else np.float32)
    constants = [_core.pack(row.symbol, packed, weight), np.zeros(n, np.float32), np.full(n, 1e-3, np.float32)]
    operands = [given(0), constant(0), constant(1), NONE if is_float else constant(2), NONE, result(0)]
    plan = _core.Executor(constants, 1).bind([(row.symbol, packed, operands)], 64)
    return tiles, plan.session([src], [dst])


def fitted() -> list[Any]:
    """The rows that are measured: weights of 16 bits take the tiles of float32."""
    rows = [row for row in families()["gemm"].rows if row.available and row.isa != "generic"]
    return [row for row in rows if row.types in ("f32f32f32", "u8s8u8", "u8s8f32")]


def heights(row: Any, granules: int) -> list[int]:
    """Rows of the tiles of a kernel for panels of so many times 16 columns."""
    found = []
    for rows in range(1, 33):
        given = {"images": 1000, "n": 16 * granules, "k": 64, "dst_row": 0, "activation": 0, "alpha": 0.0, "beta": 0.0}
        params = pack_params("gemm", **{**NEUTRAL, **given, "panel_columns": 16 * granules, "tile_rows": rows})
        if _core.tile(row.symbol, params)[0] == rows:
            found.append(rows)
    return found


def tiles(row: Any) -> Iterator[Tile]:
    for granules in range(1, row.nr // 16 + 1):
        for rows in heights(row, granules):
            tile = Tile(row.symbol, granules, rows)
            for size in (*NEAR, *FAR):
                steps = size // (STEP_BYTES * granules)
                tile.calls.append((steps, size in NEAR, *call(row, granules, rows, steps)))
            yield tile


def kept(path: Path, fitted: Sequence[str]) -> list[str]:
    """The lines of the data file that say something of other kernels."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if line.startswith("COST(") and line[5:].split(",")[0] not in fitted]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels.fit", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=DATA)
    args = parser.parse_args(words)
    rows = fitted()
    timed = [tile for row in rows for tile in tiles(row)]
    for _ in range(args.rounds):  # all in turn: what disturbs the machine disturbs few runs of each
        for tile in timed:
            tile.time()
    date = datetime.datetime.now(datetime.timezone.utc).date()
    cpu = cpu_name(Path("/proc/cpuinfo").read_text())
    lines = [f"// Written by python -m benchmarks.kernels.fit: nanoseconds on {cpu}, {date}.",
             "// COST(symbol, granules, rows, near step, far step, tile): see tiles.h."]  # fmt: skip
    for tile in timed:
        near, far, once = tile.cost()
        lines.append(f"COST({tile.symbol}, {tile.granules}, {tile.rows}, {near:.3f}, {far:.3f}, {once:.1f})")
    lines += kept(args.out, [row.symbol for row in rows])
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
