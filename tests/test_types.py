"""Symbolic dimensions: their algebra agrees with that of the integers they stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rushlight.runtime.errors import ShapeError
from rushlight.runtime.types import (
    Dim,
    DimLike,
    TensorType,
    evaluate,
    exact_div,
    floordiv,
    parse_dim,
    product,
    substitute,
    tensor_type,
)

N, H, W = (Dim.symbol(name) for name in "NHW")

# A dimension together with the function of the sizes that it must be.
Meaning = Callable[[dict[str, int]], int]
Pair = tuple[DimLike, Meaning]


def leaf_pairs() -> st.SearchStrategy[Pair]:
    symbols = st.sampled_from("NHW").map(lambda name: (Dim.symbol(name), lambda sizes: sizes[name]))
    numbers = st.integers(-7, 7).map(lambda n: (n, lambda sizes: n))
    return symbols | numbers


def combine(children: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    sums = st.tuples(children, children).map(lambda p: (p[0][0] + p[1][0], lambda s: p[0][1](s) + p[1][1](s)))
    differences = st.tuples(children, children).map(lambda p: (p[0][0] - p[1][0], lambda s: p[0][1](s) - p[1][1](s)))
    products = st.tuples(children, children).map(lambda p: (p[0][0] * p[1][0], lambda s: p[0][1](s) * p[1][1](s)))
    quotients = st.tuples(children, st.integers(1, 9)).map(
        lambda p: (floordiv(p[0][0], p[1]), lambda s: p[0][1](s) // p[1])
    )
    return sums | differences | products | quotients


pairs = st.recursive(leaf_pairs(), combine, max_leaves=8)
bindings = st.fixed_dictionaries({name: st.integers(-20, 40) for name in "NHW"})


@given(pairs, bindings)
def test_evaluates_to_what_was_built(pair: Pair, sizes: dict[str, int]) -> None:
    dim, meaning = pair
    assert evaluate(dim, sizes) == meaning(sizes)


@given(pairs)
def test_text_reads_back(pair: Pair) -> None:
    dim, _ = pair
    if len(str(dim)) <= 512:
        assert parse_dim(str(dim)) == dim


@given(pairs, pairs, pairs)
@settings(max_examples=50)
def test_is_canonical(first: Pair, second: Pair, third: Pair) -> None:
    a, b, c = first[0], second[0], third[0]
    assert a + b == b + a
    assert a * b == b * a
    assert (a + b) + c == a + (b + c)
    assert a * (b + c) == a * b + a * c
    assert a - a == 0
    assert isinstance(a - a, int)
    assert hash(a + b) == hash(b + a)


@given(pairs, bindings, st.sampled_from("NHW"), pairs)
def test_substitution_is_evaluation_in_two_steps(pair: Pair, sizes: dict[str, int], name: str, new: Pair) -> None:
    replaced = substitute(pair[0], {name: new[0]})
    assert evaluate(replaced, sizes) == pair[1]({**sizes, name: new[1](sizes)})


@given(pairs, pairs, bindings)
def test_exact_division_is_exact(a: Pair, b: Pair, sizes: dict[str, int]) -> None:
    quotient = exact_div(a[0], b[0])
    if quotient is not None and b[1](sizes) != 0:
        assert evaluate(quotient, sizes) * b[1](sizes) == a[1](sizes)


@given(pairs, st.sampled_from([N, 2 * N, 3 * N * H, H * ((W + 1) // 2), 5]))
def test_exact_division_undoes_multiplication(pair: Pair, divisor: DimLike) -> None:
    if pair[0] != 0:
        assert exact_div(pair[0] * divisor, divisor) == pair[0]


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (N, "N"),
        (2 * N + 1, "2*N+1"),
        (N * H - 3, "H*N-3"),
        ((H + 1) // 2, "((H+1)//2)"),
        ((2 * H + 3) // 2, "H+1"),
        (H // 2 // 3, "((H)//6)"),
        ((4 * N * H) // 2, "2*H*N"),
        ((6 * H + 4) // 4, "H+((H)//2)+1"),
        ((2 * H + 3) // 4, "((H+1)//2)"),
        ((H // 2 + 1) // 3, "((H+2)//6)"),
        (N - N, "0"),
        (-N, "-N"),
    ],
)
def test_text(dim: DimLike, text: str) -> None:
    assert str(dim) == text


@given(st.integers(-9, 9).filter(bool), st.integers(-9, 9), st.integers(0, 50))
def test_solving_finds_the_size(factor: int, offset: int, size: int) -> None:
    assert (N * factor + offset).solve(size * factor + offset) == ("N", size)  # type: ignore[union-attr]


@pytest.mark.parametrize("dim", [N + H, N * H, N * N, (N + 1) // 2, 2 * (N // 2) + 1])
def test_solving_is_refused(dim: Dim) -> None:
    assert dim.solve(5) is None


def test_constants_are_ints() -> None:
    for constant in (N - N + 3, (2 * N + 4 - 2 * N) // 2, N * 0, substitute(N + H, {"N": 1, "H": 2})):
        assert type(constant) is int


def test_exact_division_refuses_what_is_not_exact() -> None:
    assert exact_div(N, 2) is None
    assert exact_div(N * H, W) is None
    assert exact_div(6 * N * H, 2 * N) == 3 * H
    assert exact_div(7, 0) is None
    assert exact_div(N + H, N + H) == 1
    assert exact_div(N * H, N + H) is None


@pytest.mark.parametrize(
    "text", ["", "N+", "2N", "(N", "N)", "N//0", "N//H", "N//-2", "N/2", "*N", "N N", "1.5", "N--H", "é"]
)
def test_text_that_is_no_dimension(text: str) -> None:
    with pytest.raises(ShapeError):
        parse_dim(text)


@pytest.mark.parametrize("text", ["(" * 300 + "N" + ")" * 300, "N+" * 300 + "N", "9" * 513])
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(ShapeError):
        parse_dim(text)


@pytest.mark.parametrize("name", ["", "1N", "N M", "N+1", "x" * 65])
def test_bad_symbol(name: str) -> None:
    with pytest.raises(ShapeError):
        Dim.symbol(name)


def test_unbound_symbol() -> None:
    with pytest.raises(ShapeError, match="'H' has no value"):
        evaluate(N * H, {"N": 2})


def test_symbols() -> None:
    assert ((N + H) // 2 * W + 1).symbols() == {"N", "H", "W"}  # type: ignore[union-attr]
    assert N.as_symbol() == "N"
    assert (N + 1).as_symbol() is None  # type: ignore[union-attr]
    assert (2 * N).as_symbol() is None  # type: ignore[union-attr]


@pytest.mark.parametrize("divisor", [0, -1])
def test_division_needs_a_positive_number(divisor: int) -> None:
    with pytest.raises(ShapeError):
        floordiv(N, divisor)


def test_tensor_type() -> None:
    t = tensor_type(np.float32, ("N", 3, "2*N+1", H))
    assert t.shape == (N, 3, 2 * N + 1, H)
    assert str(t) == "float32[N, 3, 2*N+1, H]"
    assert t.rank == 4
    assert not t.is_static
    assert t.size == product(t.shape)
    assert t == TensorType(np.dtype("float32"), t.shape)
    assert t.with_dtype("int8").dtype == np.int8
    assert t.with_shape((1, 2)).static_shape() == (1, 2)
    with pytest.raises(ShapeError, match="not static"):
        t.static_shape()


@pytest.mark.parametrize(("dtype", "shape"), [("complex64", ()), ("S3", ()), ("float32", (-1,)), ("float32", ("-1",))])
def test_bad_tensor_type(dtype: str, shape: tuple[int | str, ...]) -> None:
    with pytest.raises(ShapeError):
        tensor_type(dtype, shape)
