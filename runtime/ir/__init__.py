"""The intermediate representation: graphs, how to build, check and print them."""

from .builder import GraphBuilder
from .graph import Graph, Node, State, SymbolRange, Value, constant, make_node
from .printer import print_graph
from .verifier import check_bytes, verify

__all__ = [
    "Graph",
    "GraphBuilder",
    "Node",
    "State",
    "SymbolRange",
    "Value",
    "check_bytes",
    "constant",
    "make_node",
    "print_graph",
    "verify",
]
