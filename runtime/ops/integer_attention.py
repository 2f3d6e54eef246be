"""Attention on quantized values. The arithmetic is part of the definition.

Sums of products are exact. Weights are 255 times the exponentials, rounded to whole numbers before they are divided by
their sum, so that the weights of a row that sees all keys alike lose nothing. Keys whose weight is below 1/510 of the
row's largest count for nothing: where very many together would weigh much, the result is far from that of floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..types import TensorType
from .attention import ROWS_FIRST, attention_cases, infer_attention, infer_windows, repeat_heads, window_cases
from .fma import fma
from .opdef import Array, Attr, Case, define
from .requantize import RANGE, check_bytes, check_range, check_uint8, to_uint8
from .samples import sample

MAX_WIDTH = (2**31 - 1) // 255**2
"""Products of two differences of uint8 whose sum is sure to fit int32."""

KEY_BLOCK = 2**15
"""Keys over which weighted values are summed in int32; sums of several such blocks are added in float32."""

_LOG2_E = np.float32(1.4426950408889634)
_POWER = tuple(np.float32(float.fromhex(c)) for c in ("0x1.619304p+7", "0x1.ee1c42p+5", "0x1.c0df74p+3"))
"""255 (2^r - 1) / r in r, lowest power first, for |r| <= 1/2."""

QUANTIZATION = {
    "q_zero_point": Attr("int", doc="value of q that stands for 0"),
    "k_zero_point": Attr("int", doc="value of k that stands for 0"),
    "v_zero_point": Attr("int", doc="value of v that stands for 0"),
    "score_scale": Attr("float", doc="factor of the products of q and k"),
    "scale": Attr("float", doc="factor of the weighted values"),
    "offset": Attr("float", doc="what is added to them"),
    **RANGE,
}
"""Attributes that say what bytes stand for, which kernels take as they are."""


def _check(
    q: TensorType, k: TensorType, v: TensorType, zero_points: Mapping[str, int], qmin: int, qmax: int
) -> tuple[TensorType, TensorType, TensorType]:
    """q, k and v as the floats that they stand for."""
    check_uint8(q=q, k=k, v=v)
    check_bytes(**zero_points)
    check_range(qmin, qmax)
    width = q.shape[-1] if q.rank else 0
    if not isinstance(width, int) or width > MAX_WIDTH:
        raise ShapeError(f"sums of {width} products may not fit into int32 (at most {MAX_WIDTH})")
    return q.with_dtype("float32"), k.with_dtype("float32"), v.with_dtype("float32")


def _infer(
    q: TensorType,
    k: TensorType,
    v: TensorType,
    mask: TensorType | None = None,
    *,
    is_causal: bool,
    enable_gqa: bool,
    rows_first: bool,
    qmin: int,
    qmax: int,
    score_scale: float,
    scale: float,
    offset: float,
    **zero_points: int,
) -> TensorType:
    floats = _check(q, k, v, zero_points, qmin, qmax)
    out = infer_attention(
        *floats, mask, scale=score_scale, is_causal=is_causal, enable_gqa=enable_gqa, rows_first=rows_first
    )
    return out.with_dtype("uint8")


def exp2_in_255ths(x: Array) -> Array:
    """``255 * 2**x`` of float32 up to 0, by the kernels' sequence of operations; below -16, and for NaN, as for -16."""
    magic = np.float32(1.5 * 2**23 + 127)
    x = np.where(x > -16, x, np.float32(-16))
    shifted = x + magic
    r = x - (shifted - magic)
    inner = fma(fma(_POWER[2], r, _POWER[1]), r, _POWER[0])
    power = np.left_shift(np.ascontiguousarray(shifted).view(np.int32), 23).view(np.float32)
    return np.asarray(fma(r, inner, np.float32(255)) * power)


def _attend(
    q: Array,
    k: Array,
    v: Array,
    addends: Sequence[Array],
    keep: Sequence[Array],
    *,
    q_zero_point: int,
    k_zero_point: int,
    v_zero_point: int,
    score_scale: float,
    scale: float,
    offset: float,
    qmin: int,
    qmax: int,
) -> Array:
    """Of [B, H, L, D]. Products of whole numbers are exact in float64."""
    zero_points = (q_zero_point, k_zero_point, v_zero_point)
    q, k, v = (x.astype(np.float64) - zero for x, zero in zip((q, k, v), zero_points, strict=True))
    k, v = (repeat_heads(x, q.shape[1]) for x in (k, v))
    scores = (q @ k.swapaxes(-1, -2)).astype(np.float32) * np.float32(score_scale)
    for addend in addends:
        scores = scores + addend
    for seen in keep:
        scores = np.where(seen, scores, np.float32(-np.inf))
    peak = np.fmax.reduce(scores, axis=-1, keepdims=True, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        weights = np.rint(exp2_in_255ths((scores - np.where(np.isneginf(peak), np.float32(0), peak)) * _LOG2_E))
    total = weights.sum(-1, keepdims=True, dtype=np.float64)
    factor = np.float32(scale) / np.where(total == 0, 1, total).astype(np.float32)
    sums = np.zeros((*q.shape[:3], v.shape[3]), np.float32)
    for start in range(0, k.shape[2], KEY_BLOCK):
        block = slice(start, start + KEY_BLOCK)
        sums = sums + (weights[..., block].astype(np.float64) @ v[:, :, block]).astype(np.float32)
    return to_uint8(fma(sums, factor, np.float32(offset)), qmin, qmax)


def _reference(
    q: Array,
    k: Array,
    v: Array,
    mask: Array | None = None,
    *,
    is_causal: bool,
    enable_gqa: bool,
    rows_first: bool,
    **quantization: Any,
) -> Array:
    if rows_first:
        q, k, v = (x.transpose(ROWS_FIRST) for x in (q, k, v))
    addends = [] if mask is None or mask.dtype.kind == "b" else [mask]
    keep = [] if mask is None or addends else [mask]
    if is_causal:
        keep.append(np.tril(np.ones((q.shape[2], k.shape[2]), bool)))
    out = _attend(q, k, v, addends, keep, **quantization)
    return out.transpose(ROWS_FIRST) if rows_first else out


def _quantized(case: Case, seed: int) -> Case:
    """A case of the float operator with q, k and v as bytes."""
    attrs = {name: value for name, value in case.attrs.items() if name != "scale"}
    values = [sample(x.shape, np.uint8, 0, 256, seed + i) for i, x in enumerate(case.inputs[:3]) if x is not None]
    quantization = {
        "q_zero_point": 131,
        "k_zero_point": 97,
        "v_zero_point": 140,
        "score_scale": 1.5 / (5400 * values[0].shape[-1] ** 0.5),
        "scale": 1.25,
        "offset": 121.0,
    }
    return Case((*values, *case.inputs[3:]), {**attrs, **quantization})


def _cases() -> Iterator[Case]:
    for seed, case in enumerate(attention_cases()):
        yield _quantized(case, 3 * seed)
    narrow = _quantized(next(attention_cases()), 50)
    limits = {"q_zero_point": 0, "k_zero_point": 255, "v_zero_point": 0, "scale": 3.0, "qmin": 30, "qmax": 200}
    yield Case(narrow.inputs, {**narrow.attrs, **limits})
    yield Case(narrow.inputs, {**narrow.attrs, "score_scale": 0.01})


qattention = define(
    "qattention",
    family="integer",
    inputs=("q", "k", "v", "mask?"),
    attrs={
        "is_causal": Attr("bool", False, "query i sees keys 0 to i"),
        "enable_gqa": Attr("bool", False, "neighbouring heads of q share a head of k and v"),
        "rows_first": Attr("bool", False, "q, k, v and the result are [B, L, H, D]"),
        **QUANTIZATION,
    },
    infer=_infer,
    reference=_reference,
    cases=_cases,
    doc="Attention of uint8 q, k and v [B, H, L, D]: w = rint(255 exp(s - max(s))) with s = sum((q - q_zero_point) "
    "(k - k_zero_point)) score_scale + mask, then v = fma(sum(w (v - v_zero_point)), scale / sum(w), offset).",
    tolerance=0.0,
)


def _infer_windows(
    q: TensorType,
    k: TensorType,
    v: TensorType,
    rows: TensorType,
    bias: TensorType | None = None,
    mask: TensorType | None = None,
    *,
    qmin: int,
    qmax: int,
    score_scale: float,
    scale: float,
    offset: float,
    **zero_points: int,
) -> TensorType:
    floats = _check(q, k, v, zero_points, qmin, qmax)
    return infer_windows(*floats, rows, bias, mask, scale=score_scale).with_dtype("uint8")


def _window_reference(
    q: Array,
    k: Array,
    v: Array,
    rows: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    **quantization: Any,
) -> Array:
    out = np.zeros((*q.shape[:3], v.shape[3]), np.uint8)
    for window, chosen in enumerate(rows):
        addends = [] if bias is None else [bias]
        if mask is not None:
            addends.append(mask[window if len(mask) > 1 else 0])
        own_q, own_k, own_v = (x[:, chosen].transpose(ROWS_FIRST) for x in (q, k, v))
        out[:, chosen] = _attend(own_q, own_k, own_v, addends, [], **quantization).transpose(ROWS_FIRST)
    return out


def _window_cases() -> Iterator[Case]:
    for seed, case in enumerate(window_cases()):
        yield _quantized(case, 100 + 3 * seed)


qwindow_attention = define(
    "qwindow_attention",
    family="integer",
    inputs=("q", "k", "v", "rows", "bias?", "mask?"),
    attrs=QUANTIZATION,
    infer=_infer_windows,
    reference=_window_reference,
    cases=_window_cases,
    doc="Attention of uint8 q, k and v [B, T, H, D] among the rows of each window, as of window_attention, in the "
    "arithmetic of qattention; bias, then mask, are added to the scores.",
    tolerance=0.0,
)
