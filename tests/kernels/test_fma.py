"""Every compiled multiply-add against exact arithmetic, and bit for bit among instruction sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.lower.activation import KINDS
from rushlight.runtime.ops.activation import activate
from rushlight.runtime.ops.fma import fma

from .harness import Array, available_rows, run, same_bits
from .test_binary import strides

ROWS = available_rows("fma")
GENERIC = next(row for row in ROWS if row.isa == "generic")
# shapes of x, scale and offset
SHAPES = [
    ((0,), (1,), (1,)), ((1,), (1,), (1,)), ((37,), (37,), (37,)), ((9, 33), (33,), (33,)), ((9, 33), (9, 1), (9, 1)),
    ((5, 17), (1,), (17,)), ((5, 17), (17,), (1,)), ((2, 4097), (4097,), (4097,)), ((700, 3), (3,), (3,)),
    ((2, 7, 9), (7, 1), (7, 1)), ((1, 9), (6, 1), (6, 9)), ((1,), (65,), (1,)), ((1,), (1,), (65,)),
    ((17,), (1,), (1,)), ((3, 0, 5), (5,), (5,)),
]  # fmt: skip


def multiply_add(row: Any, operands: tuple[Array, ...], activation: str = "none", **how: Any) -> Array:
    shape = np.broadcast_shapes(*(array.shape for array in operands))
    names = ("x", "scale", "offset")
    params: dict[str, Any] = {
        "rank": len(shape), "shape": shape, "activation": KINDS.index(activation), "alpha": -0.5, "beta": 1.25,
        **{f"{name}_strides": strides(array.shape, shape) for name, array in zip(names, operands, strict=True)},
    }  # fmt: skip
    arrays: dict[str, Array | None] = dict(zip(names, operands, strict=True))
    return run(row, arrays | {"out": np.zeros(shape, np.float32)}, params, **how)


def sample(shapes: tuple[tuple[int, ...], ...]) -> tuple[Array, ...]:
    rng = np.random.default_rng(len(repr(shapes)))
    x, scale, offset = (rng.normal(0, 2, shape).astype(np.float32) for shape in shapes)
    special = np.array([np.nan, np.inf, -np.inf, -0.0], np.float32)[: x.size if x.size > 4 else 0]
    x.reshape(-1)[: special.size] = special
    return x, scale, offset


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.symbol)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_rounds_once(row: Any, shapes: tuple[tuple[int, ...], ...]) -> None:
    operands = sample(shapes)
    with np.errstate(invalid="ignore"):
        expected = fma(*operands)
    assert same_bits(multiply_add(row, operands), expected)
    assert same_bits(multiply_add(row, operands, threads=2), expected)
    if operands[0].shape == expected.shape:
        assert same_bits(multiply_add(row, operands, in_place="x"), expected)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.symbol)
@pytest.mark.parametrize("activation", KINDS[1:])
def test_activations(row: Any, activation: str) -> None:
    operands = sample(((9, 83), (83,), (83,)))
    out = multiply_add(row, operands, activation)
    assert same_bits(out, multiply_add(GENERIC, operands, activation))
    with np.errstate(invalid="ignore"):
        expected = activate(fma(*operands).astype(np.float64), activation, -0.5, 1.25)
    finite = np.isfinite(operands[0])
    np.testing.assert_allclose(out[finite], expected[finite], rtol=1e-5, atol=1e-6)
