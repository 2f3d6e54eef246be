"""Quantization made integer: ``dequantize -> operator -> quantize`` becomes one integer operator.

The graph in the file says what is meant (float operators between quantize and dequantize nodes); this pass finds the
chains that integer kernels compute, with the arithmetic that `runtime.ops.integer` defines: exact int32 sums, one
float32 multiply-add in the epilogue, round half to even, saturate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..ir import Graph, Node, Value, constant, make_node
from ..ops import get
from .affine import lower_affine, scaled_quantize
from .early_quantize import quantize_early
from .lookup import lookup_table
from .quantized import (
    Quantized,
    Reader,
    clamp_range,
    column_parameters,
    is_activation,
    is_by_column,
    is_clamp,
    is_move,
    is_same,
    parameters,
    weight,
)


def lower_quant(graph: Graph) -> bool:
    """Rewrites `graph` in place. True if anything changed."""
    if not any(node.op.name == "dequantize" for node in graph.nodes):
        return False
    quantize_early(graph)
    _Lower(graph).run()
    graph.prune()
    return True


class _Lower:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.reader = Reader(graph)
        self.replaced: dict[Value, Value] = {}
        self.nodes: list[Node] = []

    def run(self) -> None:
        rules: Mapping[str, Callable[[Node, Node], Node | None]] = {
            "conv2d": self.matrix,
            "linear": self.matrix,
            "add": self.add,
            "mul": self.mul,
            "max_pool2d": self.max_pool,
            "avg_pool2d": self.average,
            "mean": self.average,
            "scaled_dot_product_attention": self.attention,
            "window_attention": self.attention,
        }
        # Integer nodes stand where the quantize node stood: all that they read is produced by then.
        for node in self.graph.nodes:
            new = None
            if node.op.name == "quantize" and is_activation(node):
                start = self.reader.chain_start(node)
                if start is not None:
                    rule = rules.get(start.op.name)
                    new = rule(start, node) if rule else None
                    if new is None:
                        new = lower_affine(start, node, self.reader)
                    if new is None:
                        new = lookup_table(node, self.reader) or self.requantize_move(start, node)
                else:
                    new = lookup_table(node, self.reader)
                if new is None:
                    new = scaled_quantize(node, self.reader)
            elif is_by_column(node):
                start = node.inputs[0].producer if node.inputs[0] is not None else None
                new = self.matrix(start, node) if start is not None and start.op.name == "linear" else None
            elif node.op.name in ("conv2d", "linear"):
                new = self.float_output(node)
            if new is None:
                self.nodes.append(node)
            else:
                new.output.name = node.output.name
                self.nodes.append(new)
                self.replaced[node.output] = new.output
        self.graph.nodes = self.nodes
        self.graph.replace_many(self.replaced)

    def matrix(self, start: Node, quantize: Node) -> Node | None:
        """conv2d and linear whose result is quantized, perhaps after a residual addition absorbed elsewhere."""
        if start.op.name not in ("conv2d", "linear") or not self.reader.is_private(start.output):
            return None
        bounds = (0, 255) if is_by_column(quantize) else clamp_range(quantize, start)
        return self.integer_matrix(start, quantize, bounds, None) if bounds else None

    def integer_matrix(
        self, node: Node, quantize: Node, bounds: tuple[int, int], residual: Quantized | None
    ) -> Node | None:
        """`quantize(node(x, w, b) [+ residual])` as an integer operator."""
        x = self.reader.quantized(node.inputs[0])
        kernel = weight(node.inputs[1])
        bias = node.inputs[2]
        own_residual = node.inputs[3]
        if x is None or kernel is None or own_residual is not None or node.attrs["activation"] != "none":
            return None
        if bias is not None and not bias.is_constant:
            return None
        scale_out, zero_out = column_parameters(quantize)
        w, w_scale = kernel
        b = np.zeros(len(w)) if bias is None or bias.data is None else bias.data.astype(np.float64)
        scale = x.scale * w_scale / scale_out
        offset = b / scale_out + zero_out
        attrs: dict[str, Any] = {
            "x_zero_point": x.zero_point,
            "qmin": bounds[0],
            "qmax": bounds[1],
            "out_dtype": "uint8",
        }
        inputs: list[Value | None] = [x.q, constant(w, f"{_name(node.inputs[1])}.int8")]
        if residual is not None:
            attrs["residual_scale"] = float(residual.scale / scale_out)
            offset = offset - residual.zero_point * (residual.scale / scale_out)
        inputs += [constant(scale.astype(np.float32), "scale"), constant(offset.astype(np.float32), "bias")]
        inputs.append(residual.q if residual is not None else None)
        return make_node(f"q{node.op.name}", inputs, {**self.geometry(node), **attrs}, node.name)

    def geometry(self, node: Node) -> dict[str, Any]:
        names = ("stride", "padding", "dilation", "groups", "layout")
        return {name: node.attrs[name] for name in names if name in node.attrs}

    def float_output(self, node: Node) -> Node | None:
        """conv2d and linear on integers whose result stays float (the last layer): float32 out, activation included."""
        x = self.reader.quantized(node.inputs[0])
        kernel = weight(node.inputs[1])
        bias, residual = node.inputs[2], node.inputs[3]
        if x is None or kernel is None or residual is not None or (bias is not None and not bias.is_constant):
            return None
        if self.feeds_integer(node):
            return None
        w, w_scale = kernel
        b = np.zeros(len(w)) if bias is None or bias.data is None else bias.data
        inputs = [
            x.q,
            constant(w, f"{_name(node.inputs[1])}.int8"),
            constant((x.scale * w_scale).astype(np.float32), "scale"),
            constant(b.astype(np.float32), "bias"),
            None,
        ]
        activation = {name: node.attrs[name] for name in ("activation", "alpha", "beta")}
        attrs = {**self.geometry(node), **activation, "x_zero_point": x.zero_point, "out_dtype": "float32"}
        return make_node(f"q{node.op.name}", inputs, attrs, node.name)

    def feeds_integer(self, node: Node) -> bool:
        """Whether every reader of `node` will absorb it into an integer operator of its own."""
        readers = self.reader.users.get(node.output, [])
        if node.output in self.reader.kept or not readers:
            return False
        for reader in readers:
            if is_by_column(reader) and node.op.name == "linear":
                continue
            while is_clamp(reader) and len(self.reader.users.get(reader.output, ())) == 1:
                (reader,) = self.reader.users[reader.output]
            if reader.op.name == "quantize" and is_activation(reader):
                continue
            if reader.op.name == "add" and len(readers) == 1 and self.absorbs(reader, node):
                continue
            return False
        return len(readers) == 1

    def absorbs(self, add: Node, node: Node) -> bool:
        """Whether `add` (of `node` and a quantized value) is quantized, so that it becomes `node`'s residual."""
        other = add.inputs[1] if add.inputs[0] is node.output else add.inputs[0]
        if other is None or self.reader.quantized(other) is None or other.type != node.output.type:
            return False
        if add.inputs[1] is node.output and add.inputs[0] is not None:
            first = add.inputs[0].producer
            if first is not None and first.op.name in ("conv2d", "linear"):
                return False
        reader = add
        while len(self.reader.users.get(reader.output, ())) == 1 and reader.output not in self.reader.kept:
            (reader,) = self.reader.users[reader.output]
            if reader.op.name == "quantize":
                return is_activation(reader)
            if not is_clamp(reader):
                return False
        return False

    def add(self, start: Node, quantize: Node) -> Node | None:
        """a + b: a residual of the matrix operator that makes one of them, or an addition of two quantized values."""
        bounds = clamp_range(quantize, start)
        if bounds is None or not self.reader.is_private(start.output):
            return None
        left, right = start.inputs
        for matrix, other in ((left, right), (right, left)):
            producer = matrix.producer if matrix is not None else None
            residual = self.reader.quantized(other)
            if producer is None or other is None or residual is None or matrix is None:
                continue
            if (
                producer.op.name in ("conv2d", "linear")
                and self.reader.is_private(matrix)
                and other.type == matrix.type
            ):
                node = self.integer_matrix(producer, quantize, bounds, residual)
                if node is not None:
                    return node
        a, b = self.reader.quantized(left), self.reader.quantized(right)
        if a is None or b is None:
            return None
        scale, zero_point = parameters(quantize)
        a_scale, b_scale = a.scale / scale, b.scale / scale
        attrs = {
            "a_scale": a_scale,
            "b_scale": b_scale,
            "offset": zero_point - a.zero_point * a_scale - b.zero_point * b_scale,
            "qmin": bounds[0],
            "qmax": bounds[1],
        }
        return make_node("qadd", [a.q, b.q], attrs, start.name)

    def mul(self, start: Node, quantize: Node) -> Node | None:
        bounds = clamp_range(quantize, start)
        a, b = self.reader.quantized(start.inputs[0]), self.reader.quantized(start.inputs[1])
        if bounds is None or a is None or b is None:
            return None
        scale, zero_point = parameters(quantize)
        attrs = {
            "a_zero_point": a.zero_point,
            "b_zero_point": b.zero_point,
            "scale": a.scale * b.scale / scale,
            "offset": float(zero_point),
            "qmin": bounds[0],
            "qmax": bounds[1],
        }
        return make_node("qmul", [a.q, b.q], attrs, start.name)

    def attention(self, start: Node, quantize: Node) -> Node | None:
        """Attention of quantized q, k and v. Masks stay float."""
        q, k, v = (self.reader.quantized(value) for value in start.inputs[:3])
        bounds = clamp_range(quantize, start)
        width = start.inputs[0].shape[-1] if start.inputs[0] is not None else 0
        if q is None or k is None or v is None or bounds is None or not self.reader.is_private(start.output):
            return None
        if not isinstance(width, int):
            return None
        scale_out, zero_out = parameters(quantize)
        attrs = {name: value for name, value in start.attrs.items() if name != "scale"}
        factor = width**-0.5 if start.attrs["scale"] is None else start.attrs["scale"]
        attrs |= {
            "q_zero_point": q.zero_point,
            "k_zero_point": k.zero_point,
            "v_zero_point": v.zero_point,
            "score_scale": factor * q.scale * k.scale,
            "scale": v.scale / scale_out,
            "offset": float(zero_out),
            "qmin": bounds[0],
            "qmax": bounds[1],
        }
        name = "qattention" if start.op.name == "scaled_dot_product_attention" else "qwindow_attention"
        try:
            return make_node(name, [q.q, k.q, v.q, *start.inputs[3:]], attrs, start.name)
        except ShapeError:  # sums that int32 may not hold
            return None

    def max_pool(self, start: Node, quantize: Node) -> Node | None:
        """max commutes with the monotonic dequantization, where the quantization is unchanged."""
        x = self.reader.quantized(start.inputs[0])
        if x is None or clamp_range(quantize, start) != (0, 255) or not is_same(x, quantize):
            return None
        return make_node(start.op, [x.q], start.attrs, start.name)

    def average(self, start: Node, quantize: Node) -> Node | None:
        x = self.reader.quantized(start.inputs[0])
        bounds = clamp_range(quantize, start)
        if x is None or bounds is None:
            return None
        scale, zero_point = parameters(quantize)
        attrs = {
            "x_zero_point": x.zero_point,
            "scale": x.scale / scale,
            "offset": float(zero_point),
            "qmin": bounds[0],
            "qmax": bounds[1],
        }
        known = {k: v for k, v in start.attrs.items() if k in _attrs_of(f"q{start.op.name}")}
        try:
            return make_node(f"q{start.op.name}", [x.q], {**known, **attrs}, start.name)
        except ShapeError:  # sums that int32 may not hold
            return None

    def requantize_move(self, start: Node, quantize: Node) -> Node | None:
        """Operators that only move elements run on the integers, where the quantization is unchanged."""
        if not is_move(start) or clamp_range(quantize, start) != (0, 255):
            return None
        parts = [self.reader.quantized(value) for value in start.inputs]
        if any(part is None or not is_same(part, quantize) for part in parts):
            return None
        return make_node(start.op, [part.q for part in parts if part is not None], start.attrs, start.name)


def _attrs_of(op: str) -> set[str]:
    return set(get(op).attrs)


def _name(value: Value | None) -> str:
    return value.name if value is not None else ""
