"""Bias correction: what rounding its weights adds to a layer's results on average is taken off its bias."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from rushlight.runtime.ir import Node, Value, constant
from rushlight.runtime.ops import Array
from rushlight.runtime.ops.windows import channel_axis

from .insert import quantize_weight


def input_axes(nodes: Iterable[Node]) -> dict[Value, int]:
    """What matrix operators read, and the axis of its channels."""
    axes: dict[Value, int] = {}
    for node in nodes:
        x = node.inputs[0]
        assert x is not None
        axes[x] = x.type.rank - 1 if node.op.name == "linear" else channel_axis(4, node.attrs["layout"])
    return axes


def corrected_biases(nodes: Iterable[Node], means: Mapping[Value, Array]) -> dict[Value, Value]:
    """The biases that matrix operators, named by their results, should have with rounded weights.

    `means` holds the mean of every channel of what they read. Padding counts as if it were the mean.
    """
    found: dict[Value, Value] = {}
    for node in nodes:
        x, weight, bias = node.inputs[:3]
        assert x is not None
        assert weight is not None
        assert weight.data is not None
        q, scale = quantize_weight(weight.data)
        outputs, depth = q.shape[:2]
        lost = (
            weight.data.reshape(outputs, depth, -1)
            - q.reshape(outputs, depth, -1) * scale.astype(np.float64)[:, None, None]
        )
        groups = node.attrs.get("groups", 1)
        mean = means[x].reshape(groups, depth)
        shift = np.einsum("gok,gk->go", lost.sum(2).reshape(groups, outputs // groups, depth), mean).reshape(-1)
        before = np.zeros(outputs) if bias is None or bias.data is None else bias.data
        name = bias.name if bias is not None else f"{weight.name or 'weight'}.bias"
        found[node.outputs[0]] = constant((before + shift).astype(np.float32), name)
    return found
