"""A kernel family on a GPU: the contract, operands and parameters of the CPU's family of that name, other kernels.

cpu/kernels/<family>/<family>.h     what is computed, the parameters
cuda/kernels/<family>*.cu           the kernels
cuda/families/<family>.py           the family's `FAMILY`: which rows there are, how a call becomes launches
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..cpu.params import families as cpu_families
from ..cpu.params import params_dtype
from ..ops import Array
from .device import Buffer, Device, Launch
from .source import Kernel

COUNTERS = 1024
"""Words in front of a call's scratch memory by which blocks tell which of them is the last."""
SCRATCH_AT = COUNTERS * 4
BLOCKS_A_MULTIPROCESSOR = 16
"""Of grids whose blocks go on to further elements: enough to hide the latency of memory."""


@dataclass(frozen=True)
class Row:
    """A kernel, or what several make together; see `KernelRow`."""

    family: str
    op: str
    types: str

    isa = "cuda"
    mr = 0
    nr = 0

    @property
    def symbol(self) -> str:
        return f"{self.op}_{self.types}_{self.isa}"


@dataclass(frozen=True)
class Tf32Row(Row):
    """A row of floats that multiplies on tensor cores, rounded to TF32. Its weights are not those that pack_b makes,
    which `nr` tells."""

    isa = "cuda_tf32"
    nr = 1


@dataclass(frozen=True)
class Call:
    """One execution of a row: the family's parameters, the addresses of its operands (0: absent) and `scratch`, the
    address of as many bytes as `Family.scratch_bytes` says, 256-byte aligned. In front of these lie COUNTERS words,
    zero before a call and after it."""

    row: Row
    params: bytes
    operands: Sequence[int]
    scratch: int = 0

    @property
    def counters(self) -> int:
        return self.scratch - SCRATCH_AT

    @cached_property
    def fields(self) -> Any:
        """The parameters by name."""
        return np.frombuffer(self.params, params_dtype(self.row.family))[0]

    def argument(self, *more: int) -> np.ndarray[Any, Any]:
        """What a kernel takes that is given the call as it is: the operands' addresses, `more` addresses or numbers of
        64 bits, then the parameters."""
        raw = np.array([*self.operands, *more], np.uint64).tobytes() + self.params
        return np.frombuffer(raw, f"V{len(raw)}")[0:1].reshape(())


class Family:
    """The rows of a family, and how their calls become launches.

    `kernels(row)`: all kernels that calls of the row may launch. `launches(call, device)`: in order, none where there
    is nothing to do. `scratch_bytes(call, device)`: of a call without operands.
    `ways(call, device)`: other launches that give the same bits, the first of them those of `launches`; a device that
    can tell time chooses among them (`choice.py`). Their scratch is no more than `scratch_bytes`.
    `packed_bytes(row, fields)` and `pack(row, fields, src, out)`: as the CPU's families pack weights, in a layout of
    the kernels' own; `src` and `out` lie in the host's memory.
    `tf32_rows`: the rows that have a kernel for TF32, too.
    """

    def __init__(
        self,
        name: str,
        rows: Iterable[tuple[str, str]],
        kernels: Callable[[Row], Sequence[Kernel]],
        launches: Callable[[Call, Device], list[Launch]],
        scratch_bytes: Callable[[Call, Device], int] = lambda call, device: 0,
        packed_bytes: Callable[[Row, Any], int] | None = None,
        pack: Callable[[Row, Any, Array, Array], None] | None = None,
        ways: Callable[[Call, Device], list[list[Launch]]] | None = None,
        tf32_rows: Iterable[tuple[str, str]] = (),
    ) -> None:
        self.name = name
        self.rows = [Row(name, op, types) for op, types in rows]
        self.tf32_rows = [Tf32Row(name, op, types) for op, types in tf32_rows]
        self.kernels, self.launches, self.scratch_bytes = kernels, launches, scratch_bytes
        self.packed_bytes, self.pack = packed_bytes, pack
        self.ways = ways or (lambda call, device: [launches(call, device)])

    @property
    def all_rows(self) -> list[Row]:
        """Those of TF32 first."""
        return [*self.tf32_rows, *self.rows]


def rows_of(family: str) -> list[tuple[str, str]]:
    """Operator and types of every row that the CPU's family has, each once."""
    return list(dict.fromkeys((row.op, row.types) for row in cpu_families()[family].rows))


def scratch_memory(family: Family, call: Call, device: Device) -> Buffer:
    """For calls like this one, whose scratch begins behind the counters: `Call.scratch` is SCRATCH_AT on."""
    buffer = device.allocate(SCRATCH_AT + family.scratch_bytes(call, device))
    device.write(buffer.address, np.zeros(COUNTERS, np.int32))
    return buffer


def over_elements(
    kernel: Kernel,
    call: Call,
    device: Device,
    work: int,
    threads: int = 256,
    argument: np.ndarray[Any, Any] | None = None,
) -> list[Launch]:
    """A launch of `work` threads, or fewer that go on to further work; none for no work. The kernel takes the call as
    it is unless `argument` is given."""
    if work <= 0:
        return []
    blocks = min(-(-work // threads), BLOCKS_A_MULTIPROCESSOR * device.multiprocessors)
    return [Launch(kernel, (blocks, 1, 1), threads, 0, call.argument() if argument is None else argument)]
