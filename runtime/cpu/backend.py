"""The CPU backend: kernel rows of the instruction sets that may be used, and the lowering rules beside this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

from ..errors import DeviceError
from ..ir import Node
from ..ops import Array
from ..plan.lowering import KernelRow, Param, Rule
from ..settings import Settings
from . import _core
from . import lower as lower_package
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


class CpuBackend:
    """Kernels of one instruction set and of those below it."""

    name = "cpu"

    def __init__(self, isa: str) -> None:
        self.isa = isa
        allowed = ISAS[isa]
        self._rows: dict[str, list[KernelRow]] = {}
        self._first: dict[tuple[str, str, str], KernelRow] = {}
        self._family: dict[str, str] = {}
        for name, family in families().items():
            self._rows[name] = [row for row in family.rows if row.isa in allowed]
            for row in self._rows[name]:
                self._family[row.symbol] = name
                self._first.setdefault((name, row.op, row.types), row)

    def find(self, family: str, op: str, types: str) -> KernelRow | None:
        return self._first.get((family, op, types))

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

    def packed_bytes(self, row: KernelRow, params: bytes) -> int:
        return _core.packed_bytes(row.symbol, params)

    def weight_memory(self, size: int) -> Array:
        return np.asarray(_core.weight_memory(size))

    def pack(self, row: KernelRow, params: bytes, src: Array, out: Array) -> None:
        _core.pack(row.symbol, params, src, out)

    def pack_params(self, family: str, params: Mapping[str, Any]) -> bytes:
        return pack_params(family, **params)

    def copy(self, size: int) -> tuple[KernelRow, bytes]:
        row = self.find("move", "copy", "x8")
        assert row is not None
        axis = {"rank": 1, "dims": [size], "src_stride": [1], "dst_stride": [1]}
        return row, pack_params("move", **axis, src_dims=(), begin=(), value=0)

    def rule(self, op: str, family: str) -> Rule | None:
        rules = _collected("RULES")
        return rules.get(op) or rules.get(family)

    def reads_rows(self, node: Node, index: int) -> bool:
        found = _collected("ROW_READERS")
        names = found.get(node.op.name, found.get(node.op.family, ()))
        declared = [name.strip("?*") for name in node.op.inputs]
        return declared[min(index, len(declared) - 1)] in names

    def writes_rows(self, node: Node) -> bool:
        found = _collected("ROW_WRITERS")
        return node.op.name in found or node.op.family in found


@cache
def _collected(table: str) -> Mapping[str, Any]:
    """One table of all lowering modules: RULES (operator or family -> rule), ROW_READERS (-> names of inputs that may
    lie inside the rows of another value), ROW_WRITERS (-> None: the result may)."""
    entries: dict[str, Any] = {}
    for module in iter_modules(lower_package.__path__):
        found: Mapping[str, Any] = getattr(import_module(f"{lower_package.__name__}.{module.name}"), table, {})
        clash = entries.keys() & found.keys()
        if clash:
            raise ValueError(f"{table}: two entries for {', '.join(sorted(clash))}")
        entries.update(found)
    return entries


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
