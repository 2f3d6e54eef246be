"""JSON from strangers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rushlight.server import document
from rushlight.server.document import MAX_CONTAINERS, MAX_DEPTH, nests_too_deep, parse
from rushlight.server.errors import InvalidRequest


def depth(value: Any) -> int:
    if isinstance(value, list):
        return 1 + max((depth(item) for item in value), default=0)
    if isinstance(value, dict):
        return 1 + max((depth(item) for item in value.values()), default=0)
    return 0


VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('[]{}"\\a ', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\', max_size=3), inner, max_size=3),
    max_leaves=60,
)


@given(VALUES, st.integers(0, 12))
def test_depth_is_exact_for_valid_json(value: Any, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document, "MAX_DEPTH", limit)
        patch.setattr(document, "_BLOCK", 7)
        assert nests_too_deep(json.dumps(value).encode()) == (depth(value) > limit)


@pytest.mark.parametrize("levels", [MAX_DEPTH, MAX_DEPTH + 1, 1_000_000])
def test_depth_limit(levels: int) -> None:
    text = b"[" * levels + b"]" * levels
    if levels <= MAX_DEPTH:
        assert depth(parse(text)) == levels
    else:
        with pytest.raises(InvalidRequest, match="deeper than 100"):
            parse(text)


@pytest.mark.parametrize("unit", [b"\\", b'"', b'\\"', b"[", b'["', b'"[', b"{[", b"[]"])
def test_hostile_text_takes_linear_time(unit: bytes) -> None:
    text = b"[" * (MAX_DEPTH + 1) + b'"' + unit * (8_000_000 // len(unit))
    with pytest.raises(InvalidRequest):
        parse(text)  # quadratic work would take hours


def test_number_of_containers_is_bounded() -> None:
    with pytest.raises(InvalidRequest, match="more than"):
        parse(b"[" + b"[]," * MAX_CONTAINERS + b"[]]")


def test_nan_and_infinity() -> None:
    values = parse(b'{"a": [NaN, Infinity, -Infinity, 1.5]}')["a"]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 1.5]


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[1,]", b"\xff", b"{'a': 1}", b"[NaN", b"nan", b"[NaN\xff]", b"1" * 5000 + b"NaN", b"\\[", b'"'],
)
def test_malformed(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        parse(text)
