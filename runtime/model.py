"""A model: what a user runs. Thread-safe; the GIL is released while kernels work."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any

from .cpu import _core
from .cpu.backend import best_isa
from .cpu.execution import CpuEngine
from .errors import DeviceError, FormatError, RushlightError
from .execution import Engine
from .format import read_program
from .method import Method, TensorSpec
from .ops import Array
from .packing import packed_methods
from .program import Program


class Model:
    """A loaded program. `inputs`, `outputs`, calls and `run` are those of its method ``forward``."""

    def __init__(self, program: Program, engine: Engine) -> None:
        self.program = program
        self.engine = engine
        self._methods: dict[str, Method] = {}
        self._packed = packed_methods(program, engine.isa) if engine.backend.name == "cpu" else {}
        self._lock = threading.Lock()
        main = "forward" if "forward" in program.methods else next(iter(program.methods))
        self.main = self.method(main)

    @property
    def threads(self) -> int:
        return self.engine.threads

    @property
    def isa(self) -> str:
        """The instruction set of the kernels."""
        return self.engine.isa

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
                self._methods[name] = Method(graph, self.engine, self._packed.get(name))
            return self._methods[name]


PRECISIONS = ("float32", "tf32")
"""In which products of float32 may be made."""


def load(
    source: str | PathLike[str] | Program,
    threads: int | None = None,
    device: str = "cpu",
    verify: bool = False,
    precision: str = "float32",
) -> Model:
    """A model from a `.rush` file or a program.

    `threads`: how many threads of the process's pool the model may use; None: what affinity and cgroup allow.
    `device`: "cpu"; "cuda" or "cuda:1" (the first GPU, the second), which needs CuPy and NVRTC; "cuda-emulated", the
    GPU's kernels on the CPU, thread by thread, for tests.
    `verify`: check the hash of every tensor.
    `precision`: "float32"; or, on GPUs, "tf32": products of float32 in layers and attention on tensor cores, from
    operands rounded to TF32's 10 bits of fraction, added in float32, as `torch.set_float32_matmul_precision("high")`
    allows.
    Raises FormatError, DeviceError, ShapeError.
    """
    if threads is not None and threads < 1:
        raise RushlightError(f"threads must be at least 1, not {threads}")
    if precision not in PRECISIONS:
        raise RushlightError(f"precision must be one of {', '.join(PRECISIONS)}, not '{precision}'")
    engine = _engine(device, threads or _core.usable_cpus(), precision == "tf32")
    program = source if isinstance(source, Program) else read_program(source, verify=verify)
    try:
        return Model(program, engine)
    except FormatError as error:  # packed weights that are not those of the packed graph
        raise error if isinstance(source, Program) else FormatError(f"{fspath(source)}: {error}") from None


def _engine(device: str, threads: int, tf32: bool) -> Engine:
    if device == "cpu":
        if tf32:
            raise DeviceError("precision 'tf32' is one of GPUs: CPUs multiply in float32")
        return CpuEngine(threads, best_isa())
    name, _, index = device.partition(":")
    if name == "cuda" and (not index or index.isdecimal()):
        from .cuda.execution import CudaEngine
        from .cuda.gpu import GpuDevice

        return CudaEngine(GpuDevice(int(index or 0)), threads, tf32)
    if device == "cuda-emulated":
        from .cuda.emulated import EmulatedDevice
        from .cuda.execution import CudaEngine

        return CudaEngine(EmulatedDevice(), threads, tf32)
    raise DeviceError(f"device '{device}': there is 'cpu', 'cuda', 'cuda:<index>' and 'cuda-emulated'")


def backends() -> dict[str, dict[str, Any]]:
    """What can run programs: of the CPU instruction set and threads; of GPUs, where CuPy is installed and finds some,
    their names."""
    found: dict[str, dict[str, Any]] = {
        "cpu": {"isa": best_isa(), "available": _core.available_isas(), "threads": _core.usable_cpus()}
    }
    from .cuda.gpu import device_names

    names = device_names()
    return {**found, "cuda": {"devices": names}} if names else found
