"""The intermediate representation: graphs, how to build, check and print them."""

from .builder import GraphBuilder
from .graph import Graph, Node, State, SymbolRange, Value, constant, make_node, rearranged
from .lazy import HALVES, Computed, Half, Lazy, backing, dense, halve
from .printer import print_graph
from .verifier import check_bytes, verify

__all__ = [
    "HALVES",
    "Computed",
    "Graph",
    "GraphBuilder",
    "Half",
    "Lazy",
    "Node",
    "State",
    "SymbolRange",
    "Value",
    "backing",
    "check_bytes",
    "constant",
    "dense",
    "halve",
    "make_node",
    "print_graph",
    "rearranged",
    "verify",
]
