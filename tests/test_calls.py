"""The short way from a call to a run gives what the long way gives, and steps aside where it must."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.method import MAX_BINDINGS


def build(kind: str) -> rl.Model:
    builder = GraphBuilder()
    x = builder.input("x", "float32", ["N", 3])
    if kind == "identity":
        builder.output("y", x)
    elif kind == "two":
        y = builder.input("y", "int64", ["N"])
        builder.output("double", builder.add(x, x))
        builder.output("again", x)
        builder.output("kept", y)
        builder.output("constant", builder.constant(np.arange(4, dtype=np.float32)))
    else:
        index = builder.input("index", "int64", ["N"])
        builder.output("y", builder.index_select(builder.constant(np.eye(5, dtype=np.float32)), index, dim=0))
        builder.output("x", x)
    return rl.load(builder.build(), threads=1)


class Subclass(np.ndarray[Any, Any]):
    """An array that numpy does not call exactly an array."""


def rows(n: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(n).standard_normal((n, 3)).astype(np.float32)


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_identity_copies(n: int) -> None:
    model, x = build("identity"), rows(n)
    for _ in range(3):
        y = model(x)
        assert y.dtype == x.dtype
        np.testing.assert_array_equal(y, x)
        assert not np.shares_memory(y, x)


def test_first_and_later_calls_agree() -> None:
    model, x, y = build("two"), rows(5), np.arange(5)
    first, second = model.run({"x": x, "y": y}), model.run({"y": y, "x": x})
    positional = model(x, y)
    assert list(first) == list(second) == ["double", "again", "kept", "constant"]
    for name, value in zip(first, positional, strict=True):
        np.testing.assert_array_equal(first[name], second[name])
        np.testing.assert_array_equal(first[name], value)
    np.testing.assert_array_equal(second["double"], x + x)
    np.testing.assert_array_equal(second["constant"], np.arange(4, dtype=np.float32))
    assert list(model.run({"x": x, "y": y}, ["kept"])) == ["kept"]


def test_what_is_not_a_plain_array_is_checked_each_time() -> None:
    model, x = build("identity"), rows(6)
    model(x)
    wide = rows(12)
    np.testing.assert_array_equal(model(wide[::2]), wide[::2])
    np.testing.assert_array_equal(model(np.asfortranarray(x)), x)
    np.testing.assert_array_equal(model(x.view(Subclass)), x)
    unaligned = np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    np.testing.assert_array_equal(model(unaligned), x)
    for wrong in (x.astype(np.float64), x.astype(">f4"), x[:, :2], x[0]):
        with pytest.raises(rl.ShapeError):
            model(wrong)
    for wrong_inputs in ({}, {"z": x}, {"x": x, "z": x}):
        with pytest.raises(rl.ShapeError):
            model.run(wrong_inputs)
    with pytest.raises(rl.ShapeError):
        model(x, x)
    with pytest.raises(rl.ShapeError):
        model.run({"x": x}, ["z"])


def test_an_index_out_of_range_is_an_error_every_time() -> None:
    model, x = build("index"), rows(2)
    for index in ([0, 4], [0, 5], [1, 2], [-9, 0]):
        if all(0 <= i < 5 for i in index):
            np.testing.assert_array_equal(model(x, np.array(index))[0], np.eye(5)[index])
        else:
            with pytest.raises(rl.ShapeError, match="out of range"):
                model(x, np.array(index))


def test_many_shapes_on_many_threads() -> None:
    model = build("two")

    def call(seed: int) -> bool:
        rng = np.random.default_rng(seed)
        for _ in range(200):
            n = int(rng.integers(1, MAX_BINDINGS + 9))
            x, y = rows(n), np.arange(n)
            double, again, kept, _ = model(x, y)
            if not (np.array_equal(double, x + x) and np.array_equal(again, x) and np.array_equal(kept, y)):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(call, range(4)))


def test_calls_keep_no_reference() -> None:
    model, x = build("identity"), rows(3)
    model(x)
    before = sys.getrefcount(x), sys.getrefcount(x.dtype)
    for _ in range(50):
        model(x)
        model.run({"x": x})
    assert (sys.getrefcount(x), sys.getrefcount(x.dtype)) == before
