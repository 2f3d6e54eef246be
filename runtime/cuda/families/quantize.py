"""Between float32 and 8 bits."""

from __future__ import annotations

from math import prod

from ..axes import Axis, Strided, broadcast, map_widths, over_axes, vector_of
from ..device import Device, Launch
from ..family import Call, Family, Row, rows_of
from ..source import Kernel

_TABLE_BYTES = 64 * 32 * 4 + 256
"""Of shared memory: a copy for every lane, and the table."""
_CHANNELS = (2, 3, 4)


def _byte(row: Row) -> str:
    return "int8_t" if "s8" in row.types else "uint8_t"


def _kernels(row: Row) -> list[Kernel]:
    if row.op == "qlut":
        return [Kernel("quantize_table")]
    if row.op == "quantize_planes":
        return [Kernel("quantize_planes", (("BYTE", _byte(row)), ("CHANNELS", channels))) for channels in _CHANNELS]
    return [Kernel("quantize_map", (("OP", row.op), ("BYTE", _byte(row))))]


def _launches(call: Call, device: Device) -> list[Launch]:
    rank = int(call.fields["rank"])
    shape = call.fields["shape"][:rank].tolist()
    if call.row.op == "qlut":
        return _look_up(call, device, shape)
    if call.row.op == "quantize_planes":
        return _interleave(call, device, shape, int(call.fields["scale_strides"][rank - 1]))
    (kernel,) = _kernels(call.row)
    x, scale, zero_point, out = call.operands
    reads, writes = (4, 1) if call.row.op == "quantize" else (1, 4) if call.row.op == "dequantize" else (1, 1)
    operands = [
        Strided("scale", scale, 4, 0),
        Strided("zero_point", zero_point, 4 if call.row.op == "qaffine" else 1, 0),
        Strided("x", x, reads, 1),
        Strided("out", out, writes, 1),
    ]
    axes = broadcast(call, "scale_strides")
    widths = map_widths(16 if call.row.op == "qaffine" else 4)
    return over_axes(kernel, device, axes, operands, vector_of(axes, operands, widths))


def _look_up(call: Call, device: Device, shape: list[int]) -> list[Launch]:
    (kernel,) = _kernels(call.row)
    x, table, _, out = call.operands
    axes = [Axis(prod(shape), (1,))]
    operands = [Strided("x", x, 1, 0), Strided("out", out, 1, 0)]
    vector = vector_of(axes, operands, map_widths(16))
    return over_axes(kernel, device, axes, operands, vector, shared_bytes=_TABLE_BYTES, table=table)


def _interleave(call: Call, device: Device, shape: list[int], step: int) -> list[Launch]:
    images, pixels, channels = shape
    kernel = _kernels(call.row)[_CHANNELS.index(channels)]
    x, scale, zero_point, out = call.operands
    vector = 4 if pixels % 4 == 0 and x % 16 == 0 and out % 4 == 0 else 1
    return over_axes(
        kernel,
        device,
        [Axis(images, (channels * pixels, channels * pixels)), Axis(pixels, (1, channels))],
        [Strided("x", x, 4, 0), Strided("out", out, 1, 1)],
        vector,
        scale=scale,
        zero_point=zero_point,
        step=step,
        plane=pixels,
    )


FAMILY = Family("quantize", rows_of("quantize"), _kernels, _launches)
