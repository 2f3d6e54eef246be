"""A program as a JSON document and a table of tensors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import FormatError
from ..ir import Graph, Half, Node, Value
from ..ops import Array, Attr
from ..program import PackedMethod, Packing
from ..types import DTYPES, DimLike, TensorType
from .container import BFLOAT16, dtype_name
from .limits import FORMAT_VERSION, PACKED_PREFIX

_MAX_KEY = 200


class Encoder:
    """Collects what a file holds: `document` is the program, `tensors` are its arrays by key, equal ones once.

    `packing` comes after it, and adds tensors of its own."""

    def __init__(self) -> None:
        self.tensors: dict[str, Array] = {}
        self._prefix = ""
        self._digests: dict[str, str] = {}
        self._keys: dict[tuple[str, tuple[int, ...], str], str] = {}
        self._ops: dict[str, int] = {}

    def document(self, methods: Mapping[str, Graph]) -> dict[str, Any]:
        graphs = {name: self._graph(graph) for name, graph in methods.items()}
        return {
            "version": FORMAT_VERSION,
            "operators": dict(sorted(self._ops.items())),
            "tensors": self._table(self.tensors),
            "methods": graphs,
        }

    def packing(self, packing: Packing) -> dict[str, Any]:
        known = set(self.tensors)
        self._prefix, self._ops = PACKED_PREFIX, {}
        targets = {
            isa: {name: self._packed(method) for name, method in methods.items()}
            for isa, methods in packing.targets.items()
        }
        return {
            "layout": packing.layout,
            "operators": dict(sorted(self._ops.items())),
            "tensors": self._table(key for key in self.tensors if key not in known),
            "targets": targets,
        }

    def _packed(self, method: PackedMethod) -> dict[str, Any]:
        weights = [[w.symbol, w.params.hex(), self._tensor("", w.data)] for w in method.weights]
        return {"graph": self._graph(method.graph), "weights": weights}

    def _table(self, keys: Iterable[str]) -> dict[str, list[Any]]:
        return {
            key: [dtype_name(self.tensors[key].dtype), list(self.tensors[key].shape), self._digests[key]]
            for key in keys
        }

    def _graph(self, graph: Graph) -> dict[str, Any]:
        constants = graph.constants()
        values = [*graph.inputs, *(state.before for state in graph.states), *constants]
        ids = {value: index for index, value in enumerate(values)}
        nodes = []
        for node in graph.nodes:
            nodes.append(self._node(node, ids))
            for out in node.outputs:
                ids[out] = len(ids)
        return {
            "symbols": {name: [span.low, span.high] for name, span in graph.symbols.items()},
            "inputs": [_typed(value) for value in graph.inputs],
            "states": [
                [
                    state.name,
                    _typed(state.before),
                    None if state.initial is None else self._tensor(state.name, state.initial),
                    ids[state.after],
                ]
                for state in graph.states
            ],
            "constants": [self._constant(value) for value in constants],
            "nodes": nodes,
            "outputs": [[name, ids[value]] for name, value in graph.outputs],
        }

    def _constant(self, value: Value) -> list[str]:
        """The dtype stands in the row of a constant whose tensor has another one."""
        if not isinstance(value.stored, Half):
            return [value.name, self._tensor(value.name, value.data)]
        bits = value.stored.bits
        tensor = bits.view(BFLOAT16) if value.stored.format == "bfloat16" else bits
        return [value.name, self._tensor(value.name, tensor), value.dtype.name]

    def _node(self, node: Node, ids: Mapping[Value, int]) -> dict[str, Any]:
        self._ops[node.op.name] = node.op.version
        attrs = {name: self._attr(node.op.attrs[name], value) for name, value in node.attrs.items()}
        return {
            "op": node.op.name,
            "name": node.name,
            "inputs": [None if value is None else ids[value] for value in node.inputs],
            "attrs": attrs,
            "outputs": [_typed(value) for value in node.outputs],
        }

    def _attr(self, attr: Attr, value: Any) -> Any:
        if value is None:
            return None
        match attr.kind:
            case "graph":
                return self._graph(value)
            case "float":
                return _number(value)
            case "floats":
                return [_number(item) for item in value]
            case "ints" | "dims":
                return [_dim(item) for item in value]
        return value

    def _tensor(self, name: str, data: Any) -> str:
        array = np.asarray(data)
        if array.dtype.name not in DTYPES and array.dtype != BFLOAT16:
            raise FormatError(f"constant '{name}': dtype {array.dtype} cannot be stored")
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
        digest = hashlib.sha256(tensor_bytes(array)).hexdigest()
        same = (dtype_name(array.dtype), array.shape, digest)
        if same not in self._keys:
            key = self._key(name)
            self._keys[same] = key
            self.tensors[key] = array
            self._digests[key] = digest
        return self._keys[same]

    def _key(self, name: str) -> str:
        if self._prefix:
            return f"{self._prefix}{len(self.tensors)}"
        usable = name.isascii() and name.isprintable() and not name.startswith(("rushlight.", "__metadata__"))
        base = name[:_MAX_KEY] if name and usable else "constant"
        key, count = base, 0
        while key in self.tensors:
            count += 1
            key = f"{base}.{count}"
        return key


def tensor_bytes(array: Array) -> memoryview:
    """The bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8).data


def _typed(value: Value) -> list[Any]:
    return [value.name, *_type(value.type)]


def _type(type: TensorType) -> list[Any]:
    return [type.dtype.name, [_dim(dim) for dim in type.shape]]


def _dim(dim: DimLike) -> int | str:
    return dim if isinstance(dim, int) else str(dim)


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
