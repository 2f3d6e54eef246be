"""Copies between strided tensors, and pads."""

from __future__ import annotations

from collections.abc import Sequence

from ..axes import THREADS, Axis, Part, Strided, collapsed, filled, over_axes, parts, vector_of
from ..device import Device, Launch
from ..family import BLOCKS_A_MULTIPROCESSOR, Call, Family, Row, rows_of
from ..source import Kernel

_COPY, _TRANSPOSE, _PAD = Kernel("move_copy"), Kernel("move_transpose"), Kernel("move_pad")
_WORDS = (16, 8, 4, 2)
_SHARED_BYTES = 8448
"""Of a transpose: 32 rows of 33 elements of 8 bytes."""
_LEAST = 8
"""Elements along either side of what is worth transposing in tiles."""
_MOST_TILES = 1 << 30


def _kernels(row: Row) -> list[Kernel]:
    return [_COPY, _TRANSPOSE] if row.op == "copy" else [_PAD]


def _launches(call: Call, device: Device) -> list[Launch]:
    itemsize = int(call.row.types[1:]) // 8
    fields = call.fields
    rank = int(fields["rank"])
    names = ("dims", "src_stride", "dst_stride", "src_dims", "begin")
    columns = [fields[name][:rank].tolist() for name in names]
    axes = []
    for size, src, dst, inside, begin in zip(*columns, strict=True):
        is_padded = call.row.op != "copy" and (begin, inside) != (0, size)
        axes.append(Axis(size, (src, dst), (begin, inside) if is_padded else None))
    axes.sort(key=lambda axis: -axis.strides[1])  # dst is written in order
    if call.row.op == "copy":
        tiled = _tiled(call, device, collapsed(axes), itemsize) if axes else None
        return _copied(call, device, _in_bytes(axes, itemsize)) if tiled is None else tiled
    return _padded(call, device, _in_bytes(axes, itemsize), itemsize)


def _in_bytes(axes: Sequence[Axis], itemsize: int) -> list[Axis]:
    own = [Axis(axis.size, (axis.strides[0] * itemsize, axis.strides[1] * itemsize), axis.pad) for axis in axes]
    return collapsed([*own, Axis(itemsize, (1, 1))])


def _operands(call: Call) -> list[Strided]:
    src, dst = call.operands
    return [Strided("src", src, 1, 0), Strided("dst", dst, 1, 1)]


def _word(axes: Sequence[Axis], operands: Sequence[Strided]) -> int:
    """Bytes of a thread: neighbours in src and dst."""
    return vector_of(axes, operands, _WORDS) if axes[-1].strides == (1, 1) and axes[-1].pad is None else 1


def _copied(call: Call, device: Device, axes: list[Axis]) -> list[Launch]:
    operands = _operands(call)
    return over_axes(_COPY, device, axes, operands, _word(axes, operands))


def _padded(call: Call, device: Device, axes: list[Axis], itemsize: int) -> list[Launch]:
    operands = _operands(call)
    bits = int(call.fields["value"]) % (1 << 8 * itemsize)
    value = int.from_bytes(bits.to_bytes(itemsize, "little") * (8 // itemsize), "little")

    def bounds(part: Part) -> dict[str, list[int]]:
        pads = [axis.pad or (0, axis.size) for axis in part.in_units]
        return {"begin": filled([begin for begin, _ in pads]), "inside": filled([inside for _, inside in pads])}

    return over_axes(
        _PAD,
        device,
        axes,
        operands,
        _word(axes, operands),
        of_part=bounds,
        value=value,
        is_reflect=call.row.op == "pad_reflect",
        is_constant=call.row.op == "pad_constant",
    )


def _tiled(call: Call, device: Device, axes: list[Axis], itemsize: int) -> list[Launch] | None:
    """Launches where src and dst have their runs along different axes, else None."""
    src, dst = call.operands
    *outer, inner = axes
    cross = next((axis for axis in outer if axis.strides[0] == 1), None)
    if cross is None or inner.strides[1] != 1 or inner.strides[0] in (0, 1):
        return None
    if min(inner.size, cross.size) < _LEAST or src % itemsize or dst % itemsize:
        return None
    outer.remove(cross)
    side = 64 if itemsize < 4 else 32
    tiles_inner, tiles_cross = -(-inner.size // side), -(-cross.size // side)
    launches = []
    for part in parts(outer or [Axis(1, (0, 0))], 1, max(_MOST_TILES // (tiles_inner * tiles_cross), 1)):
        tiles = part.units * tiles_inner * tiles_cross
        params = _TRANSPOSE.pack(
            src=src + part.offsets[0] * itemsize,
            dst=dst + part.offsets[1] * itemsize,
            axes=part.fields,
            inner=inner.size,
            cross=cross.size,
            inner_step=inner.strides[0],
            cross_step=cross.strides[1],
            tiles=tiles,
            tiles_inner=tiles_inner,
            tiles_cross=tiles_cross,
            bytes=itemsize,
        )
        blocks = min(tiles, BLOCKS_A_MULTIPROCESSOR * device.multiprocessors)
        launches.append(Launch(_TRANSPOSE, (blocks, 1, 1), THREADS, _SHARED_BYTES, params))
    return launches


FAMILY = Family("move", rows_of("move"), _kernels, _launches)
