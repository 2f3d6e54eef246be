"""Shape arithmetic at import: operators on tensors of known dimensions are computed, not emitted.

Each function is named like the ONNX operator and maps object arrays (int, Dim, bool, and Fraction where a graph
computes sizes in floats) to an object array. `Unknown`: the result cannot be known, and the operator is emitted.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from rushlight.exporter.bounds import is_at_least
from rushlight.exporter.emitter import Emitter, ShapeTensor, Term
from rushlight.exporter.onnx.elements import Scaled, Unknown, add, compare, divide, modulo, multiply, truncate
from rushlight.exporter.onnx.model import OnnxNode, dtype_of
from rushlight.runtime.errors import ShapeError
from rushlight.runtime.ops import Array
from rushlight.runtime.types import Dim, product

_Evaluate: TypeAlias = Callable[[Emitter, OnnxNode, list[Any]], Any]


def evaluate(b: Emitter, node: OnnxNode) -> tuple[Term, ...] | None:
    """The outputs of a node that computes with dimensions, else None."""
    if node.domain or not any(isinstance(term, ShapeTensor) for term in node.inputs):
        return None
    rule = _RULES.get(node.op)
    if rule is None:
        return None
    arrays: list[Any] = []
    for term in node.inputs:
        elements = None if term is None else b.elements(term)
        if term is not None and elements is None:
            return None
        arrays.append(elements)
    try:
        result = rule(b, node, arrays)
    except Unknown:
        return None
    results = result if isinstance(result, tuple) else (result,)
    return tuple(_term(b, node, np.asarray(x, dtype=object)) for x in results)


def _term(b: Emitter, node: OnnxNode, elements: Array) -> Term:
    dtype = _result_dtype(node)
    if any(isinstance(element, (Dim, Scaled)) for element in elements.reshape(-1)):
        return ShapeTensor(elements, dtype)
    plain = [float(x) if isinstance(x, Fraction) else x for x in elements.reshape(-1)]
    return b.constant(np.array(plain, dtype=dtype).reshape(elements.shape))


def _result_dtype(node: OnnxNode) -> np.dtype[Any]:
    if node.op == "Cast":
        return dtype_of(node.attr("to"))
    if node.op in ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Not", "And", "Or"):
        return np.dtype(bool)
    if node.op == "Where":
        return node.input(1).type.dtype
    if node.op in ("Size", "Shape"):
        return np.dtype(np.int64)
    return node.input(0).type.dtype


def _is_float(node: OnnxNode) -> bool:
    return node.input(0).type.dtype.kind == "f"


def _each(function: Callable[..., Any], *arrays: Any) -> Array:
    shape = np.broadcast_shapes(*(a.shape for a in arrays))
    parts = [np.broadcast_to(a, shape).reshape(-1) for a in arrays]
    out = np.empty(len(parts[0]), dtype=object)
    for index, items in enumerate(zip(*parts, strict=True)):
        out[index] = function(*items)
    return out.reshape(shape)


def Add(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(lambda p, q: add(p, q, 1), *x)


def Sub(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(lambda p, q: add(p, q, -1), *x)


def Mul(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(multiply, *x)


def Div(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(lambda p, q: divide(p, q, _is_float(n)), *x)


def Mod(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(modulo, *x)


def Neg(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(lambda p: -1 * p, x[0])


def Floor(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(lambda p: p.floor() if isinstance(p, Scaled) else p, x[0])


def Ceil(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(lambda p: p.ceil() if isinstance(p, Scaled) else p, x[0])


def Cast(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    kind = dtype_of(n.attr("to")).kind
    if kind == "b":
        raise Unknown

    def convert(element: Any) -> Any:
        if kind == "f":
            return element
        return element.floor() if isinstance(element, Scaled) else truncate(element)

    return _each(convert, x[0])


def _decide(test: Callable[[int], bool]) -> _Evaluate:
    def rule(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
        def one(p: Any, q: Any) -> bool:
            order = compare(b, p, q)
            if order is None:
                raise Unknown
            return test(order)

        return _each(one, *x)

    return rule


def _extreme(sign: int) -> _Evaluate:
    def rule(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
        def one(p: Any, q: Any) -> Any:
            for a, c in ((p, q), (q, p)):
                if isinstance(a, Dim) or isinstance(c, Dim):
                    difference = (a - c) * sign
                    if is_at_least(difference, 0, b.ranges):
                        return a
                elif (a - c) * sign >= 0:
                    return a
            raise Unknown

        out = x[0]
        for other in x[1:]:
            out = _each(one, out, other)
        return out

    return rule


def Not(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(lambda p: not p, x[0])


def And(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(lambda p, q: bool(p and q), *x)


def Or(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return _each(lambda p, q: bool(p or q), *x)


def Where(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    if any(not isinstance(c, bool) for c in x[0].reshape(-1)):
        raise Unknown
    return _each(lambda c, p, q: p if c else q, *x)


def Identity(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return x[0]


def Size(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return np.asarray(x[0].size, dtype=object)


def Shape(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return np.array(x[0].shape[n.attr("start", 0) : n.attr("end", None)], dtype=object)


def Gather(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    if any(isinstance(i, Dim) for i in x[1].reshape(-1)):
        raise Unknown
    try:
        return np.take(x[0], x[1].astype(np.int64), axis=n.attr("axis", 0))
    except IndexError:
        raise ShapeError(f"index out of range of {x[0].shape}") from None


def Concat(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return np.concatenate(x, axis=n.attr("axis", 0))


def _axes(n: OnnxNode, x: list[Any]) -> list[int] | None:
    axes: list[int] | None = n.attr("axes")
    if axes is None and len(x) > 1 and x[1] is not None:
        axes = [int(a) for a in x[1].reshape(-1)]
    return axes


def Unsqueeze(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return np.expand_dims(x[0], tuple(_axes(n, x) or ()))


def Squeeze(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    axes = _axes(n, x)
    return np.squeeze(x[0], None if axes is None else tuple(axes))


def Reshape(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    if any(isinstance(d, Dim) for d in x[1].reshape(-1)):
        raise Unknown
    shape = [int(d) for d in x[1].reshape(-1)]
    if not n.attr("allowzero", 0):
        shape = [x[0].shape[i] if d == 0 else d for i, d in enumerate(shape)]
    return x[0].reshape(shape)


def Flatten(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    axis = n.attr("axis", 1)
    return x[0].reshape(int(np.prod(x[0].shape[:axis])), -1)


def Transpose(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    return np.transpose(x[0], n.attr("perm"))


def Slice(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    def part(index: int, name: str) -> list[int] | None:
        given = n.attr(name)
        if given is None and len(x) > index and x[index] is not None:
            given = x[index].reshape(-1).tolist()
        if given is not None and any(isinstance(item, Dim) for item in given):
            raise Unknown
        return None if given is None else [int(item) for item in given]

    starts, ends = part(1, "starts"), part(2, "ends")
    if starts is None or ends is None:
        raise Unknown
    axes = part(3, "axes") or list(range(len(starts)))
    steps = part(4, "steps") or [1] * len(starts)
    index = [slice(None)] * x[0].ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        stop = None if step < 0 and end < -x[0].shape[axis] else end
        index[axis] = slice(start, stop, step)
    return x[0][tuple(index)]


def Split(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    axis = n.attr("axis", 0)
    sizes = n.attr("split")
    if sizes is None and len(x) > 1 and x[1] is not None:
        sizes = x[1].tolist()
    if sizes is None:
        sizes = [-(-x[0].shape[axis] // len(n.outputs))] * len(n.outputs)
    return tuple(np.split(x[0], np.cumsum(sizes)[:-1], axis=axis))


def ReduceProd(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    axes = _axes(n, x)
    if x[0].ndim != 1 or (axes is not None and [a % 1 for a in axes] != [0]):
        raise Unknown
    if any(not isinstance(item, (int, Dim)) for item in x[0]):
        raise Unknown
    total = product(x[0].tolist())
    return np.array([total] if n.attr("keepdims", 1) else total, dtype=object)


def ReduceSum(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    axes = _axes(n, x)
    if x[0].ndim != 1 or (not axes and n.attr("noop_with_empty_axes", 0)):
        raise Unknown
    total: Any = 0
    for item in x[0]:
        total = add(total, item, 1)
    return np.array([total] if n.attr("keepdims", 1) else total, dtype=object)


def Expand(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    if any(isinstance(d, Dim) for d in x[1]):
        raise Unknown
    shape = tuple(int(d) for d in x[1])
    return np.broadcast_to(x[0], np.broadcast_shapes(x[0].shape, shape))


def Tile(b: Emitter, n: OnnxNode, x: list[Any]) -> Any:
    if any(isinstance(d, Dim) for d in x[1]):
        raise Unknown
    return np.tile(x[0], [int(d) for d in x[1]])


_RULES: dict[str, _Evaluate] = {
    rule.__name__: rule
    for rule in (
        *(Add, Sub, Mul, Div, Mod, Neg, Floor, Ceil, Cast, Not, And, Or, Where, Identity, Size, Shape, Gather, Concat),
        *(Unsqueeze, Squeeze, Reshape, Flatten, Transpose, Slice, Split, ReduceProd, ReduceSum, Expand, Tile),
    )
}
_RULES |= {
    "Equal": _decide(lambda order: order == 0),
    "Less": _decide(lambda order: order < 0),
    "LessOrEqual": _decide(lambda order: order <= 0),
    "Greater": _decide(lambda order: order > 0),
    "GreaterOrEqual": _decide(lambda order: order >= 0),
    "Max": _extreme(1),
    "Min": _extreme(-1),
}
