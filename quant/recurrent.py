"""Recurrences with int8 weights, where the model comes out as close to the float one."""

from __future__ import annotations

import numpy as np

from rushlight.runtime.ir import Graph, constant, make_node
from rushlight.runtime.ops.integer_rnn import levels_for

from .calibrate import Run, sqnr
from .insert import quantize_weight

GAP = 10.0
"""How far, in dB, the noise of rounded recurrences must lie below that of the rest of the quantized model ..."""

ENOUGH = 40.0
"""... unless the ratio of signal to noise is as high as this with nothing else rounded."""

RECURRENCES = ("lstm_scan", "gru_scan")


def round_recurrences(graph: Graph, original: Graph, runs: list[Run], ratio: float | None) -> list[str]:
    """Gives recurrences of a quantized graph int8 weights, in place, where `runs` of the `original` do not show it.

    `ratio`: that of signal to noise of `graph`. Each recurrence is rounded in the float graph alone, where its noise is
    not lost in that of the layers after it. Returns the names of the weights.
    """
    enough = ENOUGH if ratio is None else min(ENOUGH, ratio + GAP)
    names: list[str] = []
    rounded = original.clone()
    for here, there in zip(_recurrences(graph), _recurrences(original), strict=True):
        trial = rounded.clone()
        name = _round(trial, there)
        found = sqnr(trial, runs)
        if found is None or found >= enough:
            _round(graph, here)
            names.append(name)
            rounded = trial
    return names


def _recurrences(graph: Graph) -> list[int]:
    """Where recurrences stand whose weights may be rounded."""
    found: list[int] = []
    for i, node in enumerate(graph.nodes):
        if node.op.name in RECURRENCES:
            weight = node.inputs[node.op.inputs.index("w_hh")]
            if weight is not None and weight.data is not None and weight.dtype == np.float32:
                found.append(i)
    return found


def _round(graph: Graph, index: int) -> str:
    """Replaces a recurrence by the one on int8 weights, symmetric per row. Returns the weights' name."""
    node = graph.nodes[index]
    inputs = list(node.inputs)
    at = node.op.inputs.index("w_hh")
    weight = inputs[at]
    assert weight is not None
    assert weight.data is not None
    directions, outputs, hidden = weight.data.shape
    q, scale = quantize_weight(weight.data.reshape(-1, hidden))
    levels = levels_for(hidden)
    inputs[at : at + 1] = [
        constant(q.reshape(weight.data.shape), f"{weight.name}.int8"),
        constant((scale / np.float32(levels)).reshape(directions, outputs), f"{weight.name}.scale"),
    ]
    new = make_node(f"q{node.op.name}", inputs, {**node.attrs, "levels": levels}, node.name)
    for old, out in zip(node.outputs, new.outputs, strict=True):
        out.name = old.name
    graph.nodes[index] = new
    graph.replace_many(dict(zip(node.outputs, new.outputs, strict=True)))
    return weight.name
