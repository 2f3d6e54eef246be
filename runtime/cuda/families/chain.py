"""Chains of functions of elements. There is no table of rows: programs are made as rows of their own (`chains.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...plan.chains import FAMILY as NAME
from ...types import dense_strides
from ..axes import Axis, Strided, map_widths, over_axes, vector_of
from ..chains import DENSE, MAX_AXES, MAX_COLUMNS, MAX_NUMBERS, MAX_RESULTS, MAX_SOURCES, ChainRow
from ..device import Device, Launch
from ..family import Call, Family, Row
from ..source import Kernel

OPERANDS = [*((f"in{k}", False) for k in range(MAX_SOURCES)), *((f"out{k}", True) for k in range(MAX_RESULTS))]
_COLUMNS = [f"strides{column}" for column in range(MAX_COLUMNS)]
_PARAMS = np.dtype(
    [
        ("rank", np.int64),
        ("shape", np.int64, MAX_AXES),
        *((name, np.int64, MAX_AXES) for name in _COLUMNS),
        ("numbers", np.float32, MAX_NUMBERS),
    ]
)


def pack_params(params: Mapping[str, Any]) -> bytes:
    """The parameters of a chain as bytes; of arrays the first elements may be given."""
    record = np.zeros((), _PARAMS)
    record["rank"] = params["rank"]
    for name in ("shape", *_COLUMNS, "numbers"):
        record[name][: len(params[name])] = params[name]
    return record.tobytes()


def _kernels(row: Row) -> list[Kernel]:
    assert isinstance(row, ChainRow)
    return [row.kernel]


def _launches(call: Call, device: Device) -> list[Launch]:
    row = call.row
    assert isinstance(row, ChainRow)
    fields = np.frombuffer(call.params, _PARAMS)[0]
    rank = int(fields["rank"])
    shape = fields["shape"][:rank].tolist()
    used = max((place + 1 for _, place in row.sources), default=0)
    columns = [fields[name][:rank].tolist() for name in _COLUMNS[: max(used, 0)]]
    axes = [Axis(size, tuple(own)) for size, *own in zip(shape, *columns, dense_strides(shape), strict=True)]
    addresses: dict[str, Any] = {name: address for (name, _), address in zip(OPERANDS, call.operands, strict=True)}
    operands = [
        Strided(f"in{k}", addresses.pop(f"in{k}"), itemsize, len(columns) if place == DENSE else place)
        for k, (itemsize, place) in enumerate(row.sources)
        if place >= DENSE
    ]
    operands += [
        Strided(f"out{k}", addresses.pop(f"out{k}"), itemsize, len(columns)) for k, itemsize in enumerate(row.results)
    ]
    vector = vector_of(axes, operands, map_widths(row.widest))
    return over_axes(row.kernel, device, axes, operands, vector, numbers=fields["numbers"].tolist(), **addresses)


FAMILY = Family(NAME, [], _kernels, _launches)
