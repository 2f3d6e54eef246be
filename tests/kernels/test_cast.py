"""Every compiled cast, where and logical_not kernel against NumPy and PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rushlight.runtime.ir import Half

from .harness import Array, available_rows, run, same_bits
from .test_binary import strides

SHORT = {"f32": np.float32, "f64": np.float64, "s64": np.int64, "s32": np.int32, "s16": np.int16, "s8": np.int8,
         "u8": np.uint8, "b8": np.bool_, "f16": np.float16, "bf16": np.uint16}  # fmt: skip
ids = {"ids": lambda row: row.symbol}
CAST_ROWS = available_rows("cast")
WHERE_ROWS = available_rows("where")


def dtypes(types: str) -> list[Any]:
    out = []
    while types:
        name = next(s for s in SHORT if types.startswith(s))
        out.append(SHORT[name])
        types = types[len(name) :]
    return out


def values(dtype: Any, n: int) -> Array:
    rng = np.random.default_rng(n)
    if dtype == np.bool_:
        return rng.random(n) < 0.5
    if np.dtype(dtype).kind == "f":
        wild = [np.nan, np.inf, -np.inf, 0.5, -0.5, -0.0, 254.9, 255.5, 256, -1.5, 127.5, 128, -128.5, -129, 32767.9,
                2.0**31, -(2.0**31), 2.0**31 - 128, 2.0**63, -(2.0**63), 2.0**62, 1e30, -1e30]  # fmt: skip
        with np.errstate(over="ignore"):
            return np.concatenate([np.array(wild), rng.normal(0, 200, n)])[:n].astype(dtype)
    info = np.iinfo(dtype)
    return np.concatenate([[info.min, info.max, 0], rng.integers(info.min, info.max, n)])[:n].astype(dtype)


def converted(x: Array, to: Any) -> Array:
    target = np.dtype(to)
    if x.dtype.kind != "f" or target.kind not in "iu":
        return x.astype(target)
    info = np.iinfo(target)
    out = []
    for v in x.tolist():
        out.append(0 if v != v else info.max if v > info.max else info.min if v < info.min else int(v))
    return np.array(out, target)


@pytest.mark.parametrize("row", CAST_ROWS, **ids)
@pytest.mark.parametrize("n", [0, 1, 7, 16, 33, 1000, 8192, 8200])
def test_cast(row: Any, n: int) -> None:
    source, target = dtypes(row.types)
    x = values(source, n)
    if row.types.startswith("bf16"):
        x = values(np.uint16, n)
    with np.errstate(over="ignore"):
        expected = {
            "cast": lambda: Half(x).read() if row.types.startswith("bf16") else converted(x, target),
            "logical_not": lambda: x == 0,
            "neg": lambda: np.negative(x),
            "abs": lambda: np.abs(x),
        }[row.op]()
    out = run(row, {"x": x, "out": np.zeros(n, target)}, {"n": n})
    assert same_bits(out, expected)
    if np.dtype(source).itemsize == np.dtype(target).itemsize:
        again = run(row, {"x": x, "out": np.zeros(n, target)}, {"n": n}, in_place="x", threads=2)
        assert same_bits(again, expected)


def test_halves_are_converted_as_by_pytorch() -> None:
    """Every half there is, NaN payloads, infinities and denormals included, and every float beside a tie."""
    every = np.arange(1 << 16, dtype=np.uint16)
    ties = (every.astype(np.uint32)[:, None] << 13) + np.uint32(112 << 23) + np.array([0, 1, 2], np.uint32) * 0xFFF
    floats = np.concatenate([ties.reshape(-1) + step for step in (0, 1, 2)]).astype(np.uint32)
    tiny = np.float32(2.0**-25) * np.arange(-4096, 4096, dtype=np.float32)
    wide = np.concatenate([floats.view(np.float32), tiny, np.nextafter(tiny, np.float32(np.inf))])
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = torch.from_numpy(wide).to(torch.float16).numpy()
    for row in CAST_ROWS:
        if row.types == "f32f16":
            out = run(row, {"x": wide, "out": np.zeros(wide.size, np.float16)}, {"n": wide.size})
            assert same_bits(out, narrow)
        elif row.types in ("f16f32", "bf16f32"):
            kind = torch.float16 if row.types == "f16f32" else torch.bfloat16
            expected = torch.from_numpy(every).view(kind).float().numpy()
            out = run(row, {"x": every, "out": np.zeros(every.size, np.float32)}, {"n": every.size})
            assert same_bits(out, expected)


def test_every_nonzero_byte_is_true() -> None:
    x = np.arange(256, dtype=np.uint8)
    for row in CAST_ROWS:
        source, target = dtypes(row.types)
        if source == np.bool_:
            out = run(row, {"x": x.view(np.bool_), "out": np.zeros(256, target)}, {"n": 256})
            truth = x != 0 if row.op == "cast" else x == 0
            np.testing.assert_array_equal(out.astype(np.float64), truth.astype(np.float64))
            assert out.view(np.uint8).max() <= 255


SHAPES = [
    ((0,), (0,), (0,)), ((37,), (37,), (37,)), ((1,), (19,), (19,)), ((19,), (1,), (19,)), ((19,), (19,), (1,)),
    ((19,), (1,), (1,)), ((1,), (1,), (19,)), ((1,), (19,), (1,)), ((1,), (1,), (1,)), ((3, 1, 5), (4, 1), (1,)),
    ((2, 1, 9), (2, 3, 9), (1,)), ((5000,), (5000,), (5000,)), ((1,), (4, 9), (9,)),
]  # fmt: skip


@pytest.mark.parametrize("row", WHERE_ROWS, **ids)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_where(row: Any, shapes: tuple[tuple[int, ...], ...]) -> None:
    dtype = dtypes(row.types)[3]
    shape = np.broadcast_shapes(*shapes)
    rng = np.random.default_rng(11)
    condition = rng.integers(0, 3, shapes[0]).astype(np.uint8)
    a, b = (rng.integers(0, 2 if dtype == np.bool_ else 100, s).astype(dtype) for s in shapes[1:])
    params = {
        "rank": len(shape), "shape": shape, "condition_strides": strides(condition.shape, shape),
        "a_strides": strides(a.shape, shape), "b_strides": strides(b.shape, shape),
    }  # fmt: skip
    operands = {"condition": condition, "a": a, "b": b, "out": np.zeros(shape, dtype)}
    expected = np.where(condition != 0, a, b)
    assert same_bits(run(row, operands, params), expected)
    assert same_bits(run(row, operands, params, threads=2), expected)
    for name, operand in (("a", a), ("b", b)):
        if operand.shape == shape:
            assert same_bits(run(row, operands, params, in_place=name), expected)
