"""Packed programs: methods prepared and weights packed ahead, so that loading maps a file and copies nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

from .cpu import _core
from .cpu.backend import ISAS, cpu_backend
from .errors import DeviceError
from .plan import Plan
from .plan.prepare import prepare
from .program import PackedMethod, Packing, Program


def pack(program: Program, isas: Iterable[str], threads: int = 1) -> Program:
    """`program` with its methods prepared for these instruction sets, which this machine need not have.

    Methods with state stay as they are. Raises DeviceError for an instruction set that there is not.
    """
    targets: dict[str, Mapping[str, PackedMethod]] = {}
    for isa in isas:
        if isa not in ISAS:
            raise DeviceError(f"no instruction set '{isa}'; there is {', '.join(ISAS)}")
        targets[isa] = {
            name: _pack(program, name, isa, threads) for name, graph in program.methods.items() if not graph.states
        }
    return Program(program.methods, program.provenance, Packing(_core.packing_layout(), targets))


def _pack(program: Program, name: str, isa: str, threads: int) -> PackedMethod:
    backend = cpu_backend(isa)
    prepared = prepare(program.method(name), backend)
    return PackedMethod(prepared, Plan(prepared, backend, threads).packed_weights)


def packed_methods(program: Program, isa: str) -> Mapping[str, PackedMethod]:
    """What the program holds for this instruction set. Where it is packed, but not for this one or by another version,
    that is nothing, and a RuntimeWarning says so: the program is prepared at load then, as if it were not packed."""
    packing = program.packing
    if packing is None:
        return {}
    if packing.layout != _core.packing_layout():
        reason = "by another version of Rushlight"
    elif isa not in packing.targets:
        reason = f"for {', '.join(packing.targets)}, not for {isa}"
    else:
        return packing.targets[isa]
    warnings.warn(
        f"the program is packed {reason}: its weights are packed again, and not shared", RuntimeWarning, stacklevel=4
    )
    return {}
