"""Einstein summation in terms of permutations, one batched matrix product a pair of operands, and sums."""

from __future__ import annotations

from collections.abc import Sequence

from rushlight.exporter.emitter import Emitter
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value
from rushlight.runtime.types import DimLike, product


def einsum(b: Emitter, equation: str, operands: Sequence[Value]) -> Value:
    """`operands` contracted as in NumPy. Raises UnsupportedError for a repeated index in one operand (a diagonal)."""
    terms, wanted = _parse(equation, [value.type.rank for value in operands])
    value, labels = operands[0], terms[0]
    value, labels = _sum_out(b, value, labels, keep="".join(terms[1:]) + wanted)
    for position in range(1, len(operands)):
        later = "".join(terms[position + 1 :]) + wanted
        other, other_labels = _sum_out(b, operands[position], terms[position], keep=labels + later)
        value, labels = _contract(b, value, labels, other, other_labels, later)
    value, labels = _sum_out(b, value, labels, keep=wanted)
    return b.permute(value, [labels.index(label) for label in wanted])


def _parse(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Index letters of the operands and of the result; an ellipsis becomes capital letters that no operand uses."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise UnsupportedError(f"'{equation}' with {len(ranks)} operands")
    free = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation]
    widths = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    widest = max((w for term, w in zip(terms, widths, strict=True) if "..." in term), default=0)
    dots = "".join(free[:widest])
    expanded = [
        term.replace("...", dots[widest - width :]) if "..." in term else term
        for term, width in zip(terms, widths, strict=True)
    ]
    if any(len(term) != rank for term, rank in zip(expanded, ranks, strict=True)):
        raise UnsupportedError(f"'{equation}' on operands of {', '.join(map(str, ranks))} axes")
    if any(len(set(term)) != len(term) for term in expanded):
        raise UnsupportedError(f"'{equation}', which takes a diagonal")
    if arrow:
        return expanded, right.replace("...", dots)
    letters = "".join(expanded)
    once = sorted(letter for letter in set(letters) - set(dots) if letters.count(letter) == 1)
    return expanded, dots + "".join(once)


def _sum_out(b: Emitter, value: Value, labels: str, keep: str) -> tuple[Value, str]:
    axes = [axis for axis, label in enumerate(labels) if label not in keep]
    if not axes:
        return value, labels
    summed: Value = b.sum(value, dim=tuple(axes), keepdim=False)
    return summed, "".join(label for label in labels if label in keep)


def _contract(b: Emitter, x: Value, xs: str, y: Value, ys: str, later: str) -> tuple[Value, str]:
    """One matrix product: shared letters that are still needed are the batch, the others are summed over."""
    sizes: dict[str, DimLike] = {}
    for label, dim in [*zip(xs, x.shape, strict=True), *zip(ys, y.shape, strict=True)]:
        if sizes.get(label, 1) != 1 and dim != 1:
            b.unify(sizes[label], dim)
        if sizes.get(label, 1) == 1:
            sizes[label] = dim
    batch = [label for label in xs if label in ys and label in later]
    inner = [label for label in xs if label in ys and label not in later]
    rows = [label for label in xs if label not in ys]
    columns = [label for label in ys if label not in xs]

    def matrix(value: Value, labels: str, left: list[str], right: list[str]) -> Value:
        order = [*batch, *left, *right]
        moved = b.permute(value, [labels.index(label) for label in order])
        full = [sizes[label] for label in order]
        if list(moved.shape) != full:
            moved = b.expand(moved, shape=full)
        shape = [sizes[label] for label in batch]
        shape += [product(sizes[label] for label in left), product(sizes[label] for label in right)]
        return b.reshape(moved, shape)

    out = b.matmul(matrix(x, xs, rows, inner), matrix(y, ys, inner, columns))
    labels = [*batch, *rows, *columns]
    return b.reshape(out, [sizes[label] for label in labels]), "".join(labels)
