"""A model: what a user runs. Thread-safe; the GIL is released while kernels work."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any

from .cpu import _core
from .cpu.backend import best_isa
from .errors import DeviceError, FormatError, RushlightError
from .format import read_program
from .method import Method, TensorSpec
from .ops import Array
from .packing import packed_methods
from .program import Program


class Model:
    """A loaded program. `inputs`, `outputs`, calls and `run` are those of its method ``forward``."""

    def __init__(self, program: Program, threads: int, isa: str) -> None:
        self.program = program
        self.threads = threads
        self.isa = isa
        self._methods: dict[str, Method] = {}
        self._packed = packed_methods(program, isa)
        self._lock = threading.Lock()
        main = "forward" if "forward" in program.methods else next(iter(program.methods))
        self.main = self.method(main)

    @property
    def inputs(self) -> list[TensorSpec]:
        return list(self.main.inputs)

    @property
    def outputs(self) -> list[TensorSpec]:
        return list(self.main.outputs)

    def __call__(self, *arrays: Any) -> Any:
        return self.main(*arrays)

    def run(self, inputs: Mapping[str, Any], outputs: Iterable[str] | None = None) -> dict[str, Array]:
        return self.main.run(inputs, outputs)

    run.__doc__ = Method.run.__doc__
    __call__.__doc__ = Method.__call__.__doc__

    def method(self, name: str) -> Method:
        """A method by name, planned at its first use. Raises RushlightError."""
        graph = self.program.method(name)
        with self._lock:
            if name not in self._methods:
                self._methods[name] = Method(graph, self.threads, self.isa, self._packed.get(name))
            return self._methods[name]


def load(
    source: str | PathLike[str] | Program, threads: int | None = None, device: str = "cpu", verify: bool = False
) -> Model:
    """A model from a `.rush` file or a program.

    `threads`: how many threads of the process's pool the model may use; None: what affinity and cgroup allow.
    `verify`: check the hash of every tensor. Raises FormatError, DeviceError, ShapeError.
    """
    if device != "cpu":
        raise DeviceError(f"device '{device}': this version runs on 'cpu'")
    if threads is not None and threads < 1:
        raise RushlightError(f"threads must be at least 1, not {threads}")
    program = source if isinstance(source, Program) else read_program(source, verify=verify)
    try:
        return Model(program, threads or _core.usable_cpus(), best_isa())
    except FormatError as error:  # packed weights that are not those of the packed graph
        raise error if isinstance(source, Program) else FormatError(f"{fspath(source)}: {error}") from None


def backends() -> dict[str, dict[str, Any]]:
    """Devices that can run programs, with instruction set and threads."""
    return {"cpu": {"isa": best_isa(), "available": _core.available_isas(), "threads": _core.usable_cpus()}}
