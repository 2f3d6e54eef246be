"""Activations that convolutions and matrix products apply to their own result, by name.

The meaning of each is the unary operator's; this table says which one, and which of its attributes the two fused
parameters `alpha` and `beta` are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .opdef import Array, Attr, get

if TYPE_CHECKING:
    from ..ir.builder import GraphBuilder
    from ..ir.graph import Value


@dataclass(frozen=True)
class Activation:
    """The unary operator behind a name: `parameters` maps its attributes to "alpha" or "beta", `fixed` to a value."""

    op: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation("relu"),
    "clamp": Activation("clamp", {"min": "alpha", "max": "beta"}),
    "sigmoid": Activation("sigmoid"),
    "tanh": Activation("tanh"),
    "silu": Activation("silu"),
    "gelu": Activation("gelu", fixed={"approximate": "none"}),
    "gelu_tanh": Activation("gelu", fixed={"approximate": "tanh"}),
    "hardswish": Activation("hardswish"),
    "hardsigmoid": Activation("hardsigmoid"),
    "leaky_relu": Activation("leaky_relu", {"negative_slope": "alpha"}),
    "elu": Activation("elu", {"alpha": "alpha"}),
    "mish": Activation("mish"),
    "softplus": Activation("softplus"),
}
"""Every activation but "none"."""

ACTIVATION_ATTRS: Mapping[str, Attr] = {
    "activation": Attr("str", "none", "applied to the result", choices=("none", *ACTIVATIONS)),
    "alpha": Attr("float", 0.0, "lower bound of clamp, slope of leaky_relu, scale of elu"),
    "beta": Attr("float", 0.0, "upper bound of clamp"),
}
"""The attributes of an operator with a fused activation."""


def _attrs(activation: str, alpha: float, beta: float) -> dict[str, Any]:
    entry = ACTIVATIONS[activation]
    given = {"alpha": alpha, "beta": beta}
    return {**entry.fixed, **{attr: given[source] for attr, source in entry.parameters.items()}}


def activate(x: Array, activation: str, alpha: float = 0.0, beta: float = 0.0) -> Array:
    """The reference of the activation; `x` itself for "none"."""
    if activation == "none":
        return x
    definition = get(ACTIVATIONS[activation].op)
    (out,) = definition.run_reference([x], definition.complete_attrs(_attrs(activation, alpha, beta)))
    return out


def build_activation(builder: GraphBuilder, x: Value, activation: str, alpha: float = 0.0, beta: float = 0.0) -> Value:
    """The activation as a node of its own; `x` itself for "none"."""
    if activation == "none":
        return x
    (out,) = builder.add_node(ACTIVATIONS[activation].op, [x], _attrs(activation, alpha, beta))
    return out


def match_activation(op: str, attrs: Mapping[str, Any]) -> dict[str, Any] | None:
    """`activation`, `alpha`, `beta` that mean the unary operator with these complete attributes; None if none does."""
    for name, entry in ACTIVATIONS.items():
        if entry.op != op or any(attrs[attr] != value for attr, value in entry.fixed.items()):
            continue
        found = {"activation": name, "alpha": 0.0, "beta": 0.0}
        for attr, target in entry.parameters.items():
            value = attrs[attr]
            if value is None:
                value = float("-inf") if attr == "min" else float("inf")
            found[target] = value
        return found
    return None
