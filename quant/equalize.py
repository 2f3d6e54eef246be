"""Equalization: channels of normalized values made alike before they are quantized, their weights the other way round.

A transformer's layer norms make a few channels far larger than the others, which one step size for all of them has to
cover; weights have a step size for every output, so that they can take in part of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rushlight.runtime.ir import Graph, Node, Value, constant, make_node
from rushlight.runtime.ops import Array

MIGRATION = 0.7
"""How much of the difference between channels goes into the weights, from 0 to 1."""

NORMS = ("layer_norm", "rms_norm")


def equalize(graph: Graph, peaks: Mapping[Value, Array]) -> bool:
    """Rewrites `graph` in place, given the largest magnitude of every channel of what linear layers read.

    What a norm makes for linear layers is multiplied by factors in front of them. True if there was any.
    """
    users = graph.users()
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.append(node)
        value = node.outputs[0]
        readers = [user for user in users.get(value, ()) if _takes(user, value)]
        if node.op.name in NORMS and readers and value in peaks:
            factors = _factors(peaks[value], readers)
            name = value.name or "norm"
            scaled = make_node("mul", [value, constant((1 / factors).astype(np.float32), f"{name}.factors")])
            scaled.output.name = f"{name}.equalized"
            nodes.append(scaled)
            for reader in readers:
                reader.inputs[0] = scaled.output
                reader.inputs[1] = _scaled(reader.inputs[1], factors)
    changed = len(nodes) > len(graph.nodes)
    graph.nodes = nodes
    return changed


def _takes(node: Node, value: Value) -> bool:
    weight = node.inputs[1] if node.op.name == "linear" else None
    return weight is not None and weight.data is not None and node.inputs[0] is value and node.inputs[3] is not value


def _factors(peak: Array, readers: list[Node]) -> Array:
    """float64 [channels], their geometric mean 1; 1 for channels that are never used."""
    reach = np.zeros(len(peak))
    for reader in readers:
        weight = reader.inputs[1]
        assert weight is not None
        assert weight.data is not None
        reach = np.maximum(reach, np.abs(weight.data).max(0, initial=0.0))
    used = (peak > 0) & (reach > 0)
    logs = np.zeros(len(peak))
    logs[used] = MIGRATION * np.log(peak[used]) - (1 - MIGRATION) * np.log(reach[used])
    if used.any():
        logs[used] -= logs[used].mean()
    return np.asarray(np.exp(np.clip(logs, -20, 20)))


def _scaled(weight: Value | None, factors: Array) -> Value:
    assert weight is not None
    assert weight.data is not None
    return constant((weight.data * factors).astype(np.float32), weight.name)
