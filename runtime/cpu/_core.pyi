"""Kernels and the plan executor."""

from collections.abc import Sequence
from typing import Any

class Calls:
    """The plans that a method used last, and the short way to run them."""

    def __init__(self, inputs: Sequence[tuple[str, object]], outputs: Sequence[tuple[str, object]]) -> None: ...
    def remember(self, inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]], plan: Plan) -> None: ...
    def run(self, arrays: object) -> object:
        """
        The outputs; None where a call takes more than is done here: other types, shapes not seen, memory not contiguous, an index out of range.
        """

    def run_named(self, arrays: object) -> object:
        """
        The outputs; None where a call takes more than is done here: other types, shapes not seen, memory not contiguous, an index out of range.
        """

MAX_PIPELINE: int = 8

class RowInfo:
    """One compiled kernel."""

    @property
    def symbol(self) -> str: ...
    @property
    def op(self) -> str: ...
    @property
    def types(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def mr(self) -> int: ...
    @property
    def nr(self) -> int: ...
    @property
    def available(self) -> bool: ...

class FamilyInfo:
    """A kernel family: its table and how its calls are described."""

    @property
    def name(self) -> str: ...
    @property
    def fields(self) -> list[tuple[str, str, int, int]]: ...
    @property
    def params_bytes(self) -> int: ...
    @property
    def packs(self) -> bool: ...
    @property
    def operands(self) -> list[tuple[str, bool]]: ...
    @property
    def rows(self) -> list[RowInfo]: ...

def families() -> list[FamilyInfo]: ...
def available_isas() -> list[str]: ...
def usable_cpus() -> int: ...
def measure_peaks(threads: int = 1, isas: Sequence[str] | None = None) -> tuple[float, float, float, float]:
    """
    (f32 FLOP/s, u8 x s8 operations/s, bytes read/s from memory, from cache) of this machine with the best of some instruction sets (default all available), measured in 0.4 s.
    """

def tasks(symbol: str, params: bytes) -> int: ...
def cost_ns(symbol: str, params: bytes) -> float: ...
def tile(symbol: str, params: bytes) -> tuple[int, int]:
    """
    Rows and columns of the result that most of the call computes at once; 0, or 1 by 1, where that is no tile.
    """

def run_kernel(symbol: str, params: bytes, operands: list[Any], threads: int = 1, chunk: int = 1) -> None:
    """
    Runs one kernel on contiguous arrays, None for absent operands: what tests and benchmarks call.
    """

def packed_bytes(symbol: str, params: bytes) -> int: ...
def packing_layout() -> str:
    """
    Names what packs weights: the hash of the kernels and lowering rules that this module was built from.
    """

def pack(symbol: str, params: bytes, src: object, dst: object | None = None) -> object:
    """
    The packed form of a weight, in `dst` or a new 64-byte aligned uint8 array; the kernel's instruction set need not be there.
    """

def aligned_array(bytes: int) -> object:
    """An uninitialized uint8 array at a 64-byte boundary."""

def weight_memory(bytes: int) -> object:
    """
    A uint8 array at a 64-byte boundary; in huge pages as far as it fills them and the system has them.
    """

class Executor:
    """A model's constants, arenas and thread count."""

    def __init__(self, constants: list[Any], threads: int) -> None: ...
    @property
    def threads(self) -> int: ...
    @property
    def held_bytes(self) -> int: ...
    def bind(
        self,
        steps: Sequence[
            tuple[str, bytes, Sequence[tuple[int, int, int]]]
            | tuple[
                int,
                int,
                Sequence[tuple[int, Sequence[Sequence[tuple[int, str, bytes, Sequence[tuple[int, int, int, int]]]]]]],
                bool,
            ]
        ],
        arena_bytes: int,
        copies: Sequence[tuple[int, tuple[int, int, int], int]] = [],
    ) -> Plan:
        """
        A plan from steps (symbol, params, [(space, index, offset)]) and outputs that no step writes (output, location, bytes); spaces are none, constant, arena, input, output, fault, band. Steps that run in bands are one: (members, bytes of band memory, [(repeats, [task])], is_pipeline), a task being a list of calls (member, symbol, params, [(space, index, offset, bytes that each repeat adds)]); in a pipeline, every call waits for that of the task before.
        """

class Plan:
    """
    Steps with kernels, parameters and memory fixed; runs on many threads at once.
    """

    @property
    def arena_bytes(self) -> int: ...
    def __len__(self) -> int: ...
    def session(self, inputs: list[Any], outputs: list[Any]) -> Session:
        """
        A run in parts, for plans with steps in Python between native ones; the arrays are contiguous and sized as planned.
        """

class Session:
    """One run in progress."""

    def run(self, first: int, last: int) -> int:
        """
        Runs steps [first, last) with the GIL released; returns the index of the step that met an index out of range and ended the run, else -1.
        """

    def run_timed(self, first: int, last: int) -> tuple[int, list[int]]:
        """What run returns, and the nanoseconds of each member of the steps."""

    def finish(self) -> None:
        """Copies the outputs that no step writes."""

    def arena_view(self, offset: int, bytes: int) -> object:
        """Writable memory of the arena, valid while the session lives."""
