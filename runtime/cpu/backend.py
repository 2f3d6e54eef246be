"""The CPU backend: kernel rows of the instruction sets that may be used, and the common lowering rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from .. import lower
from ..errors import DeviceError
from ..ir import Node
from ..ops import Array
from ..plan.lowering import KernelRow, Param, Rule
from ..settings import Settings
from . import _core
from .params import families, pack_params, params_dtype

_ISAS: Mapping[str, tuple[str, ...]] = {
    "generic": ("generic",),
    "avx2": ("generic", "avx2"),
    "avxvnni": ("generic", "avx2", "avxvnni"),
    "avx512": ("generic", "avx2", "avx512"),
    "avx512vnni": ("generic", "avx2", "avx512", "avx512vnni"),
    "amxint8": ("generic", "avx2", "avx512", "avx512vnni", "amxint8"),
    "neon": ("generic", "neon"),
    "neondot": ("generic", "neon", "neondot"),
}
_COMPILED = frozenset(row.isa for family in families().values() for row in family.rows)

ISAS: Mapping[str, tuple[str, ...]] = {isa: below for isa, below in _ISAS.items() if isa in _COMPILED}
"""Each instruction set of this build and the rows that it may run, itself included; better ones last."""


class TableBackend:
    """What backends share whose rows keep the contracts of the CPU's kernel families: see `Backend`."""

    def __init__(self, rows: Mapping[str, Sequence[KernelRow]]) -> None:
        self._rows = rows
        self._family = {row.symbol: family for family, own in rows.items() for row in own}
        self._first: dict[tuple[str, str, str], KernelRow] = {}
        for family, own in rows.items():
            for row in own:
                self._first.setdefault((family, row.op, row.types), row)

    def find(self, family: str, op: str, types: str, nr: int | None = None) -> KernelRow | None:
        if nr is None:
            return self._first.get((family, op, types))
        return next((row for row in self.rows(family) if (row.op, row.types, row.nr) == (op, types, nr)), None)

    def rows(self, family: str) -> Sequence[KernelRow]:
        return self._rows.get(family, [])

    def family_of(self, row: KernelRow) -> str:
        return self._family[row.symbol]

    def operand_names(self, family: str) -> Sequence[tuple[str, bool]]:
        return families()[family].operands

    def packing_params(self, row: KernelRow, params: Mapping[str, Param]) -> bytes:
        family = self.family_of(row)
        dtype = params_dtype(family)
        neutral: dict[str, Any] = {name: () if dtype[name].shape else 0 for name in dtype.names or ()}
        return pack_params(family, **{**neutral, **params})

    def pack_params(self, family: str, params: Mapping[str, Any]) -> bytes:
        return pack_params(family, **params)

    def copy(self, size: int) -> tuple[KernelRow, bytes]:
        row = self.find("move", "copy", "x8")
        assert row is not None
        axis = {"rank": 1, "dims": [size], "src_stride": [1], "dst_stride": [1]}
        return row, pack_params("move", **axis, src_dims=(), begin=(), value=0)

    def rule(self, op: str, family: str) -> Rule | None:
        return lower.rule(op, family)

    def reads_rows(self, node: Node, index: int) -> bool:
        return lower.reads_rows(node, index)

    def writes_rows(self, node: Node) -> bool:
        return lower.writes_rows(node)


class CpuBackend(TableBackend):
    """Kernels of one instruction set and of those below it."""

    name = "cpu"
    has_bands = True
    chains = None

    def __init__(self, isa: str) -> None:
        self.isa = isa
        allowed = ISAS[isa]
        super().__init__({name: [row for row in own.rows if row.isa in allowed] for name, own in families().items()})

    def packed_bytes(self, row: KernelRow, params: bytes) -> int:
        return _core.packed_bytes(row.symbol, params)

    def weight_memory(self, size: int) -> Array:
        return np.asarray(_core.weight_memory(size))

    def pack(self, row: KernelRow, params: bytes, src: Array, out: Array) -> None:
        _core.pack(row.symbol, params, src, out)


def best_isa(settings: Settings | None = None) -> str:
    """The instruction set to use: the forced one, else the best that the CPU has. Raises DeviceError."""
    available = _core.available_isas()
    forced = (settings or Settings.from_environment()).force_isa
    if forced is None:
        return max(available, key=list(ISAS).index)
    if forced not in _ISAS:
        raise DeviceError(f"RUSHLIGHT_FORCE_ISA={forced}: no such instruction set; there is {', '.join(ISAS)}")
    if forced not in available:
        raise DeviceError(f"RUSHLIGHT_FORCE_ISA={forced}: this machine has {', '.join(available)}")
    return forced


@cache
def cpu_backend(isa: str) -> CpuBackend:
    return CpuBackend(isa)
