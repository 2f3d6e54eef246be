"""Fused activations as the kernels' parameters have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..plan.lowering import Param

KINDS = ("none", "relu", "clamp", "sigmoid", "tanh", "silu", "gelu", "gelu_tanh", "hardsigmoid", "hardswish",
         "leaky_relu", "elu", "mish", "softplus")  # fmt: skip
"""The order of `Activation` in kernels/vec/activation_kind.h."""


def activation_params(attrs: Mapping[str, Any]) -> dict[str, Param]:
    """Parameters `activation`, `alpha` and `beta` from an operator's attributes of these names."""
    return {
        "activation": KINDS.index(attrs["activation"]),
        "alpha": attrs.get("alpha", 0.0),
        "beta": attrs.get("beta", 0.0),
    }
