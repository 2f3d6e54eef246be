"""The ground floor: dtypes, symbolic dimensions and tensor types.

A dimension is an `int` or a `Dim`: a polynomial with integer coefficients over named symbols and floor divisions, as
convolutions and reshapes of dynamic sizes need them (``(H + 1) // 2``, ``N * 64``). Arithmetic that ends in a constant
gives an `int`, so static shapes never carry a `Dim`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, TypeAlias, Union

import numpy as np

from .errors import ShapeError

DTYPES: tuple[str, ...] = (
    "float32",
    "float64",
    "float16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
)
"""Names of the element types that a graph value can have (NumPy's names)."""

SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")
"""What the name of a symbolic dimension looks like (`re.fullmatch`)."""

DimLike: TypeAlias = Union[int, "Dim"]  # the operator | fails on a name in quotes
Atom: TypeAlias = str | tuple["Dim", int]  # a symbol, or floor(Dim / int)
Monomial: TypeAlias = tuple[Atom, ...]  # sorted product of atoms; () is the constant


def _atom_key(atom: Atom) -> str:
    return atom if isinstance(atom, str) else f"~({atom[0]})//{atom[1]}"


class Dim:
    """A symbolic dimension in canonical form: equal expressions compare and hash equal."""

    __slots__ = ("_hash", "terms")

    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        kept = [(m, c) for m, c in terms.items() if c]
        kept.sort(key=lambda t: (-len(t[0]), [_atom_key(a) for a in t[0]]))
        self.terms = tuple(kept)
        self._hash = hash(self.terms)

    @staticmethod
    def symbol(name: str) -> Dim:
        if not SYMBOL.fullmatch(name):
            raise ShapeError(f"'{name[:80]}' is not a name for a dimension")
        return Dim({(name,): 1})

    def symbols(self) -> set[str]:
        """Names of all symbols in the expression."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    found |= atom[0].symbols()
        return found

    def as_symbol(self) -> str | None:
        """The symbol's name if the expression is just one symbol, else None."""
        if len(self.terms) == 1:
            monomial, coefficient = self.terms[0]
            if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], str):
                return monomial[0]
        return None

    def solve(self, size: int) -> tuple[str, int] | None:
        """Symbol and value, rounded down, for which ``a * symbol + b`` is `size`; None for any other expression."""
        linear = [(m[0], c) for m, c in self.terms if len(m) == 1 and isinstance(m[0], str)]
        offset = sum(c for m, c in self.terms if not m)
        if len(linear) != 1 or len(self.terms) != 1 + bool(offset):
            return None
        symbol, factor = linear[0]
        return str(symbol), (size - offset) // factor

    def evaluate(self, binding: Mapping[str, int]) -> int:
        """The value under `binding` (symbol -> int). Raises ShapeError for a symbol that is not bound."""
        total = 0
        for monomial, coefficient in self.terms:
            product = coefficient
            for atom in monomial:
                if isinstance(atom, str):
                    if atom not in binding:
                        raise ShapeError(f"dimension '{atom}' has no value")
                    product *= binding[atom]
                else:
                    product *= atom[0].evaluate(binding) // atom[1]
            total += product
        return total

    def substitute(self, binding: Mapping[str, DimLike]) -> DimLike:
        """The expression with symbols replaced; symbols that are not in `binding` stay."""
        total: DimLike = 0
        for monomial, coefficient in self.terms:
            product: DimLike = coefficient
            for atom in monomial:
                if isinstance(atom, str):
                    product = product * binding.get(atom, Dim({(atom,): 1}))
                else:
                    product = product * floordiv(substitute(atom[0], binding), atom[1])
            total = total + product
        return total

    def __add__(self, other: DimLike) -> DimLike:
        terms = dict(self.terms)
        for monomial, coefficient in _terms(other):
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return _simplify(terms)

    __radd__ = __add__

    def __neg__(self) -> DimLike:
        return _simplify({m: -c for m, c in self.terms})

    def __sub__(self, other: DimLike) -> DimLike:
        return self + (-other)

    def __rsub__(self, other: DimLike) -> DimLike:
        return (-self) + other

    def __mul__(self, other: DimLike) -> DimLike:
        terms: dict[Monomial, int] = {}
        for a, ca in self.terms:
            for b, cb in _terms(other):
                monomial = tuple(sorted((*a, *b), key=_atom_key))
                terms[monomial] = terms.get(monomial, 0) + ca * cb
        return _simplify(terms)

    __rmul__ = __mul__

    def __floordiv__(self, divisor: int) -> DimLike:
        if not isinstance(divisor, int) or divisor <= 0:
            raise ShapeError(f"cannot divide dimension {self} by {divisor}")
        if divisor == 1:
            return self
        common = gcd(divisor, *(c for m, c in self.terms if m))
        if common > 1:  # floor((g*x + c) / (g*d)) = floor((x + floor(c/g)) / d)
            return floordiv(_simplify({m: c // common for m, c in self.terms}), divisor // common)
        # floor((d*q + r) / d) = q + floor(r / d) for every integer q: only the remainder stays below the bar.
        quotient = {m: c // divisor for m, c in self.terms}
        rest = _simplify({m: c % divisor for m, c in self.terms})
        return _simplify(quotient) + (rest // divisor if isinstance(rest, int) else _below(rest, divisor))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        text = ""
        for monomial, coefficient in self.terms:
            atoms = [a if isinstance(a, str) else f"(({a[0]})//{a[1]})" for a in monomial]
            if abs(coefficient) != 1 or not atoms:
                atoms.insert(0, str(abs(coefficient)))
            sign = "-" if coefficient < 0 else "+"
            text += f"{sign if text or sign == '-' else ''}{'*'.join(atoms)}"
        return text or "0"

    __repr__ = __str__


def _below(rest: Dim, divisor: int) -> Dim:
    """floor(rest / divisor); floor((floor(a / b) + c) / d) = floor((a + b c) / (b d)) for whole c."""
    terms = dict(rest.terms)
    offset = terms.pop((), 0)
    if len(terms) == 1:
        (monomial, coefficient) = next(iter(terms.items()))
        if coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], tuple):
            inner, by = monomial[0]
            merged = floordiv(inner + offset * by, by * divisor)
            if isinstance(merged, Dim):
                return merged
    return Dim({((rest, divisor),): 1})


def _terms(value: DimLike) -> Iterable[tuple[Monomial, int]]:
    return value.terms if isinstance(value, Dim) else (((), int(value)),)


def _simplify(terms: Mapping[Monomial, int]) -> DimLike:
    kept = {m: c for m, c in terms.items() if c}
    if not kept:
        return 0
    if len(kept) == 1 and () in kept:
        return kept[()]
    return Dim(kept)


def floordiv(value: DimLike, divisor: int) -> DimLike:
    """`value // divisor` for a static or symbolic dimension; `divisor` is positive."""
    return value // divisor


def substitute(value: DimLike, binding: Mapping[str, DimLike]) -> DimLike:
    return value.substitute(binding) if isinstance(value, Dim) else value


def evaluate(value: DimLike, binding: Mapping[str, int]) -> int:
    return value.evaluate(binding) if isinstance(value, Dim) else value


def exact_div(value: DimLike, divisor: DimLike) -> DimLike | None:
    """`value / divisor` where it is a dimension without remainder for all values of the symbols, else None.

    Divides by constants and by single products (``6*N*S / (2*N) = 3*S``), which is what reshapes need.
    """
    if value == divisor:
        return 1
    if isinstance(divisor, int):
        if divisor == 0 or any(c % divisor for _, c in _terms(value)):
            return None
        return _simplify({m: c // divisor for m, c in _terms(value)})
    if len(divisor.terms) != 1:
        return None
    wanted, coefficient = divisor.terms[0]
    out: dict[Monomial, int] = {}
    for monomial, c in _terms(value):
        left = list(monomial)
        for atom in wanted:
            if atom not in left:
                return None
            left.remove(atom)
        if c % coefficient:
            return None
        out[tuple(left)] = c // coefficient
    return _simplify(out)


def product(dims: Iterable[DimLike]) -> DimLike:
    total: DimLike = 1
    for dim in dims:
        total = total * dim
    return total


def dense_strides(shape: Sequence[DimLike]) -> tuple[DimLike, ...]:
    """Strides of a dense row-major tensor, in elements."""
    return tuple(product(shape[axis + 1 :]) for axis in range(len(shape)))


_TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_][A-Za-z0-9_.]*)|(//|[-+*()]))")


def parse_dim(text: str, limit: int = 512) -> DimLike:
    """Reads what `str(Dim)` writes. Raises ShapeError for anything else, or for more than `limit` characters."""
    if len(text) > limit:
        raise ShapeError(f"dimension of {len(text)} characters (at most {limit})")
    tokens: list[str] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise ShapeError(f"'{text[:80]}' is not a dimension")
        tokens.append(match.group().strip())
        at = match.end()
    value, rest = _parse_sum(tokens, 0, 0)
    if rest != len(tokens):
        raise ShapeError(f"'{text[:80]}' is not a dimension")
    return value


def _parse_sum(tokens: list[str], at: int, depth: int) -> tuple[DimLike, int]:
    sign = 1
    if at < len(tokens) and tokens[at] == "-":
        sign, at = -1, at + 1
    value, at = _parse_product(tokens, at, depth)
    value = value * sign
    while at < len(tokens) and tokens[at] in "+-":
        operator = tokens[at]
        right, at = _parse_product(tokens, at + 1, depth)
        value = value + right if operator == "+" else value - right
    return value, at


def _parse_product(tokens: list[str], at: int, depth: int) -> tuple[DimLike, int]:
    value, at = _parse_atom(tokens, at, depth)
    while at < len(tokens) and tokens[at] in ("*", "//"):
        operator = tokens[at]
        right, at = _parse_atom(tokens, at + 1, depth)
        if operator == "*":
            value = value * right
        elif isinstance(right, int) and right > 0:
            value = floordiv(value, right)
        else:
            raise ShapeError("a dimension can be divided by a positive number only")
    return value, at


def _parse_atom(tokens: list[str], at: int, depth: int) -> tuple[DimLike, int]:
    if at >= len(tokens) or depth > 16:
        raise ShapeError("dimension ends early or is nested too deeply")
    token = tokens[at]
    if token == "(":
        value, at = _parse_sum(tokens, at + 1, depth + 1)
        if at >= len(tokens) or tokens[at] != ")":
            raise ShapeError("dimension lacks a closing bracket")
        return value, at + 1
    if token.isdigit():
        return int(token), at + 1
    return Dim.symbol(token), at + 1


@dataclass(frozen=True)
class TensorType:
    """Element type and shape of a graph value: ``TensorType(np.dtype('float32'), (Dim.symbol('N'), 3))``."""

    dtype: np.dtype[Any]
    shape: tuple[DimLike, ...]

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        return all(isinstance(d, int) for d in self.shape)

    @property
    def size(self) -> DimLike:
        """Number of elements."""
        return product(self.shape)

    def static_shape(self) -> tuple[int, ...]:
        """The shape as ints. Raises ShapeError where a dimension is symbolic."""
        if not self.is_static:
            raise ShapeError(f"shape {self} is not static")
        return tuple(d for d in self.shape if isinstance(d, int))

    def with_shape(self, shape: Iterable[DimLike]) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: Any) -> TensorType:
        return TensorType(np.dtype(dtype), self.shape)

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


def tensor_type(dtype: Any, shape: Iterable[int | str | Dim]) -> TensorType:
    """`tensor_type(np.float32, ("N", 4))`: strings name symbols or hold dimension expressions."""
    resolved = np.dtype(dtype)
    if resolved.name not in DTYPES:
        raise ShapeError(f"dtype {resolved} is not supported")
    dims: list[DimLike] = []
    for dim in shape:
        if isinstance(dim, str):
            dims.append(parse_dim(dim))
        elif isinstance(dim, Dim):
            dims.append(dim)
        else:
            dims.append(int(dim))
        last = dims[-1]
        if isinstance(last, int) and last < 0:
            raise ShapeError(f"negative dimension {last}")
    return TensorType(resolved, tuple(dims))
