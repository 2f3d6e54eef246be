"""A program: what is exported, saved and loaded. Methods (graphs) and where they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from .errors import RushlightError
from .ir import Graph, print_graph, verify
from .ops import Array


@dataclass(frozen=True)
class PackedWeight:
    """A weight as the kernel `symbol` reads it with these parameters; uint8, at a 64-byte boundary."""

    symbol: str
    params: bytes
    data: Array


@dataclass(frozen=True)
class PackedMethod:
    """A method prepared for one instruction set: its graph, and the weights in the order in which its plan asks for
    them."""

    graph: Graph
    weights: Sequence[PackedWeight]


@dataclass(frozen=True)
class Packing:
    """Methods prepared for some instruction sets. `layout` names the kernels that can read the weights."""

    layout: str
    targets: Mapping[str, Mapping[str, PackedMethod]]


class Program:
    """Named methods, each a graph with its constants. `forward` is what a plain call runs.

    `provenance` is free JSON data about the origin: source hash, tool versions, quantization recipe and report.
    `packing`, if there is any, says the same once more, for a machine.
    """

    def __init__(
        self,
        methods: Mapping[str, Graph],
        provenance: Mapping[str, Any] | None = None,
        packing: Packing | None = None,
    ) -> None:
        if not methods:
            raise RushlightError("a program needs at least one method")
        self.methods = dict(methods)
        self.provenance: dict[str, Any] = dict(provenance or {})
        self.packing = packing
        for graph in self.methods.values():
            verify(graph)

    @property
    def main(self) -> str:
        """The name of the only method, or else `forward`, which there may not be."""
        return next(iter(self.methods)) if len(self.methods) == 1 else "forward"

    @property
    def graph(self) -> Graph:
        """The method `forward`, or the only one there is. Raises RushlightError where neither exists."""
        return self.method(self.main)

    def method(self, name: str) -> Graph:
        if name not in self.methods:
            raise RushlightError(f"no method '{name}'; there is {', '.join(sorted(self.methods))}")
        return self.methods[name]

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a `.rush` file, which appears whole or not at all (written beside it, then renamed)."""
        from .format import write_program

        write_program(self, path)

    def __str__(self) -> str:
        return "\n\n".join(print_graph(graph, name) for name, graph in self.methods.items())
