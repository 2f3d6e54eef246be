"""Graph to graph. A pass is a function that changes a graph in place and says whether it did."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..ir import Graph
from .activations import match_activations
from .attention import match_attention
from .channels import fold_channels
from .decompose import decompose
from .fold import fold_constants
from .fuse import fuse_layers
from .halves import widen_halves
from .norms import match_norms
from .products import match_linear
from .simplify import merge_equal, simplify
from .windows import match_windows

Pass: TypeAlias = Callable[[Graph], bool]

CLEANUP: tuple[Pass, ...] = (fold_constants, simplify, merge_equal)
"""Makes graphs smaller, at any time."""

CANONICAL: tuple[Pass, ...] = (
    *CLEANUP,
    match_activations,
    match_norms,
    match_attention,
    match_linear,
    match_windows,
    fold_channels,
)
"""What does not depend on a target, in order: patterns come before the folding that would take them apart."""

MAX_ROUNDS = 32
"""Bound of the search for a fixpoint; real models need three to six rounds."""


def canonicalize(graph: Graph) -> bool:
    """Brings `graph` and its sub-graphs to the form that other passes expect. True if anything changed."""
    widened = widen_halves(graph)
    return _run(graph, CANONICAL) | widened


def clean(graph: Graph) -> bool:
    """`canonicalize` without patterns: what has been decomposed stays decomposed. True if anything changed."""
    return _run(graph, CLEANUP)


def fuse_epilogues(graph: Graph) -> bool:
    """Moves residual sums and activations into layers; last of all, as later patterns would not see through it."""
    return _run(graph, (fuse_layers,))


def _run(graph: Graph, passes: tuple[Pass, ...]) -> bool:
    changed = False
    for _ in range(MAX_ROUNDS):
        again = False
        for step in passes:
            again |= step(graph)
        if not again:
            break
        changed = True
    for node in graph.nodes:
        for attr in node.attrs.values():
            if isinstance(attr, Graph):
                changed |= _run(attr, passes)
    return changed | graph.prune()


__all__ = ["CANONICAL", "Pass", "canonicalize", "clean", "decompose", "fuse_epilogues"]
