"""`rushlight run`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rushlight.cli.arrays import parse_sizes, random_inputs
from rushlight.cli.device import add_device_arguments
from rushlight.cli.table import format_table
from rushlight.runtime.files import check_writable
from rushlight.runtime.model import load
from rushlight.runtime.npz import read_arrays, write_arrays
from rushlight.runtime.ops import Array

EXAMPLE = """example:
  rushlight run model.rush --input in.npz -o out.npz
  rushlight run model.rush --random --dim N=4"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run a program once and show or save its outputs."
    parser.epilog = EXAMPLE
    parser.add_argument("model", type=Path, metavar="MODEL.rush")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--input", type=Path, metavar="IN.npz", help="one array an input, by name")
    source.add_argument("--random", action="store_true", help="made-up inputs, the same at every run")
    parser.add_argument(
        "--dim", action="append", default=[], metavar="NAME=SIZE", help="size of a dimension of --random"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.npz", help="where to save the outputs")
    parser.add_argument("--threads", type=int, metavar="N", help="threads to use (default all)")
    add_device_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.output:
        check_writable(args.output)
    model = load(args.model, threads=args.threads, device=args.device, precision=args.precision)
    sizes = parse_sizes(args.dim)
    inputs = read_arrays(args.input) if args.input else random_inputs(model.program.graph, sizes)
    outputs = model.run(inputs)
    if args.output:
        write_arrays(args.output, outputs)
    print(format_table(["output", "dtype", "shape", "min", "mean", "max"], [_row(*item) for item in outputs.items()]))
    return 0


def _row(name: str, array: Array) -> list[str]:
    figures = [array.min(), array.mean(dtype=np.float64), array.max()] if array.size else []
    return [
        name,
        array.dtype.name,
        str(list(array.shape)),
        *(f"{float(figure):.6g}" for figure in figures),
        *["-"] * (3 - len(figures)),
    ]
