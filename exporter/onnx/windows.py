"""Windows of convolutions and pools: explicit padding, and one spatial axis seen as two."""

from __future__ import annotations

from collections.abc import Sequence

from rushlight.exporter.emitter import Emitter
from rushlight.exporter.onnx.model import OnnxNode
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import DimLike


def padding(
    n: OnnxNode, size: Sequence[DimLike], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> list[int]:
    """Begins of all axes, then ends. Raises UnsupportedError where `auto_pad` depends on a dynamic size."""
    mode = n.attr("auto_pad", "NOTSET")
    rank = len(kernel)
    if mode in ("NOTSET", ""):
        return list(n.attr("pads", [0] * 2 * rank))
    if mode == "VALID":
        return [0] * 2 * rank
    begins, ends = [], []
    for extent, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        window = d * (k - 1) + 1
        if s == 1:
            total = window - 1
        elif isinstance(extent, int):
            total = max(0, (-(-extent // s) - 1) * s + window - extent)
        else:
            raise UnsupportedError(f"auto_pad {mode} with stride {s} over the dynamic size {extent}")
        small, large = total // 2, total - total // 2
        begins.append(small if mode == "SAME_UPPER" else large)
        ends.append(large if mode == "SAME_UPPER" else small)
    return begins + ends


def lift(b: Emitter, x: Value) -> Value:
    """[N, C, L] as [N, C, 1, L]."""
    return b.reshape(x, (*x.shape[:2], 1, x.shape[2]))


def lower(b: Emitter, x: Value) -> Value:
    """[N, C, 1, L] as [N, C, L]."""
    return b.reshape(x, (*x.shape[:2], x.shape[3]))


def lift_pads(pads: Sequence[int]) -> tuple[int, int, int, int]:
    """Padding of one axis as padding of two."""
    return (0, pads[0], 0, pads[1])
