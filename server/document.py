"""JSON documents from strangers: depth and size are bounded before the parser runs; NaN and Infinity are read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson

from rushlight.server.errors import InvalidRequest

MAX_DEPTH = 100
MAX_CONTAINERS = 1 << 20
"""Arrays and objects in one document: each costs the parser some 60 bytes for as little as 2 bytes of text."""

_BLOCK = 1 << 20
_QUOTE = ord('"')
_NOT_STRUCTURE = bytes(sorted(set(range(256)) - set(b'[]{}"')))
_STEP = np.zeros(256, np.int8)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1


def nests_too_deep(text: bytes) -> bool:
    """Whether arrays and objects nest deeper than `MAX_DEPTH`. Exact for valid JSON; linear time for anything."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return False
    structure = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_STRUCTURE)
    depth, in_string = 0, 0
    for start in range(0, len(structure), _BLOCK):
        block = np.frombuffer(structure[start : start + _BLOCK], np.uint8)
        inside = (np.cumsum(block == _QUOTE, dtype=np.int64) + in_string) & 1
        depths = np.cumsum(np.where(inside == 1, 0, _STEP[block]), dtype=np.int64) + depth
        if depths.max() > MAX_DEPTH:
            return True
        depth, in_string = int(depths[-1]), int(inside[-1])
    return False


def parse(text: bytes) -> Any:
    """The value of a JSON document; `InvalidRequest` (400) where it is malformed, too deep or too finely divided."""
    if nests_too_deep(text):
        raise InvalidRequest(f"the JSON document nests deeper than {MAX_DEPTH} levels")
    if text.count(b"[") + text.count(b"{") > MAX_CONTAINERS:
        raise InvalidRequest(f"the JSON document has more than {MAX_CONTAINERS} arrays; send the data flat or binary")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in text and b"Infinity" not in text:
            raise InvalidRequest(f"the request is not valid JSON: {error}") from None
    try:
        return json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the request is not valid JSON: {error}") from None
