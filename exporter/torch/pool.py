"""Pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rushlight.exporter.emitter import Emitter
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value


def _spread(values: Any, rank: int) -> list[int]:
    given = list(values) if isinstance(values, (list, tuple)) else [values]
    return given * rank if len(given) == 1 else given


def _pool(
    b: Emitter, op: str, rank: int, x: Value, kernel: Any, stride: Any, padding: Any, attrs: dict[str, Any]
) -> Value:
    kernel = _spread(kernel, rank)
    stride = _spread(stride, rank) if stride not in (None, [], ()) else kernel
    padding = _spread(padding, rank)
    if rank == 1:
        kernel, stride, padding = [1, *kernel], [1, *stride], [0, *padding]
    shape = x.shape
    planes = b.reshape(x, (*([1] if x.type.rank == rank + 1 else []), *shape[:-1], 1, shape[-1])) if rank == 1 else x
    if planes.type.rank == 3:
        planes = b.reshape(planes, (1, *planes.shape))
    attrs = {"kernel_size": kernel, "stride": stride, "padding": padding * 2, **attrs}
    out = b.add_node(op, [planes], attrs)[0]
    sizes = [out.shape[-1]] if rank == 1 else list(out.shape[-2:])
    return b.reshape(out, (*shape[:-rank], *sizes))


def max_pool1d(
    b: Emitter, x: Value, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Value:
    attrs = {"dilation": [1, *_spread(dilation, 1)], "ceil_mode": ceil_mode}
    return _pool(b, "max_pool2d", 1, x, kernel, stride, padding, attrs)


def max_pool2d(
    b: Emitter, x: Value, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Value:
    attrs = {"dilation": _spread(dilation, 2), "ceil_mode": ceil_mode}
    return _pool(b, "max_pool2d", 2, x, kernel, stride, padding, attrs)


def max_pool2d_with_indices(b: Emitter, x: Value, *args: Any) -> tuple[Value | None, ...]:
    """The values; a model that uses the indices is refused where it uses them."""
    return max_pool2d(b, x, *args), None


def _average(ceil_mode: bool, count_include_pad: bool) -> dict[str, Any]:
    return {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}


def avg_pool1d(
    b: Emitter,
    x: Value,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:
    return _pool(b, "avg_pool2d", 1, x, kernel, stride, padding, _average(ceil_mode, count_include_pad))


def avg_pool2d(
    b: Emitter,
    x: Value,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    if divisor_override is not None:
        raise UnsupportedError("with divisor_override")
    return _pool(b, "avg_pool2d", 2, x, kernel, stride, padding, _average(ceil_mode, count_include_pad))


def adaptive_avg_pool2d(b: Emitter, x: Value, size: Sequence[Any]) -> Value:
    wanted = [have if want is None else want for have, want in zip(x.shape[-2:], size, strict=True)]
    if wanted == list(x.shape[-2:]):
        return x
    batched = x if x.type.rank == 4 else b.reshape(x, (1, *x.shape))
    out = b.adaptive_avg_pool2d(batched, output_size=wanted)
    return out if x.type.rank == 4 else b.reshape(out, out.shape[1:])


def _adaptive_avg_pool2d(b: Emitter, x: Value, size: Sequence[Any]) -> Value:
    return adaptive_avg_pool2d(b, x, size)


def adaptive_avg_pool1d(b: Emitter, x: Value, size: Sequence[int]) -> Value:
    planes = b.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))
    out = adaptive_avg_pool2d(b, planes, [1, *size])
    return b.reshape(out, (*out.shape[:-2], out.shape[-1]))


def adaptive_max_pool2d(b: Emitter, x: Value, size: Sequence[int]) -> tuple[Value | None, ...]:
    if list(size) != [1, 1]:
        raise UnsupportedError(f"to {list(size)}")
    return b.amax(x, dim=(-2, -1), keepdim=True), None


def adaptive_max_pool1d(b: Emitter, x: Value, size: Sequence[int]) -> tuple[Value | None, ...]:
    if list(size) != [1]:
        raise UnsupportedError(f"to {list(size)}")
    return b.amax(x, dim=(-1,), keepdim=True), None
