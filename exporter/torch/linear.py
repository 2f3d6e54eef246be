"""Products with matrices, attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rushlight.exporter.einsum import einsum as contract
from rushlight.exporter.emitter import Emitter
from rushlight.exporter.torch.elementwise import add, mul
from rushlight.exporter.torch.reduce import sum_
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import product


def linear(b: Emitter, x: Value, weight: Value, bias: Any = None) -> Value:
    return b.linear(x, weight, bias)  # type: ignore[no-any-return]


def matmul(b: Emitter, x: Value, y: Value) -> Value:
    if y.is_constant and y.type.rank == 2 and not x.is_constant and x.dtype.kind == "f":
        return b.linear(x, b.permute(y, (1, 0)))  # type: ignore[no-any-return]
    return b.matmul(x, y)  # type: ignore[no-any-return]


def mm(b: Emitter, x: Value, y: Value) -> Value:
    return matmul(b, x, y)


def bmm(b: Emitter, x: Value, y: Value) -> Value:
    return b.matmul(x, y)  # type: ignore[no-any-return]


def mv(b: Emitter, x: Value, y: Value) -> Value:
    return b.matmul(x, y)  # type: ignore[no-any-return]


def dot(b: Emitter, x: Value, y: Value) -> Value:
    return b.matmul(x, y)  # type: ignore[no-any-return]


def outer(b: Emitter, x: Value, y: Value) -> Value:
    return mul(b, b.reshape(x, (x.shape[0], 1)), y)


def addmm(b: Emitter, x: Value, y: Value, z: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    if beta == 1 and alpha == 1 and z.is_constant and x.shape == z.shape[1:]:
        return b.linear(y, b.permute(z, (1, 0)), x)  # type: ignore[no-any-return]
    scaled = x if beta == 1 else mul(b, x, beta)
    return add(b, scaled, matmul(b, y, z), alpha=alpha)


def baddbmm(b: Emitter, x: Value, y: Value, z: Value, *, beta: float = 1, alpha: float = 1) -> Value:
    product_ = add(b, mul(b, x, beta) if beta != 1 else x, b.matmul(y, z), alpha=alpha)
    return b.matmul(y, z) if beta == 0 and alpha == 1 else product_


def einsum(b: Emitter, equation: str, operands: Sequence[Value], *, path: Any = None) -> Value:
    return contract(b, equation, list(operands))


def linalg_vecdot(b: Emitter, x: Value, y: Value, *, dim: int = -1) -> Value:
    return sum_(b, mul(b, x, y), dim)


def scaled_dot_product_attention(
    b: Emitter,
    q: Value,
    k: Value,
    v: Value,
    mask: Value | None = None,
    dropout: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Value:
    if dropout > 0:
        raise UnsupportedError("in training mode")
    lead = q.shape[:-2]
    heads = [x if x.type.rank == 4 else _four_axes(b, x) for x in (q, k, v)]
    if mask is not None and q.type.rank != 4:
        mask = _four_axes(b, mask) if mask.type.rank > 2 else mask
    attrs = {"is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}
    out = b.add_node("scaled_dot_product_attention", [*heads, mask], attrs)[0]
    return b.reshape(out, (*lead, *out.shape[-2:]))


def _four_axes(b: Emitter, x: Value) -> Value:
    if x.type.rank == 2:
        return b.reshape(x, (1, 1, *x.shape))
    return b.reshape(x, (product(x.shape[:-3]), *x.shape[-3:]))
