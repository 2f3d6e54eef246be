"""Sliding windows over the spatial axes, as convolutions and pools share them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import ShapeError
from ..types import DimLike, floordiv
from .opdef import Array


def spatial_axes(rank: int, layout: str = "NCHW") -> tuple[int, ...]:
    """Axes of height, width, ... of a tensor with a batch and a channel axis."""
    return tuple(range(1, rank - 1)) if layout == "NHWC" else tuple(range(2, rank))


def channel_axis(rank: int, layout: str = "NCHW") -> int:
    return rank - 1 if layout == "NHWC" else 1


def to_channels_first(x: Array, layout: str) -> Array:
    return np.moveaxis(x, -1, 1) if layout == "NHWC" else x


def from_channels_first(x: Array, layout: str) -> Array:
    return np.moveaxis(x, 1, -1) if layout == "NHWC" else x


def check_windows(count: int, padding: Sequence[int], **positive: Sequence[int]) -> None:
    """Raises ShapeError unless each of `positive` has `count` entries >= 1 and `padding` twice as many >= 0."""
    for name, values in positive.items():
        if len(values) != count or any(v < 1 for v in values):
            raise ShapeError(f"{name} must be {count} positive numbers, not {tuple(values)}")
    if len(padding) != 2 * count or any(p < 0 for p in padding):
        raise ShapeError(f"padding must be {2 * count} numbers >= 0 (begins, then ends), not {tuple(padding)}")


def window_count(
    size: DimLike, kernel: int, stride: int, begin: int, end: int, dilation: int = 1, ceil_mode: bool = False
) -> DimLike:
    """How many windows fit along one axis. Raises ShapeError where a static axis has none.

    With `ceil_mode` the last window may hang over the end if it starts inside the input or the padding before it.
    """
    extent = dilation * (kernel - 1) + 1
    slack = max(0, min(extent - 1 - end, stride - 1)) if ceil_mode else 0
    count = floordiv(size + (begin + end - extent + slack), stride) + 1
    if isinstance(count, int) and count < 1:
        raise ShapeError(f"a window of {extent} does not fit into {size} + {begin} + {end}")
    return count


def pad_spatial(x: Array, padding: Sequence[int], value: float | int, overhang: Sequence[int] = ()) -> Array:
    """Pads the axes from 2 on by `padding` (begins, then ends), and by `overhang` more at the ends."""
    n = len(padding) // 2
    extra = overhang or (0,) * n
    widths = [(0, 0), (0, 0), *((padding[i], padding[n + i] + extra[i]) for i in range(n))]
    return np.pad(x, widths, constant_values=value)


def windows(
    x: Array, kernel: Sequence[int], stride: Sequence[int], dilation: Iterable[int], counts: Sequence[int]
) -> Array:
    """A view ``[N, C, *counts, *kernel]`` of padded ``x[N, C, *spatial]``."""
    steps = x.strides[2:]
    return np.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:2], *counts, *kernel),
        (
            *x.strides[:2],
            *(s * step for s, step in zip(stride, steps, strict=True)),
            *(d * step for d, step in zip(dilation, steps, strict=True)),
        ),
        writeable=False,
    )
