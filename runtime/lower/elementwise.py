"""Functions of single elements: unary, binary with broadcasting, where, casts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ir import Node, Value
from ..plan.bands import ImageRows, Part
from ..plan.lowering import Elements, Lowering, Param, Rule, short_dtype
from ..types import dense_strides, product
from .activation import activation_params
from .images import element_rows
from .strides import MAX_AXES, Loop, broadcast_loops, broadcast_strides, collapse

ALPHA = {"leaky_relu": "negative_slope", "elu": "alpha"}
"""Attributes that the unary kernels take as alpha."""


def lower_unary(node: Node, lower: Lowering) -> bool:
    (x,) = node.inputs
    assert x is not None
    types = short_dtype(x.dtype) + short_dtype(node.output.dtype)
    size, memory = x.type.size, [(node.output, x)]
    elements = Elements.of(x.shape, {"x": dense_strides(x.shape)})
    row = lower.find("unary", _kernel_name(node), types)
    if row is not None:
        params = {"n": size, **_function_params(node.op.name, node.attrs)}

        def banded(part: Part) -> Mapping[str, Param]:
            return {"n": part.images * part.rows * product(x.shape[2:])}

        rows = element_rows(["x"], [x], node.output, lower, banded)
        operands = {"x": x, "out": node.output}
        lower.step(node, row, operands, params, in_place=memory, rows=rows, elements=elements)
        return True
    row = lower.find("cast", node.op.name, types)
    if row is None:
        return False
    lower.step(node, row, {"x": x, "out": node.output}, {"n": size}, in_place=memory, elements=elements)
    return True


def _kernel_name(node: Node) -> str:
    return "gelu_tanh" if node.attrs.get("approximate") == "tanh" else node.op.name


def _function_params(name: str, attrs: Mapping[str, Any]) -> dict[str, Param]:
    if name == "clamp":
        low, high = attrs["min"], attrs["max"]
        return {"alpha": -np.inf if low is None else low, "beta": np.inf if high is None else high}
    return {"alpha": attrs[ALPHA[name]] if name in ALPHA else 0.0, "beta": 0.0}


def lower_broadcast(node: Node, lower: Lowering) -> bool:
    """An operator whose inputs broadcast to its output, by the kernel of its name."""
    values = [value for value in node.inputs if value is not None]
    family = node.op.name if node.op.name in ("fma", "where") else "binary"
    row = lower.find(family, node.op.name, "".join(short_dtype(v.dtype) for v in (*values, node.output)))
    if row is None:
        return False
    names = [name for name, _ in lower.backend.operand_names(family)]
    params = broadcast_params(values, node.output, names, lower)
    if params is None:
        return False
    if family == "fma":
        params |= activation_params(node.attrs)
    memory = [(node.output, value) for value in values if value.type == node.output.type]
    operands = [*(lower.view(value).operand for value in values), node.output]
    rows = broadcast_rows(values, node.output, names[:-1], lower)
    elements = broadcast_elements(values, node.output, names[:-1], lower)
    step = dict(zip(names, operands, strict=True))
    lower.step(node, row, step, params, in_place=memory, rows=rows, elements=elements)
    return True


def broadcast_params(
    values: Sequence[Value], out: Value, names: Sequence[str], lower: Lowering
) -> dict[str, Param] | None:
    """Parameters `rank`, `shape` and `<operand>_strides`; None where there are more axes than they have room for."""
    loops = broadcast_loops([(value.shape, lower.view(value).strides) for value in values], out.shape)
    return _loop_params(loops, names) if len(loops) <= MAX_AXES else None


def broadcast_elements(values: Sequence[Value], out: Value, names: Sequence[str], lower: Lowering) -> Elements:
    """Which elements of the operands a step with `broadcast_params` reads for one of its result."""
    strides = (broadcast_strides(value.shape, out.shape, lower.view(value).strides) for value in values)
    return Elements.of(out.shape, dict(zip(names, strides, strict=True)))


def broadcast_rows(values: Sequence[Value], out: Value, names: Sequence[str], lower: Lowering) -> ImageRows | None:
    """How a step with `broadcast_params` runs on some rows of images."""

    def banded(part: Part) -> Mapping[str, Param]:
        shape = (part.images, part.rows, *out.shape[2:])
        strides = [broadcast_strides(value.shape, out.shape, lower.view(value).strides) for value in values]
        loops = [Loop(size, [own[axis] for own in strides]) for axis, size in enumerate(shape)]
        return _loop_params(collapse(loops), names)

    return element_rows(names, values, out, lower, banded)


def _loop_params(loops: Sequence[Loop], names: Sequence[str]) -> dict[str, Param]:
    params: dict[str, Param] = {"rank": len(loops), "shape": [loop.size for loop in loops]}
    for index in range(len(loops[0].strides)):
        params[f"{names[index]}_strides"] = [loop.strides[index] for loop in loops]
    return params


RULES: Mapping[str, Rule] = {"unary": lower_unary, "cast": lower_unary, "binary": lower_broadcast}

ROW_READERS: Mapping[str, Sequence[str]] = {"binary": ("a", "b", "x", "weight", "condition", "scale", "offset")}
