"""Constants, and tensors made of sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter, ShapeTensor, Term
from rushlight.exporter.onnx.model import OnnxNode
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.types import Dim


def Constant(b: Emitter, n: OnnxNode) -> Term:
    for name, value in n.attrs.items():
        match name:
            case "value":
                return b.constant(value, b.hint)
            case "value_float" | "value_floats":
                return b.constant(np.asarray(value, np.float32), b.hint)
            case "value_int" | "value_ints":
                return b.constant(np.asarray(value, np.int64), b.hint)
    raise UnsupportedError(f"of kind {', '.join(n.attrs)}")


def ConstantOfShape(b: Emitter, n: OnnxNode) -> Any:
    shape = b.dims(n.input(0), "the shape")
    value = n.attr("value", np.zeros(1, np.float32)).reshape(-1)[0]
    if len(shape) <= 1 and not any(isinstance(dim, Dim) for dim in shape):
        return b.constant(np.full([int(dim) for dim in shape], value), b.hint)  # type: ignore[arg-type]
    if value.dtype.kind in "iu" and abs(int(value)) > 2**53:
        raise UnsupportedError(f"the value {value}")
    return b.full(shape=shape, value=float(value), dtype=value.dtype.name)


def Shape(b: Emitter, n: OnnxNode) -> Term:
    dims = n.input(0).type.shape[n.attr("start", 0) : n.attr("end", None)]
    return _known(b, np.array(dims, dtype=object))


def Size(b: Emitter, n: OnnxNode) -> Term:
    return _known(b, np.asarray(n.input(0).type.size, dtype=object))


def _known(b: Emitter, elements: Any) -> Term:
    if any(isinstance(element, Dim) for element in elements.reshape(-1)):
        return ShapeTensor(elements)
    return b.constant(elements.astype(np.int64))


def Range(b: Emitter, n: OnnxNode) -> Any:
    start, end, step = (b.elements(n.input(i)) for i in range(3))
    if start is None or end is None or step is None:
        raise UnsupportedError("the limits depend on data")
    limits = [array.reshape(-1)[0] for array in (start, end, step)]
    dtype = n.input(0).type.dtype
    if not any(isinstance(limit, Dim) for limit in limits):
        first, last, by = (np.asarray(limit, dtype) for limit in limits)
        count = max(0, int(np.ceil((last - first) / by)))
        return b.constant((first + np.arange(count) * by).astype(dtype))
    if isinstance(limits[2], Dim) or any(isinstance(limit, float) and not limit.is_integer() for limit in limits):
        raise UnsupportedError(f"the limits {limits}")
    bounds = [limit if isinstance(limit, Dim) else int(limit) for limit in limits]
    return b.arange(bounds=bounds, dtype=dtype.name)
