"""Calls of attention's kernels, on floats and on bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params

from .harness import Array, fenced


def run_attention(
    row: Any, family: str, q: Array, k: Array, v: Array, mask: Array | None, causal: bool, rows_first: bool,
    threads: int, chunk: int, **own: Any,
) -> Array:  # fmt: skip
    """Attention of [b, h, l, d] operands; with `rows_first` they lie in memory as [b, l, h, d]. The result has the
    dtype of q. Nothing around the operands may be written."""
    (b, hq, lq, d), (_, hk, lk, dv) = q.shape, v.shape
    unwritten = np.nan if q.dtype == np.float32 else 0x5A
    operands: dict[str, Array] = {"q": q, "k": k, "v": v, "out": np.full((b, hq, lq, dv), unwritten, q.dtype)}
    params: dict[str, Any] = {
        "images": b, "q_heads": hq, "kv_heads": hk, "lq": lq, "lk": lk, "d": d, "dv": dv, "mask_stride": (),
        "bias_stride": (), "windows": 1, "mask_is_bool": 0, "is_causal": int(causal), **own,
    }  # fmt: skip
    for name, array in operands.items():
        _, h, length, width = array.shape
        params[f"{name}_stride"] = (h * length * width, length * width, width)
        if rows_first:
            params[f"{name}_stride"] = (length * h * width, width, h * width)
            operands[name] = np.ascontiguousarray(array.transpose(0, 2, 1, 3))
    if mask is not None:
        steps = [
            0 if n == 1 else s // mask.itemsize
            for n, s in zip(mask.shape, np.empty(mask.shape, mask.dtype).strides, strict=True)
        ]
        params["mask_stride"] = (steps[0], 0, *steps[1:])
        params["mask_is_bool"] = int(mask.dtype == np.bool_)
        operands["mask"] = mask
    memory = {name: fenced(array) for name, array in operands.items()}
    order = ("q", "k", "v", "mask", "bias", "rows", "out")
    views = [memory[name][0].reshape(-1).view(np.uint8) if name in memory else None for name in order]
    _core.run_kernel(row.symbol, pack_params(family, **params), views, threads, chunk)
    assert all((before == 0xA5).all() for _, before in memory.values())
    result = np.array(memory["out"][0])
    return result.transpose(0, 2, 1, 3) if rows_first else result


def random_mask(shape: tuple[int, ...], kind: str) -> Array:
    """Of "f32" or "bool"; no key is left for query 3, where each query has a mask of its own."""
    rng = np.random.default_rng(5)
    mask: Array = rng.random(shape) < 0.6
    if shape[2] > 1:
        mask[..., 3, :] = False
    return np.where(mask, rng.standard_normal(shape, np.float32), np.float32(-np.inf)) if kind == "f32" else mask
