"""From the graph in the file to the graph that a backend plans: the one list of passes that run at load."""

from __future__ import annotations

from ..ir import Graph, verify
from ..passes import canonicalize, clean, fuse_epilogues
from ..passes.channels import fold_channels, fold_half_channels
from ..passes.channels_last import channels_last
from ..passes.decompose import decompose
from ..passes.fold import fold_constants
from ..passes.joins import reuse_joins
from ..passes.lower_quant import lower_quant
from ..passes.simplify import simplify
from .lowering import Backend, has_kernel

MAX_ROUNDS = 8
"""Decompositions of decompositions end long before this."""


def prepare(graph: Graph, backend: Backend) -> Graph:
    """A new graph for `backend`: integer where quantized, fused, channels last, without operators that it
    lacks a kernel for, where they have a decomposition."""
    out = graph.clone()
    canonicalize(out)
    fold_half_channels(out)
    if lower_quant(out):
        fold_constants(out, kept=())
    fuse_epilogues(out)
    channels_last(out)
    simplify(out)
    fold_channels(out)  # what permutations stood between
    fuse_epilogues(out)
    for _ in range(MAX_ROUNDS):
        if not decompose(out, lambda node: has_kernel(node, backend)):
            break
        clean(out)
        fuse_epilogues(out)
        channels_last(out)
        simplify(out)
    reuse_joins(out)
    verify(out)
    return out
