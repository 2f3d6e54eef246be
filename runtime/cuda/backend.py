"""The CUDA backend: the kernel rows of `families`, and the common lowering rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from ..cpu.backend import TableBackend
from ..cpu.params import params_dtype
from ..ops import Array
from ..plan.lowering import KernelRow
from .chains import ElementKernels
from .families import chain, families
from .family import Family, Row


class CudaBackend(TableBackend):
    """Kernels of all families that there are for GPUs. `tf32`: float products by constants, and attention, in TF32."""

    name = "cuda"
    has_bands = False
    chains = ElementKernels()

    def __init__(self, tf32: bool = False) -> None:
        super().__init__({name: own.all_rows if tf32 else own.rows for name, own in families().items()})

    def operand_names(self, family: str) -> Sequence[tuple[str, bool]]:
        return chain.OPERANDS if family == chain.FAMILY.name else super().operand_names(family)

    def pack_params(self, family: str, params: Mapping[str, Any]) -> bytes:
        return chain.pack_params(params) if family == chain.FAMILY.name else super().pack_params(family, params)

    def packed_bytes(self, row: KernelRow, params: bytes) -> int:
        family, own = self._packing(row)
        assert family.packed_bytes is not None
        return family.packed_bytes(own, _fields(own, params))

    def weight_memory(self, size: int) -> Array:
        return np.empty(size, np.uint8)

    def pack(self, row: KernelRow, params: bytes, src: Array, out: Array) -> None:
        family, own = self._packing(row)
        assert family.pack is not None
        family.pack(own, _fields(own, params), src, out)

    def _packing(self, row: KernelRow) -> tuple[Family, Row]:
        assert isinstance(row, Row)
        return families()[row.family], row


def _fields(row: Row, params: bytes) -> Any:
    return np.frombuffer(params, params_dtype(row.family))[0]


@cache
def cuda_backend(tf32: bool = False) -> CudaBackend:
    return CudaBackend(tf32)
