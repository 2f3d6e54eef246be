"""Rows at places that indices name."""

from __future__ import annotations

from math import prod

from ..axes import Axis, Strided, over_axes, vector_of
from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..source import Kernel

_INDICES = {"s64": ("int64_t", 8), "s32": ("int32_t", 4)}


def _kernels(row: Row) -> list[Kernel]:
    return [Kernel("index_gather", (("INDEX", _INDICES[row.types][0]),))]


def _launches(call: Call, device: Device) -> list[Launch]:
    (kernel,) = _kernels(call.row)
    fields = call.fields
    rank, depth, row = int(fields["rank"]), int(fields["depth"]), int(fields["row"])
    dims, x_strides, index_strides = (fields[name][:rank].tolist() for name in ("dims", "x_stride", "index_stride"))
    out_strides = [row * prod(dims[d + 1 :]) for d in range(rank)]
    points = fields["point_stride"][:depth].tolist()
    outer = zip(dims, zip(x_strides, index_strides, out_strides, strict=True), strict=True)
    axes = [*(Axis(size, strides) for size, strides in outer), Axis(row, (1, 0, 1))]
    x, index, out, fault = call.operands
    words = [Strided("x", x, 1, 0), Strided("out", out, 1, 2)]
    widths = [width for width in (16, 8, 4, 2) if not any(number % width for number in (row, *points))]
    return over_axes(
        kernel,
        device,
        axes,
        [*words, Strided("index", index, _INDICES[call.row.types][1], 1)],
        vector_of(axes, words, widths),
        fault=fault,
        point_size=fields["point_size"],
        point_stride=fields["point_stride"],
        depth=depth,
    )


FAMILY = Family("index", rows_of("index"), _kernels, _launches)
