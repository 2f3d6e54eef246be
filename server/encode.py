"""Inference answers of the Open Inference Protocol v2, JSON and binary tensors mixed as the request asks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from rushlight.server.contract import Array
from rushlight.server.signature import Signature


class Payload(NamedTuple):
    """A response body. `header_length` is the size of its JSON part, None where no tensor is binary."""

    body: bytes
    header_length: int | None = None


def encode(
    model: str,
    version: str,
    identity: str | None,
    outputs: Sequence[tuple[str, bool]],
    arrays: Mapping[str, Array],
    signature: Signature,
) -> Payload:
    """The answer with `outputs` in their order; True asks for a binary tensor."""
    tail: list[bytes] = []
    tensors: list[dict[str, Any]] = []
    for name, binary in outputs:
        array = arrays[name]
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": signature.outputs[name].datatype,
            "shape": array.shape,
        }
        if binary:
            tail.append(array.tobytes())
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            tensor["data"] = _numbers(array)
        tensors.append(tensor)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": tensors}
    if identity is not None:
        document["id"] = identity
    text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return Payload(b"".join([text, *tail]), len(text)) if tail else Payload(text)


def _numbers(array: Array) -> Any:
    """Flat data; NaN and infinities are spelled as Python and Triton do, for JSON has no word for them."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        return orjson.Fragment(json.dumps(flat.tolist(), separators=(",", ":")))
    return flat
