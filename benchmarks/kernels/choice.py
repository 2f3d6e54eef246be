"""What the cost model of the gemm kernels is worth: products with the tiles that it chooses, and without, in turns."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kernels.products import PROBLEMS
from benchmarks.kernels.timing import NONE, constant, given, result
from benchmarks.kernels.weights import random_weights
from rushlight.cli.arrays import batch_size, parse_sizes, random_inputs
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families, pack_params, params_dtype
from rushlight.runtime.lower.gemm import NEUTRAL
from rushlight.runtime.model import load

WITHOUT = {"panel_columns": -16, "tile_rows": -1}
ROUNDS = 3
"""At least, of products that take long."""

SWEEP = [
    *(
        (m, n, k)
        for m in (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 20, 32)
        for n, k in ((768, 768), (384, 1536), (1000, 512))
    ),
    *((m, n, k) for m in (49, 128, 197) for n, k in ((768, 768), (768, 3072), (3072, 768))),
    *((m, n, 64) for m in (64, 196, 784, 3136) for n in (16, 24, 40, 64, 80, 96, 112, 160, 256)),
    *((1024, n, k) for n in (64, 320, 1024) for k in (16, 32, 128, 3072)),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
]
"""Rows, columns and depth of products."""


@dataclass(frozen=True)
class Shape:
    """What a call computes: the parameters, tiles left to choose."""

    name: str
    params: Mapping[str, Any]


def sweep() -> Iterator[Shape]:
    others = {"activation": 1, "alpha": 0.0, "beta": 0.0}
    for m, n, k in SWEEP:
        params = {**NEUTRAL, **others, "images": m, "n": n, "k": k, "src_image": k, "dst_row": n}
        yield Shape(f"{m}x{n}x{k}", params)
    for problem in PROBLEMS:
        yield Shape(problem.name, unpacked(problem.params()))


def unpacked(params: bytes) -> dict[str, Any]:
    record = np.frombuffer(params, params_dtype("gemm"))[0]
    return {name: record[name].tolist() for name in record.dtype.names}


def of_model(path: Path, batch: int | None, dims: Sequence[str], threads: int) -> Iterator[tuple[str, Shape]]:
    """Operand types and shapes of a model's products; in bands, those of each band."""
    model = load(path, threads=threads)
    graph = model.program.graph
    inputs = random_inputs(graph, {**({} if batch is None else batch_size(graph, batch)), **parse_sizes(dims)})
    sizes = model.main.sizes([np.asarray(inputs[spec.name]) for spec in model.main.inputs])
    rows = {row.symbol: row for row in families()["gemm"].rows}
    for symbol, params in calls(model.main.plan.bind(sizes, threads).steps):
        if symbol in rows:
            shape = unpacked(params)
            name = "x".join(str(shape[field]) for field in ("images", "oh", "ow", "n", "k", "kh"))
            yield rows[symbol].types, Shape(f"{path.stem} {name}", shape)


def calls(steps: Sequence[Any]) -> Iterator[tuple[str, bytes]]:
    """Symbols and parameters of a bound plan."""
    for step in steps:
        if isinstance(step[0], str):
            yield step[0], step[1]
        else:
            yield from (call[1:3] for _, tasks in step[2] for task in tasks for call in task)


class Turns:
    """A call with and without the model, each in a session of its own; nothing is added to its results."""

    def __init__(self, row: Any, shape: Shape, threads: int) -> None:
        p = dict(shape.params)
        is_float = row.types.startswith("f32")
        rng = np.random.default_rng(0)
        weight_shape = (p["weights"], p["n"], p["k"], p["kh"], p["kw"])
        rows, batch = p["images"] * p["oh"] * p["ow"], np.array(p["batch"]) - 1
        extent = (
            (p["images"] - 1) * p["src_image"] + (p["ih"] - 1) * p["src_row"] + (p["iw"] - 1) * p["src_pixel"] + p["k"]
        )
        src_size, dst_size = (
            extent + batch @ p["src_batch"],
            (rows - 1) * p["dst_row"] + p["n"] + batch @ p["dst_batch"],
        )
        columns = p["n"] + batch @ p["bias_batch"]
        make = (lambda n: rng.random(n, np.float32)) if is_float else (lambda n: rng.integers(0, 256, n, np.uint8))
        weight = random_weights(row.types, weight_shape, rng)
        inputs = [make(int(src_size))]
        outputs = [np.empty(int(dst_size), np.uint8 if row.types.endswith("u8") else np.float32)]
        self.sessions: list[Any] = []
        self.ns = [float("inf")] * 2
        self.tiles: list[str] = []
        for choice in ({}, WITHOUT):
            params = pack_params("gemm", **{**p, **choice})
            packed = _core.pack(row.symbol, params, weight)
            constants = [packed, np.zeros(columns, np.float32), np.full(columns, 1e-3, np.float32)]
            operands = [given(0), constant(0), constant(1), NONE if is_float else constant(2), NONE, result(0)]
            plan = _core.Executor(constants, threads).bind([(row.symbol, params, operands)], 64)
            self.sessions.append(plan.session(inputs, outputs))
            self.tiles.append("x".join(map(str, _core.tile(row.symbol, params))))

    def time(self, seconds: float) -> None:
        spent, rounds = 0.0, 0
        while spent < 2e9 * seconds or rounds < ROUNDS:
            rounds += 1
            for i, session in enumerate(self.sessions):
                (ns,) = session.run_timed(0, 1)[1]
                self.ns[i] = min(self.ns[i], ns)
                spent += ns

    @property
    def gain(self) -> float:
        return self.ns[1] / self.ns[0]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels.choice", description=__doc__)
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL.rush", help="instead of a sweep, their products")
    parser.add_argument("--batch", type=int, metavar="N")
    parser.add_argument("--dim", action="append", default=[], metavar="NAME=SIZE")
    parser.add_argument("--isa")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.01, help="for each shape, with and without")
    args = parser.parse_args(words)
    gains = []
    seen = set()
    shapes = [pair for path in args.models for pair in of_model(path, args.batch, args.dim, args.threads)] or [
        (types, shape) for types in ("f32f32f32", "u8s8u8") for shape in sweep()
    ]
    for types, shape in shapes:
        row = next(
            row for row in families()["gemm"].rows
            if row.available and row.types == types and args.isa in (None, row.isa)
        )  # fmt: skip
        key = (row.symbol, tuple(map(str, shape.params.values())))
        if key in seen:
            continue
        seen.add(key)
        turns = Turns(row, shape, args.threads)
        turns.time(args.seconds)
        gains.append(turns.gain)
        chosen, without = turns.tiles
        print(
            f"{row.symbol:32} {shape.name:40} {turns.ns[0] / 1e3:10.1f} us, {chosen} beside {without}: {turns.gain:.3f}"
        )
    mean = float(np.exp(np.mean(np.log(gains))))
    print(f"{len(gains)} products: {mean:.3f} times as fast on average, {min(gains):.3f} to {max(gains):.3f}")


if __name__ == "__main__":
    main()
