"""JSON documents from strangers: the depth is bounded before the parser runs, NaN and Infinity are read."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import orjson

from .errors import InvalidRequest

MAX_DEPTH = 100

_ESCAPES = re.compile(rb"\\.", re.DOTALL)
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_STEP = np.zeros(256, np.int8)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1


def nesting(text: bytes) -> int:
    """How deep arrays and objects nest, at most. Exact for valid JSON; linear in the length for anything."""
    opened = text.count(b"[") + text.count(b"{")
    if opened <= MAX_DEPTH:
        return opened
    if b'"' in text:
        outside = _ESCAPES.sub(b"", text) if b"\\" in text else text
        text = b"".join(outside.split(b'"')[::2])
    brackets = text.translate(None, _NOT_BRACKETS)
    steps = _STEP[np.frombuffer(brackets, np.uint8)]
    return int(np.cumsum(steps, dtype=np.int64).max(initial=0))


def parse(text: bytes) -> Any:
    """The value of a JSON document; `InvalidRequest` (400) where it is malformed or nests too deep."""
    if nesting(text) > MAX_DEPTH:
        raise InvalidRequest(f"the JSON document nests deeper than {MAX_DEPTH} levels")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in text and b"Infinity" not in text:
            raise InvalidRequest(f"the request is not valid JSON: {error}") from None
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the request is not valid JSON: {error}") from None
