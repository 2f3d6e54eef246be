"""`rushlight explain`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rushlight.cli.arrays import batch_size, parse_sizes, random_inputs
from rushlight.cli.device import add_device_arguments
from rushlight.cli.table import format_table
from rushlight.runtime.explain import REFERENCE, Explanation, StepReport, explain
from rushlight.runtime.model import load

EXAMPLE = """example:
  rushlight explain model.rush --batch 8"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run a program on made-up inputs; show the kernel, tile, time and share of the peak of every step, then the "
        "nodes that take none."
    )
    parser.epilog = EXAMPLE
    parser.add_argument("model", type=Path, metavar="MODEL.rush")
    parser.add_argument("--batch", type=int, metavar="N", help="size of the first input's first dimension")
    parser.add_argument("--dim", action="append", default=[], metavar="NAME=SIZE", help="size of another dimension")
    parser.add_argument("--threads", type=int, metavar="N", help="threads to use (default all)")
    add_device_arguments(parser)


def run(args: argparse.Namespace) -> int:
    model = load(args.model, threads=args.threads, device=args.device, precision=args.precision)
    graph = model.program.graph
    sizes = {**(batch_size(graph, args.batch) if args.batch is not None else {}), **parse_sizes(args.dim)}
    found = explain(model, random_inputs(graph, sizes))
    header = ["node", "operator", "kernel", "tile", "shape", "us", "time", "share", "of", "why"]
    print(format_table(header, [_row(step, found.nanoseconds) for step in [*found.steps, *found.idle]]))
    print(f"\n{summary(found)}")
    return 0


def _row(step: StepReport, total: int) -> list[str]:
    return [
        step.name,
        step.operator,
        step.kernel,
        step.tile or "-",
        "x".join(map(str, step.shape)) or "scalar",
        f"{step.nanoseconds / 1000:.1f}",
        f"{100 * step.nanoseconds / max(total, 1):.1f}%",
        f"{100 * step.share:.0f}%",
        step.bound or "-",
        step.reason,
    ]


def summary(found: Explanation) -> str:
    """Totals, and the peaks that the shares refer to."""
    sizes = ", ".join(f"{name} = {size}" for name, size in found.sizes.items())
    slow = sum(step.kernel == REFERENCE for step in found.steps)
    peaks = found.peaks
    figures = [
        (peaks.f32_flops, "GFLOP/s float32"),
        (peaks.int8_ops, "GOP/s int8"),
        (peaks.tf32_flops, "GFLOP/s TF32"),
        (peaks.read_bytes, "GB/s from memory"),
        (peaks.cache_bytes, "GB/s from the cache"),
    ]
    known = ", ".join(f"{rate / 1e9:.{0 if 'OP/s' in unit else 1}f} {unit}" for rate, unit in figures if rate)
    return "\n".join(
        [
            f"{len(found.steps)} steps, {found.nanoseconds / 1e6:.3f} ms{f' at {sizes}' if sizes else ''}; "
            f"{slow} on the NumPy reference; {found.arena_bytes:,} bytes of memory",
            f"peaks {peaks.source}: {known}" if known else f"peaks {peaks.source}",
        ]
    )
