"""How a reshape groups the axes of a tensor."""

from __future__ import annotations

from collections.abc import Sequence

from ..types import DimLike, exact_div, product


def axis_groups(before: Sequence[DimLike], after: Sequence[DimLike]) -> list[tuple[range, range]] | None:
    """The finest split of a reshape into runs of axes with equal element counts; None where there is no such split."""
    groups: list[tuple[range, range]] = []
    i = j = 0
    while i < len(before) and j < len(after):
        start_i, start_j = i, j
        i, j = i + 1, j + 1
        while product(before[start_i:i]) != product(after[start_j:j]):
            left, right = product(before[start_i:i]), product(after[start_j:j])
            if (_is_smaller(left, right) or j == len(after)) and i < len(before):
                i += 1
            elif j < len(after):
                j += 1
            else:
                return None
        groups.append((range(start_i, i), range(start_j, j)))
    if i < len(before) or j < len(after):
        ones = all(d == 1 for d in before[i:]) and all(d == 1 for d in after[j:])
        if not ones or not groups:
            return None
        last_before, last_after = groups[-1]
        groups[-1] = (range(last_before.start, len(before)), range(last_after.start, len(after)))
    return groups


def _is_smaller(left: DimLike, right: DimLike) -> bool:
    if isinstance(left, int) and isinstance(right, int):
        return left < right
    return exact_div(right, left) is not None
