"""Scales and offsets with an activation."""

from __future__ import annotations

from math import inf

from ...lower.activation import KINDS
from ..axes import Strided, broadcast, map_widths, over_axes, vector_of
from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..source import Kernel

_NAMES = ("x", "scale", "offset", "out")


def _kernels(row: Row) -> list[Kernel]:
    return [Kernel("fma_map", (("WIDEST", widest), ("IS_CURVE", is_curve))) for widest, is_curve in ((4, 0), (1, 1))]


def _launches(call: Call, device: Device) -> list[Launch]:
    fields = call.fields
    activation, alpha, beta = int(fields["activation"]), float(fields["alpha"]), float(fields["beta"])
    bounds = {"none": (-inf, inf), "relu": (0.0, inf), "clamp": (alpha, beta)}
    is_curve = KINDS[activation] not in bounds
    kernel = _kernels(call.row)[is_curve]
    alpha, beta = bounds.get(KINDS[activation], (alpha, beta))
    axes = broadcast(call, "x_strides", "scale_strides", "offset_strides")
    operands = [Strided(name, at, 4, k) for k, (name, at) in enumerate(zip(_NAMES, call.operands, strict=True))]
    vector = vector_of(axes, operands, map_widths(1 if is_curve else 4))
    return over_axes(kernel, device, axes, operands, vector, activation=activation, alpha=alpha, beta=beta)


FAMILY = Family("fma", rows_of("fma"), _kernels, _launches)
