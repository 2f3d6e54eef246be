"""Normalizations of rows and of groups of channels."""

from __future__ import annotations

from typing import Any

from ..device import ALIGNMENT, Device, Launch
from ..family import BLOCKS_A_MULTIPROCESSOR, Call, Family, Row, rows_of
from ..reductions import COLUMN_WIDTHS, ROW_PAIRS, over_columns, over_long_rows, over_rows, pairs_of
from ..source import Kernel

_GROUPS = Kernel("norm_groups")


def _rows(row: Row, pairs: int) -> Kernel:
    return Kernel("norm_rows", (("CENTRED", int(row.op == "layer_norm")), ("PAIRS", pairs)))


def _long_rows(row: Row) -> Kernel:
    return Kernel("norm_long_rows", (("CENTRED", int(row.op == "layer_norm")),))


def _sums(squared: int, width: int) -> Kernel:
    return Kernel("norm_sums", (("SQUARED", squared), ("COLUMNS", width)))


def _means(squared: int) -> Kernel:
    return Kernel("norm_means", (("SQUARED", squared),))


def _kernels(row: Row) -> list[Kernel]:
    if row.op != "group_norm":
        return [*(_rows(row, pairs) for pairs in ROW_PAIRS), _long_rows(row)]
    sums = [_sums(squared, width) for squared in (0, 1) for width in COLUMN_WIDTHS]
    return [*sums, _means(0), _means(1), _GROUPS]


def _launches(call: Call, device: Device) -> list[Launch]:
    row, outer, n = call.row, int(call.fields["outer"]), int(call.fields["n"])
    if row.op == "group_norm":
        return _group_launches(call, device)
    if n == 0:
        return []
    pairs = pairs_of(n)
    if pairs:
        return over_rows(_rows(row, pairs), outer, device, call.argument(0))
    return over_long_rows(_long_rows(row), outer, n, device, call.argument)


def _group_launches(call: Call, device: Device) -> list[Launch]:
    outer, spatial, groups, n = (int(call.fields[name]) for name in ("outer", "spatial", "groups", "n"))
    elements = outer * spatial * groups * n
    if elements == 0:
        return []
    x, weight, bias, out = call.operands
    sums, means, factors = _scratch(call)[:3]
    launches: list[Launch] = []
    for squared, result in ((0, means), (1, factors)):
        columns = _sums(squared, COLUMN_WIDTHS[0]).pack(
            x=x, means=means, sums=sums, outer=outer, spatial=spatial, channels=groups * n, n=n
        )
        launches += over_columns(
            lambda width, squared=squared: _sums(squared, width),  # type: ignore[misc]
            outer * groups * n, spatial, device, columns,
        )  # fmt: skip
        fields: dict[str, Any] = {"rows": outer * groups, "n": n, "elements": n * spatial, "eps": call.fields["eps"]}
        kernel = _means(squared)
        launches += over_rows(kernel, outer * groups, device, kernel.pack(sums=sums, means=result, **fields))
    argument = _GROUPS.pack(
        x=x, weight=weight, bias=bias, out=out, means=means, factors=factors,
        elements=elements, spatial=spatial, groups=groups, n=n,
    )  # fmt: skip
    blocks = min(-(-elements // 1024), BLOCKS_A_MULTIPROCESSOR * device.multiprocessors)
    return [*launches, Launch(_GROUPS, (blocks, 1, 1), 256, 0, argument)]


def _scratch(call: Call) -> list[int]:
    """Where the channels' sums, the groups' means and their factors lie, and where that ends."""
    outer, groups, n = (int(call.fields[name]) for name in ("outer", "groups", "n"))
    places = [call.scratch]
    for elements in (outer * groups * n, outer * groups, outer * groups):
        places.append(places[-1] + -(-elements * 4 // ALIGNMENT) * ALIGNMENT)
    return places


def _scratch_bytes(call: Call, device: Device) -> int:
    return _scratch(call)[-1] if call.row.op == "group_norm" else 0


FAMILY = Family("norm", rows_of("norm"), _kernels, _launches, _scratch_bytes)
