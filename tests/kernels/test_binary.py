"""Every compiled binary kernel against PyTorch, and bit for bit among instruction sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from .harness import Array, available_rows, run, same_bits, ulps

ROWS = available_rows("binary")
DTYPES = {"f32": np.float32, "s64": np.int64, "s32": np.int32, "b8": np.bool_}
SHORT = ("f32", "s64", "s32", "b8")
ids = {"ids": lambda row: row.symbol}

# result shape, shape of a, shape of b
SHAPES = [
    ((0,), (0,), (0,)), ((1,), (1,), (1,)), ((37,), (37,), (37,)), ((17,), (17,), (1,)), ((17,), (1,), (17,)),
    ((5, 1), (5, 1), (5, 1)), ((4096,), (4096,), (4096,)), ((3, 4097), (3, 4097), (4097,)),
    ((9, 1), (9, 1), (9, 1)),
    ((2, 9001), (2, 1), (2, 9001)), ((9, 16), (9, 16), (16,)),
    ((9, 33), (9, 33), (9, 1)), ((700, 3), (700, 3), (3,)), ((3, 0, 5), (3, 0, 5), (5,)),
    ((2, 7, 9), (2, 7, 9), (2, 1, 9)), ((2, 3, 4, 5, 3, 7), (2, 1, 4, 1, 3, 7), (1, 3, 4, 5, 1, 1)),
]  # fmt: skip


def dtypes(types: str) -> list[Any]:
    out = []
    while types:
        name = next(s for s in SHORT if types.startswith(s))
        out.append(DTYPES[name])
        types = types[len(name) :]
    return out


def strides(shape: tuple[int, ...], result: tuple[int, ...]) -> list[int]:
    padded = (1,) * (len(result) - len(shape)) + shape
    out, step = [], 1
    for size, full in zip(reversed(padded), reversed(result), strict=True):
        out.append(step if size == full and full > 1 else 0)
        step *= size
    return out[::-1]


def binary(row: Any, a: Array, b: Array, **how: Any) -> Array:
    shape = np.broadcast_shapes(a.shape, b.shape)
    params = {
        "rank": len(shape), "shape": shape, "a_strides": strides(a.shape, shape), "b_strides": strides(b.shape, shape)
    }  # fmt: skip
    out = np.zeros(shape, dtypes(row.types)[2])
    return run(row, {"a": a, "b": b, "out": out}, params, **how)


def operands(row: Any, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> tuple[Array, Array]:
    rng = np.random.default_rng(len(a_shape) + sum(a_shape))
    kind = dtypes(row.types)[0]
    if kind == np.bool_:
        return rng.random(a_shape) < 0.5, rng.random(b_shape) < 0.5
    if kind == np.float32:
        a, b = rng.normal(0, 3, a_shape), rng.normal(0, 3, b_shape)
        if row.op in ("eq", "ne", "le", "ge", "lt", "gt"):
            a, b = a.round(), b.round()
        if row.op == "pow":
            a = np.abs(a)
        return a.astype(kind), b.astype(kind)
    a, b = rng.integers(-20, 20, a_shape), rng.integers(-5, 5, b_shape)
    if row.op in ("div", "fmod", "remainder", "floor_divide"):
        b = np.where(b == 0, 3, b)
    return a.astype(kind), b.astype(kind)


def in_torch(op: str, a: Array, b: Array) -> Array:
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    if op == "prelu":
        out = torch.where(x >= 0, x, x * y)
    elif op == "div" and a.dtype.kind == "i":
        out = torch.div(x, y, rounding_mode="trunc")
    else:
        out = getattr(torch, op)(x, y)
    result: Array = out.numpy()
    return result


@pytest.mark.parametrize("row", ROWS, **ids)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_matches_torch(row: Any, shapes: tuple[tuple[int, ...], ...]) -> None:
    result, a_shape, b_shape = shapes
    a, b = operands(row, a_shape, b_shape)
    expected = in_torch(row.op, a, b)
    out = binary(row, a, b)
    assert out.shape == result
    if row.op == "pow":
        np.testing.assert_allclose(out, expected, rtol=3e-7)
    else:
        np.testing.assert_array_equal(out, expected)
    assert same_bits(out, binary(row, a, b, threads=2))
    if a_shape == result and out.dtype == a.dtype:
        assert same_bits(out, binary(row, a, b, in_place="a"))
    if b_shape == result and out.dtype == b.dtype:
        assert same_bits(out, binary(row, a, b, in_place="b"))


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1e-40, -1e-40, 1e30, -1e30,
                    3e38, 16777217, 2.0**31, 1.0000001, 0.9999999], np.float32)  # fmt: skip
FLOAT_OPS = sorted({row.op for row in ROWS if row.types.startswith("f32")})


@pytest.mark.parametrize("op", FLOAT_OPS)
def test_all_isas_give_the_same_bits(op: str) -> None:
    rng = np.random.default_rng(8)
    bits = rng.integers(0, 2**32, (2, 3000), np.uint32).view(np.float32)
    a = np.concatenate([np.repeat(SPECIAL, len(SPECIAL)), bits[0], rng.uniform(0, 9, 3000).astype(np.float32)])
    b = np.concatenate([np.tile(SPECIAL, len(SPECIAL)), bits[1], rng.uniform(-9, 9, 3000).astype(np.float32)])
    first, *others = [binary(row, a, b) for row in ROWS if row.op == op and row.types.startswith("f32")]
    for other in others:
        assert same_bits(first, other)


@pytest.mark.parametrize("op", FLOAT_OPS)
def test_special_values_as_in_torch(op: str) -> None:
    values = SPECIAL[(np.abs(SPECIAL) > 1.2e-38) | (SPECIAL == 0) | np.isnan(SPECIAL)]
    if op in ("fmod", "remainder"):
        values = values[np.abs(values) != np.float32(3e38)]  # torch loses the quotient there
    a, b = np.repeat(values, len(values)), np.tile(values, len(values))
    expected = in_torch(op, a, b)
    row = next(row for row in ROWS if row.op == op and row.types.startswith("f32"))
    np.testing.assert_allclose(binary(row, a, b), expected, rtol=3e-7, atol=1.2e-38)


@pytest.mark.parametrize("row", [row for row in ROWS if row.op == "pow"], **ids)
def test_pow_accuracy(row: Any) -> None:
    rng = np.random.default_rng(4)
    a = np.exp(rng.uniform(-20, 20, 40_000)).astype(np.float32)
    a[:10_000] = rng.uniform(0.9, 1.1, 10_000)
    b = rng.uniform(-4, 4, 40_000).astype(np.float32)
    b[:10_000] *= 200
    expected = a.astype(np.float64) ** b.astype(np.float64)
    assert ulps(binary(row, a, b), expected).max() <= 1.5


@pytest.mark.parametrize("row", [row for row in ROWS if row.types in ("s64s64s64", "s32s32s32")], **ids)
def test_integer_edges(row: Any) -> None:
    dtype = dtypes(row.types)[0]
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    a = np.array([low, high, low, 7, -7, low], dtype)
    b = np.array([-1, 1, 1, 0, 0, low], dtype)
    out = binary(row, a, b)
    with np.errstate(all="ignore"):
        wrapped = {"add": a + b, "sub": a - b, "mul": a * b, "maximum": np.maximum(a, b), "minimum": np.minimum(a, b),
                   "fmod": np.array([0, 0, 0, 0, 0, 0]), "remainder": np.array([0, 0, 0, 0, 0, 0]),
                   "div": np.array([low, high, low, 0, 0, 1]),
                   "floor_divide": np.array([low, high, low, 0, 0, 1])}  # fmt: skip
    np.testing.assert_array_equal(out, wrapped[row.op].astype(dtype))


def test_any_byte_but_zero_is_true() -> None:
    row = next(row for row in ROWS if row.op == "logical_and")
    a = np.array([0, 1, 2, 255, 255, 0], np.uint8).view(np.bool_)
    b = np.array([1, 2, 1, 128, 0, 0], np.uint8).view(np.bool_)
    assert binary(row, a, b).view(np.uint8).tolist() == [0, 1, 1, 1, 0, 0]
