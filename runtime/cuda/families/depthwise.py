"""Depthwise convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import Array
from ..device import Device, Launch
from ..epilogue import epilogue
from ..family import Call, Family, Row, rows_of
from ..geometry import checked, window
from ..packed import DepthwiseLayout
from ..source import Kernel
from ..tiles import ceil_div

_COLUMNS = 4
"""Neighbours in a row that a thread makes, of four channels."""
_THREADS = 128


def _kernels(row: Row) -> list[Kernel]:
    return [Kernel("fdepthwise" if row.types == "f32" else "qdepthwise", (("COLUMNS", _COLUMNS),))]


def _layout(row: Row, fields: Any) -> DepthwiseLayout:
    return DepthwiseLayout.of(fields, np.float32 if row.types == "f32" else np.int8)


def _launches(call: Call, device: Device) -> list[Launch]:
    fields = call.fields
    channels, images, height, width = (int(fields[name]) for name in ("c", "images", "oh", "ow"))
    work = images * height * ceil_div(width, _COLUMNS) * ceil_div(channels, 4)
    if work == 0:
        return []
    (kernel,) = _kernels(call.row)
    params = kernel.pack(
        x=call.operands[0],
        weight=call.operands[1],
        epilogue=epilogue(call, channels, ("residual_pixel", "dst_pixel")),
        work=work,
        pixel=fields["src_pixel"],
        zero_point=fields["src_zero_point"],
        window=window(fields),
    )
    blocks = checked(ceil_div(work, _THREADS), "blocks")
    return [Launch(kernel, (blocks, 1, 1), _THREADS, 0, params)]


def _packed_bytes(row: Row, fields: Any) -> int:
    return _layout(row, fields).size


def _pack(row: Row, fields: Any, src: Array, out: Array) -> None:
    _layout(row, fields).pack(src, out)


FAMILY = Family("depthwise", rows_of("depthwise"), _kernels, _launches, packed_bytes=_packed_bytes, pack=_pack)
