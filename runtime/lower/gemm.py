"""Linear layers and matrix products on the gemm kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..ir import Half, Lazy, Node, Value
from ..ops import Array
from ..plan.bands import ImageRows
from ..plan.lowering import KernelRow, Lowering, Operand, Param, Rule, short_dtype
from ..types import DimLike, floordiv, product
from .activation import activation_params

NEUTRAL: Mapping[str, Param] = {
    "batch": (1, 1), "images": 1, "oh": 1, "ow": 1, "ih": 1, "iw": 1, "kh": 1, "kw": 1, "sh": 1, "sw": 1, "ph": 0,
    "pw": 0, "dh": 1, "dw": 1, "src_batch": (0, 0), "src_image": 0, "src_row": 0, "src_pixel": 0, "dst_batch": (0, 0),
    "residual_batch": (0, 0), "residual_row": 0, "weight_batch": (0, 0), "bias_batch": (0, 0), "weights": 1,
    "weight_is_kn": 0, "src_zero_point": 0, "residual_scale": 0.0, "panel_columns": 0, "tile_rows": 0,
}  # fmt: skip
"""One product of one row; what it lacks (n, k, dst_row, activation) every call has to say."""


HALF_NAMES: Mapping[str, str] = {"float16": "f16", "bfloat16": "bf16"}
"""The kernel tables' names of 16-bit formats."""


def epilogue_params(attrs: Mapping[str, Any], out: Value) -> dict[str, Param]:
    """Activation, zero point and residual parameters from the attributes of a float or quantized operator."""
    params = activation_params(attrs)
    if "x_zero_point" in attrs:
        params |= {"src_zero_point": attrs["x_zero_point"], "residual_scale": attrs["residual_scale"]}
        if out.dtype == np.uint8:
            params |= activation_params({"activation": "clamp", "alpha": attrs["qmin"], "beta": attrs["qmax"]})
    return params


def emit_gemm(
    node: Node,
    lower: Lowering,
    row: KernelRow,
    weight: Operand,
    operands: Mapping[str, Operand],
    params: Mapping[str, Param],
    macs: DimLike,
    rows: ImageRows | None = None,
) -> None:
    """Emits the product; the residual's memory may become the result's where their types agree."""
    residual = operands.get("residual")
    shared = [(node.output, residual)] if isinstance(residual, Value) and residual.type == node.output.type else []
    compute = "f32" if row.types.startswith("f32") else "int8"
    every = {"weight": weight, "dst": node.output, **operands}
    lower.step(node, row, every, {**NEUTRAL, **params}, in_place=shared, macs=macs, compute=compute, rows=rows)


def epilogue_operands(node: Node) -> dict[str, Operand]:
    """The inputs after the weight, by the name of the kernel's operand."""
    names = [name.rstrip("?") for name in node.op.inputs]
    return {name: value for name, value in zip(names, node.inputs, strict=False) if name not in ("x", "weight")}


def find_gemm(lower: Lowering, x: Value, weight: Value, out: Value, nr: int | None = None) -> KernelRow | None:
    """The kernel for these operands, None where there is none. `nr`: of the row that packs the weight, if one does."""
    name = HALF_NAMES[weight.stored.format] if isinstance(weight.stored, Half) else short_dtype(weight.dtype)
    return lower.find("gemm", "gemm", short_dtype(x.dtype) + name + short_dtype(out.dtype), nr)


def gemm_weight(weight: Value) -> Array | Lazy:
    """What the kernel of `find_gemm` packs: halves as they are."""
    assert weight.stored is not None
    return weight.stored.bits if isinstance(weight.stored, Half) else weight.stored


def lower_linear(node: Node, lower: Lowering) -> bool:
    x, weight = node.inputs[:2]
    if x is None or weight is None or not weight.is_constant:
        return False
    row = find_gemm(lower, x, weight, node.output)
    if row is None:
        return False
    n, k = weight.shape
    m = product(x.shape[:-1])
    params = epilogue_params(node.attrs, node.output) | {
        "images": m, "n": n, "k": k, "src_image": k, "dst_row": n, "residual_row": n,
    }  # fmt: skip
    static = {**NEUTRAL, "n": n, "k": k, "src_zero_point": params.get("src_zero_point", 0)}
    packed = lower.packed(row, static, gemm_weight(weight))
    emit_gemm(node, lower, row, packed, {"src": x, **epilogue_operands(node)}, params, m * n * k)
    return True


def lower_matmul(node: Node, lower: Lowering) -> bool:
    a, b = node.inputs
    if a is None or b is None:
        return False
    pack = None if b.is_constant else lower.find("pack", "pack_b", "f32f32")
    row = find_gemm(lower, a, b, node.output, pack.nr if pack else None)
    if row is None:
        return False
    left = a.shape if a.type.rank > 1 else (1, *a.shape)
    right = b.shape if b.type.rank > 1 else (*b.shape, 1)
    m, k, n = left[-2], left[-1], right[-1]
    dims = _merge_batch(left[:-2], right[:-2])
    if b.is_constant and not (isinstance(k, int) and isinstance(n, int)):
        return False
    if len(dims) == 1 and dims[0].right == 0:  # one matrix for all rows
        m, dims = m * dims[0].size, []
    if len(dims) > 2:
        return False
    batch = [_BatchDim(1, 0, 0)] * (2 - len(dims)) + dims
    sizes = [d.size for d in batch]
    matrices = product(right[:-2])
    params: dict[str, Param] = {
        "batch": sizes, "images": m, "n": n, "k": k, "src_image": k, "dst_row": n,
        "src_batch": [d.left * m * k for d in batch], "dst_batch": [sizes[1] * m * n, m * n],
        "weight_batch": [d.right for d in batch], **activation_params({"activation": "none"}),
    }  # fmt: skip
    weight: Operand
    if b.is_constant:
        static = {**NEUTRAL, "n": n, "k": k, "weights": matrices, "weight_is_kn": 1}
        weight = lower.packed(row, static, gemm_weight(b))
    else:
        if pack is None:
            return False
        weight = lower.temporary(matrices * floordiv(n + 15, 16) * 64 * k)
        packing: dict[str, Param] = {
            "batch": [1, matrices], "n": n, "k": k, "src_batch": [0, k * n], "src_k": n, "src_n": 1,
        }  # fmt: skip
        lower.step(node, pack, {"src": b, "dst": weight}, packing)
    emit_gemm(node, lower, row, weight, {"src": a}, params, product(sizes) * m * n * k)
    return True


class _BatchDim:
    """A batch dimension of a product: its size, and what a step along it skips in matrices of each operand."""

    def __init__(self, size: DimLike, left: DimLike, right: DimLike) -> None:
        self.size, self.left, self.right = size, left, right


def _merge_batch(left: Sequence[DimLike], right: Sequence[DimLike]) -> list[_BatchDim]:
    """The broadcast batch dimensions, outermost first, neighbours merged where both operands allow it."""
    rank = max(len(left), len(right))
    left = (1,) * (rank - len(left)) + tuple(left)
    right = (1,) * (rank - len(right)) + tuple(right)
    merged: list[_BatchDim] = []
    step_left: DimLike = 1
    step_right: DimLike = 1
    for l_size, r_size in zip(reversed(left), reversed(right), strict=True):
        size = r_size if l_size == 1 else l_size
        dim = _BatchDim(size, 0 if l_size == 1 else step_left, 0 if r_size == 1 else step_right)
        step_left, step_right = step_left * l_size, step_right * r_size
        if size == 1:
            continue
        inner = merged[0] if merged else None
        if inner and dim.left == inner.left * inner.size and dim.right == inner.right * inner.size:
            merged[0] = _BatchDim(size * inner.size, inner.left, inner.right)
        else:
            merged.insert(0, dim)
    return merged


RULES: Mapping[str, Rule] = {"linear": lower_linear, "qlinear": lower_linear, "matmul": lower_matmul}
