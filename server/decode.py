"""Inference requests of the Open Inference Protocol v2: JSON, binary tensors, raw binary, all sizes checked first."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from rushlight.server.contract import Array, Arrays
from rushlight.server.datatypes import NUMPY_DTYPES
from rushlight.server.document import parse
from rushlight.server.errors import InvalidRequest
from rushlight.server.signature import Signature, Tensor

MAX_RANK = 32
_UNSUPPORTED_REQUEST = ("sequence_id", "sequence_start", "sequence_end")
_UNSUPPORTED_TENSOR = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size", "classification")


class InferRequest(NamedTuple):
    """A decoded request. `outputs`: names in the order of the answer, with True for a binary tensor.

    `timeout_us` and `priority` are 0 where the client left the choice to the server.
    """

    id: str | None
    inputs: Arrays
    outputs: tuple[tuple[str, bool], ...]
    timeout_us: int = 0
    priority: int = 0


def decode(body: bytes | bytearray, header_length: bytes | None, signature: Signature) -> InferRequest:
    """Read a request body; `header_length` is the value of `Inference-Header-Content-Length`, None where absent.

    Binary tensors are views of `body`. Raises `InvalidRequest`.
    """
    if header_length is None:
        return _Decoder(signature, parse(bytes(body)), memoryview(b"")).request()
    length = _header_length(header_length, len(body))
    if length == 0:
        return _decode_raw(body, signature)
    view = memoryview(body)
    return _Decoder(signature, parse(bytes(view[:length])), view[length:]).request()


def _header_length(value: bytes, limit: int) -> int:
    digits = value.strip()
    if not digits.isdigit() or len(digits) > 18 or int(digits) > limit:
        raise InvalidRequest(f"Inference-Header-Content-Length must be a number from 0 to the body's size, {limit}")
    return int(digits)


def _decode_raw(body: bytes | bytearray, signature: Signature) -> InferRequest:
    if len(signature.inputs) != 1:
        raise InvalidRequest(f"a raw binary request needs a model of one input; this one has {len(signature.inputs)}")
    (tensor,) = signature.inputs.values()
    sizes = [1, *tensor.shape[1:]] if signature.batchable else list(tensor.shape)
    unknown = [axis for axis, size in enumerate(sizes) if isinstance(size, str)]
    known = prod(size for size in sizes if isinstance(size, int)) * tensor.dtype.itemsize
    if len(unknown) > 1:
        raise InvalidRequest(f"a raw binary request cannot tell the {len(unknown)} variable sizes of '{tensor.name}'")
    for axis in unknown:
        sizes[axis] = len(body) // known if known else 0
    shape = tuple(int(size) for size in sizes)
    if prod(shape) * tensor.dtype.itemsize != len(body):
        raise InvalidRequest(f"input '{tensor.name}' has {len(body)} bytes, shape {list(shape)} does not fit them")
    array = np.frombuffer(body, tensor.dtype).reshape(shape)
    return InferRequest(None, {tensor.name: array}, tuple((name, True) for name in signature.outputs))


class _Decoder:
    """One JSON document and the binary tensors behind it."""

    def __init__(self, signature: Signature, document: Any, tail: memoryview) -> None:
        self.signature = signature
        self.document = _object(document, "the request")
        self.tail = tail
        self.taken = 0

    def request(self) -> InferRequest:
        identity = self.document.get("id")
        if identity is not None and not (isinstance(identity, str) and _is_unicode(identity)):
            raise InvalidRequest("'id' must be a string of Unicode characters")
        parameters = _parameters(self.document, "the request")
        for key in parameters:
            if key in _UNSUPPORTED_REQUEST or key.startswith("triton_"):
                raise InvalidRequest(f"parameter '{key}' is not supported")
        inputs = self._inputs()
        if self.taken != len(self.tail):
            raise InvalidRequest(f"unexpected additional input data: {len(self.tail) - self.taken} bytes")
        return InferRequest(
            identity,
            inputs,
            self._outputs(_flag(parameters, "binary_data_output", False)),
            _count(parameters, "timeout"),
            _count(parameters, "priority"),
        )

    def _inputs(self) -> Arrays:
        entries = self.document.get("inputs")
        if not isinstance(entries, list) or not entries:
            raise InvalidRequest("'inputs' must be a list of at least one tensor")
        arrays: Arrays = {}
        for entry in entries:
            name = _name(entry, "input")
            tensor = self.signature.inputs.get(name)
            if tensor is None:
                raise InvalidRequest(f"the model has no input '{name}'; it takes {', '.join(self.signature.inputs)}")
            if name in arrays:
                raise InvalidRequest(f"input '{name}' is given twice")
            arrays[name] = self._input(tensor, entry)
        return arrays

    def _input(self, tensor: Tensor, entry: dict[str, Any]) -> Array:
        datatype = entry.get("datatype")
        if datatype != tensor.datatype:
            raise InvalidRequest(f"input '{tensor.name}' has datatype {datatype}, the model takes {tensor.datatype}")
        shape = _shape(tensor.name, entry.get("shape"))
        self.signature.check_shape(tensor.name, shape)
        parameters = _parameters(entry, f"input '{tensor.name}'")
        if "binary_data_size" in parameters:
            if "data" in entry:
                raise InvalidRequest(f"input '{tensor.name}' has both 'data' and 'binary_data_size'")
            return self._binary(tensor, shape, _count(parameters, "binary_data_size"))
        if "data" not in entry:
            raise InvalidRequest(f"input '{tensor.name}' has neither 'data' nor 'binary_data_size'")
        return from_json(tensor, shape, entry["data"])

    def _binary(self, tensor: Tensor, shape: tuple[int, ...], size: int) -> Array:
        expected = prod(shape) * tensor.dtype.itemsize
        if size != expected:
            raise InvalidRequest(
                f"input '{tensor.name}': binary_data_size is {size}, shape and datatype ask {expected}"
            )
        left = len(self.tail) - self.taken
        if size > left:
            raise InvalidRequest(f"input '{tensor.name}': expecting {size - left} additional bytes")
        start, self.taken = self.taken, self.taken + size
        array = np.frombuffer(self.tail[start : self.taken], tensor.dtype).reshape(shape)
        return array if array.flags.aligned else array.copy()

    def _outputs(self, binary_default: bool) -> tuple[tuple[str, bool], ...]:
        entries = self.document.get("outputs")
        if entries is None or entries == []:
            return tuple((name, binary_default) for name in self.signature.outputs)
        if not isinstance(entries, list):
            raise InvalidRequest("'outputs' must be a list")
        chosen: dict[str, bool] = {}
        for entry in entries:
            name = _name(entry, "output")
            if name not in self.signature.outputs:
                raise InvalidRequest(f"the model has no output '{name}'; it gives {', '.join(self.signature.outputs)}")
            if name in chosen:
                raise InvalidRequest(f"output '{name}' is given twice")
            chosen[name] = _flag(_parameters(entry, f"output '{name}'"), "binary_data", binary_default)
        return tuple(chosen.items())


def from_json(tensor: Tensor, shape: tuple[int, ...], data: Any) -> Array:
    """The array of JSON data, nested as the shape says or flat in row-major order."""
    if not isinstance(data, list):
        raise InvalidRequest(f"input '{tensor.name}': 'data' must be a list")
    count = prod(shape)
    try:
        array = np.asarray(data, object if tensor.dtype == NUMPY_DTYPES["UINT64"] else None)
    except (ValueError, OverflowError, RecursionError):
        raise InvalidRequest(f"input '{tensor.name}': 'data' is not a regular array of numbers") from None
    if array.size != count or (array.ndim != 1 and array.shape != shape):
        found = f"{array.size} elements" if array.ndim == 1 else f"shape {list(array.shape)}"
        raise InvalidRequest(f"input '{tensor.name}': 'data' has {found}, shape {list(shape)} asks {count} elements")
    return (_cast(tensor, array) if count else array.astype(tensor.dtype)).reshape(shape)


def _cast(tensor: Tensor, array: Array) -> Array:
    kind, target = array.dtype.kind, tensor.dtype
    if target.kind == "b" and kind == "b":
        return array
    if target.kind == "f" and kind in "iuf":
        with np.errstate(over="ignore"):
            cast = array.astype(target)
        if np.isinf(cast).any() and not np.array_equal(np.isinf(cast), np.isinf(array)):
            raise InvalidRequest(f"input '{tensor.name}': a number is out of the range of {tensor.datatype}")
        return cast
    if target.kind in "iu" and (kind in "iu" or (kind == "O" and all(type(v) is int for v in array.flat))):
        limits = np.iinfo(target)
        if array.min() < limits.min or array.max() > limits.max:
            raise InvalidRequest(f"input '{tensor.name}': a number is out of the range of {tensor.datatype}")
        return array.astype(target)
    raise InvalidRequest(f"input '{tensor.name}': 'data' has elements that are not {tensor.datatype}")


def _is_unicode(text: str) -> bool:
    """False where half of a surrogate pair stands alone, which no JSON can carry back."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what} must be a JSON object")
    return value


def _name(entry: Any, what: str) -> str:
    name = _object(entry, f"an {what}").get("name")
    if not isinstance(name, str):
        raise InvalidRequest(f"an {what} has no 'name'")
    return name


def _parameters(entry: dict[str, Any], what: str) -> dict[str, Any]:
    parameters = entry.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"'parameters' of {what} must be a JSON object")
    for key in _UNSUPPORTED_TENSOR:
        if key in parameters:
            raise InvalidRequest(f"parameter '{key}' of {what} is not supported")
    return parameters


def _count(parameters: dict[str, Any], key: str) -> int:
    value = parameters.get(key, 0)
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise InvalidRequest(f"parameter '{key}' must be an integer of at least 0")
    return value


def _flag(parameters: dict[str, Any], key: str, default: bool) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise InvalidRequest(f"parameter '{key}' must be true or false")
    return value


def _shape(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > MAX_RANK:
        raise InvalidRequest(f"input '{name}': 'shape' must be a list of at most {MAX_RANK} sizes")
    for size in value:
        if type(size) is not int or not 0 <= size < 1 << 63:
            raise InvalidRequest(f"input '{name}': 'shape' must consist of integers of at least 0")
    return tuple(value)
