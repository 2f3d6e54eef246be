"""Proofs about symbolic sizes, against all small sizes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import rushlight as rl
from rushlight.exporter.bounds import is_at_least, solve_dim
from rushlight.exporter.emitter import Conflict, Emitter, ShapeTensor
from rushlight.exporter.restart import settle
from rushlight.exporter.slicing import slice_bounds
from rushlight.runtime.ir import SymbolRange
from rushlight.runtime.types import Dim, DimLike, evaluate, parse_dim

EXPRESSIONS = [
    "H",
    "H-1",
    "2*H-H//2",
    "H//2-H//3",
    "H*W-W",
    "(H+1)//2-(H//2)",
    "H-2*(H//2)",
    "5-H",
    "3*(H//3)-H+2",
    "H-W",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.parametrize("high", [None, 9])
def test_proofs_are_right(text: str, high: int | None) -> None:
    dim = parse_dim(text)
    ranges = {"H": SymbolRange(1, high), "W": SymbolRange(1, high)}
    sizes = range(1, (high or 40) + 1)
    least = min(evaluate(dim, {"H": h, "W": w}) for h, w in itertools.product(sizes, sizes))
    for bound in range(least - 2, least + 3):
        if is_at_least(dim, bound, ranges):
            assert bound <= least


@pytest.mark.parametrize(
    ("a", "b", "proved"),
    [
        ("H", 1, True),
        ("H", 2, False),
        ("2*H-H//2", "H", True),
        ("(H+1)//2", "H//2", True),
        ("512", "S", True),
        ("H*W", "W", True),
    ],
)
def test_proofs_that_importers_need(a: str, b: DimLike | str, proved: bool) -> None:
    ranges = {"S": SymbolRange(1, 512)}
    other = parse_dim(b) if isinstance(b, str) else b
    assert is_at_least(parse_dim(a), other, ranges) == proved


def test_solve() -> None:
    dim = parse_dim("(H+3)//4")
    assert isinstance(dim, Dim)
    assert solve_dim(dim, lambda value: value == 2, {}) == ("H", SymbolRange(5, 8))
    assert solve_dim(dim, lambda value: value >= 2, {}) == ("H", SymbolRange(5, None))
    assert solve_dim(dim, lambda value: value % 2 == 1, {}) is None


@pytest.mark.parametrize("size", [1, 5, 8])
@pytest.mark.parametrize(
    ("start", "end", "step"), list(itertools.product([0, 2, -3, 9, -9], [0, 4, -1, 99, -99], [1, 2, -1]))
)
def test_slices_are_pythons(size: int, start: int, end: int, step: int) -> None:
    low, high = slice_bounds(Emitter(), size, start, end, step)
    assert isinstance(low, int)
    assert isinstance(high, int)
    elements = list(range(size))
    assert elements[low : None if high < 0 else high : step] == elements[start:end:step]


def test_restarts_end() -> None:
    def attempt(replaced: dict[str, DimLike], pins: dict[Dim, int]) -> tuple[str, dict[Dim, int]]:
        size = replaced.get("N", Dim.symbol("N"))
        if str(size) == "N":
            raise Conflict({"N": Dim.symbol("M")})
        if not pins:
            raise Conflict(pins={Dim.symbol("M") + Dim.symbol("K"): 3})
        if str(size) == "M":
            raise Conflict({"M": 4})
        return str(size), pins

    size, pins = settle(attempt)  # type: ignore[arg-type]
    assert size == "4"
    assert {str(dim): value for dim, value in pins.items()} == {"K+4": 3}
    with pytest.raises(rl.UnsupportedError):
        settle(lambda replaced, pins: (_ for _ in ()).throw(Conflict()))


def test_unify() -> None:
    b = Emitter()
    b.unify(3, 3)
    h = parse_dim("H")
    for a, c, replaced in (("H", "W", {"H": "W"}), ("2*(H//2)", "H", {"H": "2*H"}), ("H", "5", {"H": "5"})):
        with pytest.raises(Conflict) as conflict:
            b.unify(parse_dim(a), parse_dim(c))
        assert {k: str(v) for k, v in conflict.value.substitution.items()} == replaced
    with pytest.raises(Conflict) as conflict:
        b.unify(parse_dim("H//4"), 1)
    assert conflict.value.pins == {parse_dim("H//4"): 1}
    with pytest.raises(rl.UnsupportedError):
        b.unify(h, h + 1)


def test_constants_are_folded_but_for_quantized_weights() -> None:
    b = Emitter()
    one = b.add(np.float32([1, 2]), np.float32([3, 4]))
    assert one.is_constant
    assert one.data.tolist() == [4, 6]
    kept = b.dequantize(np.int8([1, 2]), np.float32(0.5), np.int8(0))
    assert not kept.is_constant
    assert not b.tile(np.zeros((1024, 1024), np.float32), repeats=(4, 4)).is_constant
    sizes = ShapeTensor([Dim.symbol("N"), 3])
    assert b.dims(sizes, "sizes") == [Dim.symbol("N"), 3]
    with pytest.raises(rl.UnsupportedError):
        b.ints(sizes, "sizes")
    assert [node.op.name for node in b.graph.nodes] == ["dequantize", "tile"]
