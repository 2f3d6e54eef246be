"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rushlight.exporter.emitter import Emitter
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value


def _spread(values: Any, rank: int) -> list[int]:
    given = list(values) if isinstance(values, (list, tuple)) else [values]
    return given * rank if len(given) == 1 else given


def _convolve(
    b: Emitter, rank: int, x: Value, weight: Value, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Value:
    kernel = weight.type.static_shape()[2:]
    stride, dilation = _spread(stride, rank), _spread(dilation, rank)
    if isinstance(padding, str):
        total = [d * (k - 1) if padding == "same" else 0 for k, d in zip(kernel, dilation, strict=True)]
        pads = [p // 2 for p in total] + [p - p // 2 for p in total]
    else:
        pads = _spread(padding, rank) * 2
    batched = x.type.rank == rank + 2
    x = x if batched else b.reshape(x, (1, *x.shape))
    attrs = {"stride": stride, "padding": pads, "dilation": dilation, "groups": groups}
    out = b.add_node(f"conv{rank}d", [x, weight, bias], attrs)[0]
    return out if batched else b.reshape(out, out.shape[1:])


def conv1d(
    b: Emitter,
    x: Value,
    w: Value,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    return _convolve(b, 1, x, w, bias, stride, padding, dilation, groups)


def conv2d(
    b: Emitter,
    x: Value,
    w: Value,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    return _convolve(b, 2, x, w, bias, stride, padding, dilation, groups)


def conv3d(
    b: Emitter,
    x: Value,
    w: Value,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    return _convolve(b, 3, x, w, bias, stride, padding, dilation, groups)


def _transposed(
    b: Emitter,
    rank: int,
    x: Value,
    w: Value,
    bias: Any,
    stride: Any,
    padding: Any,
    extra: Any,
    groups: int,
    dilation: Any,
) -> Value:
    if rank > 2:
        raise UnsupportedError(f"with {rank} spatial axes")
    attrs = {
        "stride": _spread(stride, rank),
        "padding": _spread(padding, rank) * 2,
        "output_padding": _spread(extra, rank),
        "dilation": _spread(dilation, rank),
        "groups": groups,
    }
    return b.add_node(f"conv_transpose{rank}d", [x, w, bias], attrs)[0]


def conv_transpose1d(
    b: Emitter,
    x: Value,
    w: Value,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Value:
    return _transposed(b, 1, x, w, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    b: Emitter,
    x: Value,
    w: Value,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Value:
    return _transposed(b, 2, x, w, bias, stride, padding, output_padding, groups, dilation)


def convolution(
    b: Emitter,
    x: Value,
    w: Value,
    bias: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Value:
    rank = w.type.rank - 2
    if transposed:
        return _transposed(b, rank, x, w, bias, stride, padding, output_padding, groups, dilation)
    return _convolve(b, rank, x, w, bias, stride, padding, dilation, groups)
