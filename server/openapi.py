"""The inference route in the API description: it is served outside the router, so the router cannot describe it."""

from __future__ import annotations

from typing import Any

_TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string", "examples": ["FP32"]},
        "parameters": {"type": "object"},
        "data": {"type": "array", "items": {}, "description": "Nested, or flat in row-major order"},
    },
}
_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object", "description": "timeout (microseconds), priority, binary_data_output"},
        "inputs": {"type": "array", "items": _TENSOR, "minItems": 1},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "parameters": {"type": "object"}},
            },
        },
    },
}
_RESPONSE = {
    "type": "object",
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": _TENSOR},
    },
}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}}
_ERRORS = {
    "400": "The request contradicts the protocol or the model",
    "404": "No such model or version",
    "413": "The body is too large",
    "415": "Content encodings are not supported",
    "429": "The model's queue is full; see Retry-After",
    "503": "The server is overloaded, draining, or the request's timeout passed",
}


def describe_inference(document: dict[str, Any]) -> dict[str, Any]:
    """Add the inference paths to an OpenAPI document."""
    for path, names in (
        ("/v2/models/{model}/infer", ("model",)),
        ("/v2/models/{model}/versions/{version}/infer", ("model", "version")),
    ):
        document["paths"][path] = {
            "post": {
                "tags": ["inference"],
                "summary": "Run a model",
                "parameters": [
                    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
                ],
                "requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST}}},
                "responses": {
                    "200": {"description": "Outputs", "content": {"application/json": {"schema": _RESPONSE}}},
                    **{
                        code: {"description": text, "content": {"application/json": {"schema": _ERROR}}}
                        for code, text in _ERRORS.items()
                    },
                },
            }
        }
    return document
