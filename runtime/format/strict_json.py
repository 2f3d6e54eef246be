"""JSON from untrusted files: size, depth and item count are known before anything is built."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import numpy as np

from ..errors import FormatError
from .limits import MAX_INTEGER_DIGITS, MAX_JSON_ITEMS

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_OPEN = np.frombuffer(b"[{", np.uint8)
_BRACKETS = np.frombuffer(b"[]{}", np.uint8)


def parse_json(data: bytes, what: str, max_depth: int) -> Any:
    """The value that `data` holds; `what` names it in errors.

    Refused, as FormatError: nesting beyond `max_depth`, more than MAX_JSON_ITEMS items, duplicate keys, NaN and
    Infinity, integers of more than MAX_INTEGER_DIGITS digits, text that is not UTF-8.
    """
    _check_size(data, what, max_depth)

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) != len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise FormatError(f"{what}: key '{twice[:80]}' stands twice")
        return out

    def integer(text: str) -> int:
        if len(text) > MAX_INTEGER_DIGITS:
            raise FormatError(f"{what}: number of {len(text)} digits")
        return int(text)

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise FormatError(f"{what}: number {text[:20]} is not finite")
        return value

    def refuse(text: str) -> NoReturn:
        raise FormatError(f"{what}: {text} is not JSON")

    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=object_of,
            parse_int=integer,
            parse_float=number,
            parse_constant=refuse,
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not JSON: {str(error)[:120]}") from None


def _check_size(data: bytes, what: str, max_depth: int) -> None:
    bare = _STRING.sub(b"", data)
    if b'"' in bare:
        raise FormatError(f"{what} is not JSON: a string does not end")
    items = sum(bare.count(mark) for mark in (b",", b"[", b"{", b"]", b"}"))
    if items > MAX_JSON_ITEMS:
        raise FormatError(f"{what}: {items} items (at most {MAX_JSON_ITEMS})")
    codes = np.frombuffer(bare, np.uint8)
    brackets = codes[np.isin(codes, _BRACKETS)]
    depth = np.cumsum(np.where(np.isin(brackets, _OPEN), 1, -1))
    if depth.size and depth.max() > max_depth:
        raise FormatError(f"{what}: nested {depth.max()} deep (at most {max_depth})")


def take(value: Any, kind: type, what: str) -> Any:
    """`value` if it is exactly of `kind` (a bool is no int). Raises FormatError."""
    if type(value) is not kind:
        raise FormatError(f"{what} must be {_NAMES[kind]}, not {_shown(value)}")
    return value


def take_list(value: Any, what: str, most: int) -> list[Any]:
    items: list[Any] = take(value, list, what)
    if len(items) > most:
        raise FormatError(f"{what}: {len(items)} items (at most {most})")
    return items


def take_int(value: Any, what: str, low: int, high: int) -> int:
    number: int = take(value, int, what)
    if not low <= number <= high:
        raise FormatError(f"{what} is {number}, not between {low} and {high}")
    return number


def take_text(value: Any, what: str, most: int) -> str:
    text: str = take(value, str, what)
    if len(text) > most:
        raise FormatError(f"{what}: {len(text)} characters (at most {most})")
    return text


def take_name(value: Any, what: str, most: int) -> str:
    """Text that may be shown as it is: without control characters, line ends and halves of surrogate pairs."""
    text = take_text(value, what, most)
    if _UNSHOWN.search(text):
        raise FormatError(f"{what} {text[:40]!a} holds a character that cannot be shown")
    return text


def take_record(value: Any, what: str, keys: frozenset[str]) -> dict[str, Any]:
    """An object with exactly these keys."""
    record: dict[str, Any] = take(value, dict, what)
    if record.keys() != keys:
        wrong = sorted(record.keys() ^ keys)[0]
        raise FormatError(f"{what}: key '{wrong[:80]}' is {'missing' if wrong in keys else 'unknown'}")
    return record


_NAMES = {
    int: "a whole number",
    str: "text",
    list: "a list",
    dict: "an object",
    bool: "true or false",
    float: "a number",
}


def _shown(value: Any) -> str:
    return _NAMES.get(type(value), "null")
