"""Pools."""

from __future__ import annotations

from typing import Any

from rushlight.exporter.emitter import Emitter
from rushlight.exporter.onnx.model import OnnxNode
from rushlight.exporter.onnx.windows import lift, lift_pads, lower, padding
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value


def MaxPool(b: Emitter, n: OnnxNode) -> Any:
    if len(n.outputs) > 1:
        raise UnsupportedError("with indices")
    return _pool(b, n, "max_pool2d", {})


def AveragePool(b: Emitter, n: OnnxNode) -> Any:
    if any(d != 1 for d in n.attr("dilations", [])):
        raise UnsupportedError("with dilation")
    return _pool(b, n, "avg_pool2d", {"count_include_pad": bool(n.attr("count_include_pad", 0))})


def _pool(b: Emitter, n: OnnxNode, op: str, attrs: dict[str, Any]) -> Value:
    x = b.constant(n.input(0))
    kernel = list(n.attr("kernel_shape"))
    rank = len(kernel)
    if rank not in (1, 2):
        raise UnsupportedError(f"over {rank} spatial axes")
    stride = list(n.attr("strides", [1] * rank))
    dilation = list(n.attr("dilations", [1] * rank))
    pads = padding(n, x.shape[2:], kernel, stride, dilation)
    attrs = {**attrs, "ceil_mode": bool(n.attr("ceil_mode", 0))}
    if rank == 1:
        kernel, stride, dilation, pads = [1, *kernel], [1, *stride], [1, *dilation], list(lift_pads(pads))
    if op == "max_pool2d":
        attrs["dilation"] = dilation
    attrs |= {"kernel_size": kernel, "stride": stride, "padding": pads}
    if rank == 1:
        return lower(b, b.add_node(op, [lift(b, x)], attrs)[0])
    return b.add_node(op, [x], attrs)[0]


def GlobalAveragePool(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    if x.type.rank == 4:
        return b.adaptive_avg_pool2d(x, output_size=(1, 1))
    return b.mean(x, dim=tuple(range(2, x.type.rank)), keepdim=True)


def GlobalMaxPool(b: Emitter, n: OnnxNode) -> Any:
    x = b.constant(n.input(0))
    return b.amax(x, dim=tuple(range(2, x.type.rank)), keepdim=True)
