"""`rushlight inspect`."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from rushlight.cli.table import format_table
from rushlight.runtime.format import read_program
from rushlight.runtime.ir import Graph, backing
from rushlight.runtime.program import Program

EXAMPLE = """example:
  rushlight inspect model.rush
  rushlight inspect model.rush --graph --verify"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Show the methods, operators and origin of a program. Opening it checks the program's hash."
    parser.epilog = EXAMPLE
    parser.add_argument("model", type=Path, metavar="MODEL.rush")
    parser.add_argument("--graph", action="store_true", help="print every operator")
    parser.add_argument("--verify", action="store_true", help="check the hash of every tensor too")


def run(args: argparse.Namespace) -> int:
    program = read_program(args.model, verify=args.verify)
    print(f"file        {args.model}, {args.model.stat().st_size:,} bytes")
    print(f"hashes      program{' and tensors' if args.verify else ''} verified")
    for name, graph in program.methods.items():
        print(f"\nmethod      {name}")
        print("\n".join(_describe(graph)))
    if program.packing is not None:
        print(f"\npacked      for {', '.join(program.packing.targets)}; layout {program.packing.layout[:12]}")
    if program.provenance:
        print(f"\nprovenance\n{json.dumps(program.provenance, indent=2)}")
    if args.graph:
        print(f"\n{program}")
    else:
        print(f"\n{_operators(program)}")
    return 0


def _describe(graph: Graph) -> list[str]:
    constants = [backing(value.stored) for value in graph.constants() if value.stored is not None]
    lines = [f"  input     {value.name}: {value.type}" for value in graph.inputs]
    lines += [f"  state     {state.name}: {state.before.type}" for state in graph.states]
    lines += [f"  output    {name}: {value.type}" for name, value in graph.outputs]
    for name, limits in graph.symbols.items():
        lines.append(f"  dimension {name}: {limits.low} to {'any' if limits.high is None else limits.high}")
    elements, size = sum(array.size for array in constants), sum(array.nbytes for array in constants)
    lines.append(f"  constants {len(constants)} with {elements:,} elements, {size:,} bytes")
    return lines


def _operators(program: Program) -> str:
    counts = Counter(name for graph in program.methods.values() for name in _names(graph))
    return format_table(["operator", "count"], [[name, str(count)] for name, count in counts.most_common()])


def _names(graph: Graph) -> list[str]:
    names = []
    for node in graph.nodes:
        names.append(node.op.name)
        for attr in node.attrs.values():
            if isinstance(attr, Graph):
                names += _names(attr)
    return names
