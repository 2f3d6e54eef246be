"""An ONNX file as plain data: nodes with Python attributes, initializers as arrays, and types of the inputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from rushlight.exporter.emitter import Term
from rushlight.runtime.errors import FormatError, UnsupportedError
from rushlight.runtime.ir import Half, halve
from rushlight.runtime.ops import Array
from rushlight.runtime.types import DTYPES

OLDEST_OPSET = 7
"""The first operator set whose broadcasting follows NumPy."""

NEWEST_OPSET = 28
"""The last operator set whose changes the rules know."""

_AI_ONNX = ("", "ai.onnx")


@dataclass
class OnnxNode:
    """A node while it is imported: `inputs` are terms (None: absent), `attrs` Python values."""

    op: str
    domain: str
    name: str
    opset: int
    inputs: list[Term | None]
    attrs: dict[str, Any]
    outputs: list[str]
    scope: Mapping[str, Term | None] = field(default_factory=dict)

    def input(self, index: int) -> Term:
        """Input `index`. Raises FormatError where it is absent."""
        term = self.optional(index)
        if term is None:
            raise FormatError(f"{self.label}: input {index} is missing")
        return term

    def optional(self, index: int) -> Term | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def attr(self, name: str, default: Any = None) -> Any:
        return self.attrs.get(name, default)

    @property
    def label(self) -> str:
        return f"{self.op} '{self.name}'"


def load(path: str | Path) -> ModelProto:
    """The model with its external data. Raises FormatError."""
    try:
        model = onnx.load(str(path))
        if not model.graph.output:
            raise FormatError(f"{Path(path).name} is not an ONNX model with outputs")
        return model
    except FormatError:
        raise
    except FileNotFoundError as error:
        missing = Path(error.filename or path).name
        raise FormatError(f"{missing}: no such file") from None
    except Exception as error:  # protobuf's DecodeError and onnx's checker errors have no common base
        raise FormatError(
            f"{Path(path).name} is not a readable ONNX model: {str(error).splitlines()[0][:160]}"
        ) from None


def opsets(imports: Iterable[Any]) -> dict[str, int]:
    """Operator set version by domain ('' is ai.onnx). Raises UnsupportedError outside of what is read."""
    versions = {"" if entry.domain in _AI_ONNX else entry.domain: int(entry.version) for entry in imports}
    version = versions.get("")
    if version is not None and not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise UnsupportedError(f"opset {version} is not read ({OLDEST_OPSET} to {NEWEST_OPSET} are)")
    return versions


def dtype_of(elem_type: int) -> np.dtype[Any]:
    """What graphs hold an ONNX element type in: bfloat16, which NumPy lacks, in float32. Raises UnsupportedError."""
    name = TensorProto.DataType.Name(elem_type)
    if name == "BFLOAT16":
        return np.dtype(np.float32)
    if name != "STRING":
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(elem_type))
        if dtype.name in DTYPES:
            return dtype
    raise UnsupportedError(f"element type {name.lower()} is not supported")


def arithmetic(model: ModelProto) -> str:
    """The narrowest floating dtype that nodes compute in: bfloat16, float16 or float32. Constants that are cast to a
    wider one before they are used do not count."""
    found = {value.type.tensor_type.elem_type for value in model.graph.input}
    found |= {a.i for node in model.graph.node for a in node.attribute if node.op_type == "Cast" and a.name == "to"}
    read = {name for node in model.graph.node if node.op_type != "Cast" for name in node.input}
    found |= {tensor.data_type for tensor in model.graph.initializer if tensor.name in read}
    names = {TensorProto.DataType.Name(elem_type) for elem_type in found}
    return "bfloat16" if "BFLOAT16" in names else "float16" if "FLOAT16" in names else "float32"


def to_array(tensor: TensorProto) -> Array | Half:
    """The array of an initializer. Raises UnsupportedError for types that no graph holds, FormatError for bad data."""
    dtype_of(tensor.data_type)
    try:
        array = np.asarray(numpy_helper.to_array(tensor))
        if tensor.data_type != TensorProto.BFLOAT16:
            return array
        return halve(array, "bfloat16") if array.dtype == np.float32 else Half(array.view(np.uint16))
    except Exception as error:  # numpy_helper raises whatever its conversions do
        raise FormatError(f"initializer '{tensor.name}' is damaged: {str(error).splitlines()[0][:120]}") from None


def attributes(node: NodeProto, outer: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as Python values; inside a function, references are taken from `outer`."""
    out: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            if attribute.ref_attr_name in outer:
                out[attribute.name] = outer[attribute.ref_attr_name]
        else:
            out[attribute.name] = _attribute(attribute)
    return out


def _attribute(attribute: AttributeProto) -> Any:
    match attribute.type:
        case AttributeProto.TENSOR:
            return to_array(attribute.t)
        case AttributeProto.GRAPH:
            return attribute.g
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (list, tuple)) or hasattr(value, "__len__"):
        return [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in value]
    return value


def function_body(node: OnnxNode) -> tuple[FunctionProto, dict[str, Any]] | None:
    """The definition by other operators, where ONNX has one for this node, and defaults of the attributes."""
    if node.domain not in _AI_ONNX:
        return None
    try:
        schema: Any = onnx.defs.get_schema(node.op, node.opset, "")
    except onnx.defs.SchemaError:
        return None
    if schema.has_function:
        text = schema.get_function_with_opset_version(_body_version(schema.function_opset_versions, node.opset))
    elif schema.has_context_dependent_function:
        version = _body_version(schema.context_dependent_function_opset_versions, node.opset)
        types = [_type_proto(term) for term in node.inputs]
        proto = onnx.helper.make_node(
            node.op,
            ["" if term is None else f"i{index}" for index, term in enumerate(node.inputs)],
            node.outputs,
            **{key: value for key, value in node.attrs.items() if not isinstance(value, GraphProto)},
        )
        text = schema.get_context_dependent_function_with_opset_version(version, proto.SerializeToString(), types)
    else:
        return None
    body = FunctionProto()
    body.ParseFromString(text)
    if not body.node:
        return None
    defaults = [a.default_value for a in schema.attributes.values() if a.default_value.name]
    return body, attributes(NodeProto(attribute=defaults), {})


def has_function_body(op: str, opset: int) -> bool:
    try:
        schema: Any = onnx.defs.get_schema(op, opset, "")
    except onnx.defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)


def _body_version(versions: Iterable[int], opset: int) -> int:
    fitting = [version for version in versions if version <= opset]
    return max(fitting) if fitting else min(versions)


def _type_proto(term: Term | None) -> bytes:
    proto = onnx.TypeProto()
    if term is not None:
        proto.tensor_type.elem_type = onnx.helper.np_dtype_to_tensor_dtype(term.type.dtype)
        for dim in term.type.shape:
            entry = proto.tensor_type.shape.dim.add()
            if isinstance(dim, int):
                entry.dim_value = dim
            else:
                entry.dim_param = str(dim)
    return bytes(proto.SerializeToString())


def symbol_name(text: str, fallback: str) -> str:
    """`text` as a name for a dimension; `fallback` where nothing of it can be used."""
    name = re.sub(r"[^A-Za-z0-9_.]+", "_", text).strip("_")
    if not name or not re.match(r"[A-Za-z_]", name):
        name = re.sub(r"[^A-Za-z0-9_.]+", "_", fallback).strip("_") or "dim"
        if not re.match(r"[A-Za-z_]", name):
            name = f"dim_{name}"
    return name[:64]


def input_shape(value: Any) -> list[int | str]:
    """The declared shape of a graph input; unknown dimensions get symbols of their own. Raises UnsupportedError."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise UnsupportedError(f"input '{value.name}' is not a tensor")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise UnsupportedError(f"input '{value.name}' has no declared rank")
    shape: list[int | str] = []
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.WhichOneof("value") == "dim_value" and dim.dim_value > 0:
            shape.append(int(dim.dim_value))
        else:
            shape.append(symbol_name(dim.dim_param, f"{value.name}_{axis}"))
    return shape
