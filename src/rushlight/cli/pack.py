"""`rushlight pack`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rushlight.cli.progress import counter
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import ISAS, best_isa
from rushlight.runtime.files import check_writable
from rushlight.runtime.format import read_program
from rushlight.runtime.packing import pack

EXAMPLE = """example:
  rushlight pack model.rush -o model.packed.rush
  rushlight pack model.rush -o model.packed.rush --isa avx2 --isa avx512vnni

A packed file is as large again for every instruction set with kernels of its own. It runs everywhere: where it holds
nothing for the machine, or was packed by another version of Rushlight, it is loaded like the file it was made of, and
a warning says so."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Add weights in the kernels' layout to a program: loading maps them, and processes share them."
    parser.epilog = EXAMPLE
    parser.add_argument("model", type=Path, metavar="MODEL.rush")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PACKED.rush")
    parser.add_argument(
        "--isa", action="append", choices=list(ISAS), help="an instruction set (default: the one of this machine)"
    )


def run(args: argparse.Namespace) -> int:
    check_writable(args.output)
    isas = list(dict.fromkeys(args.isa or [best_isa()]))
    program = read_program(args.model)
    with counter("packing", ""):
        packed = pack(program, isas, _core.usable_cpus())
        packed.save(args.output)
    print(f"{args.output}: packed for {', '.join(isas)}; {args.output.stat().st_size:,} bytes")
    return 0
