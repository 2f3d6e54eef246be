"""Tables for 8-bit functions: a chain of pointwise operators between two uint8 values has 256 answers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..ir import Node, constant, make_node
from ..ops import Array
from .quantized import Reader, is_activation


def lookup_table(quantize: Node, reader: Reader) -> Node | None:
    """The chain that ends in `quantize` as one `qlut` node, its table computed by the references; None where the chain
    does not begin at a uint8 value, or has other readers."""
    chain: list[Node] = [quantize]
    value = quantize.inputs[0]
    while value is not None and value.dtype != np.uint8:
        node = value.producer
        shared = not reader.is_private(value) and not (node is not None and node.op.name == "dequantize")
        if node is None or shared or not is_pointwise(node):
            return None
        chain.append(node)
        value = node.inputs[0]
    if value is None or value.is_constant or value.type.shape != quantize.output.type.shape:
        return None
    return make_node("qlut", [value, constant(answers(chain[::-1]), "table")], {}, quantize.name)


def answers(chain: Iterable[Node]) -> Array:
    """What a chain of pointwise nodes, the first one reading uint8, makes of 0 ... 255."""
    result: Array = np.arange(256, dtype=np.uint8)
    for node in chain:
        rest = [None if v is None or v.data is None else v.data.reshape(-1)[0] for v in node.inputs[1:]]
        with np.errstate(all="ignore"):  # answers for bytes that never occur may overflow
            (result,) = node.op.run_reference([result, *rest], node.attrs)
        result = result.astype(node.output.dtype)
    return result


def is_pointwise(node: Node) -> bool:
    """Whether a node maps each element of its first input by itself, its other inputs being single constants."""
    if node.op.family in ("unary", "cast"):
        return True
    if node.op.name == "dequantize":
        return is_activation(node)
    if node.op.family != "binary" or node.inputs[0] is None or node.inputs[0].is_constant:
        return False
    return all(value is not None and value.stored is not None and value.stored.size == 1 for value in node.inputs[1:])
