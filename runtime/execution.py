"""What runs plans: an engine a device, and for every choice of sizes an execution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .errors import RushlightError, ShapeError
from .ir import Value
from .ops import Array
from .plan import Backend, Binding, KernelStep, Plan
from .plan.groups import Location
from .plan.plan import ReferenceCall


class Execution(Protocol):
    """A plan for one choice of sizes. May be run by many threads at once."""

    @property
    def binding(self) -> Binding: ...
    @property
    def arena_bytes(self) -> int: ...
    @property
    def native(self) -> Any:
        """What the core runs without Python between the steps; None where that is not possible."""
        ...

    def run(self, inputs: list[Any], times: list[int] | None = None) -> list[Any]:
        """Inputs as `Engine.array` makes them, checked by the caller; new outputs. `times` gets every step's
        nanoseconds, in order.

        Raises ShapeError for an index of what is not there, DeviceError where a device fails.
        """
        ...


@dataclass(frozen=True)
class Peaks:
    """What a machine can do at best: multiplications and additions of float32, of bytes and in TF32 a second, bytes a
    second read from memory and, as far as operands fit its `cache_size` bytes, from the cache. 0 is what nobody knows.
    `source`: where the figures are from."""

    f32_flops: float
    int8_ops: float
    read_bytes: float
    cache_bytes: float
    cache_size: int
    source: str
    tf32_flops: float = 0.0


class Loaded(Protocol):
    """A plan whose constants are where its kernels read them. `held_bytes`: memory kept for runs."""

    @property
    def held_bytes(self) -> int: ...
    def bind(self, binding: Binding) -> Execution: ...


class Engine(Protocol):
    """`threads`: that pack weights and that steps are cut for. `isa`: the instruction set, for people."""

    @property
    def backend(self) -> Backend: ...
    @property
    def threads(self) -> int: ...
    @property
    def isa(self) -> str: ...
    def load(self, plan: Plan) -> Loaded: ...
    def array(self, value: Any) -> Any:
        """What a caller gives as an input, as an array that executions take: contiguous, with `shape`, `ndim` and
        `dtype`; NumPy's, or one that lies where the engine runs."""
        ...

    def peaks(self) -> Peaks: ...
    def tile(self, symbol: str, params: bytes) -> tuple[int, int]:
        """Rows and columns of the result that most of a call is computed by; 0 where a kernel has none."""
        ...

    def compute(self, step: KernelStep) -> str:
        """What limits a step's multiplications: "f32", "int8" or "tf32" of `Peaks`; "" where it is none of them."""
        ...

    def reason(self, step: KernelStep) -> str:
        """Why a step runs on the kernel that it has, in one line."""
        ...


def new_outputs(plan: Plan, binding: Binding) -> list[Array]:
    """Arrays for the results of a run."""
    outputs = zip(binding.output_shapes, plan.graph.outputs, strict=True)
    return [np.empty(shape, value.dtype) for shape, (_, value) in outputs]


def index_error(binding: Binding, step: int) -> ShapeError:
    """What native step `step` means by its fault."""
    node = binding.nodes[step]
    return ShapeError(f"{node.op.name} '{node.outputs[0].name}': an index is out of range")


def run_reference(
    call: ReferenceCall,
    read: Callable[[Location, Value], Array],
    write: Callable[[Location, Value, Array], None],
) -> None:
    """A step that runs by its operator's reference, on what `read` gives for its inputs."""
    arrays: Sequence[Array | None] = [None if item is None else read(*item) for item in call.inputs]
    try:
        results = call.node.op.run_reference(arrays, call.attrs)
    except IndexError as error:
        raise ShapeError(f"{call.node.op.name} '{call.node.outputs[0].name}': {error}") from None
    for (location, value), result in zip(call.outputs, results, strict=True):
        if result.shape != value.type.static_shape():
            raise RushlightError(
                f"{call.node.op.name}: the reference gave {result.shape}, planned {value.type.static_shape()}"
            )
        if result.size:
            write(location, value, result.astype(value.dtype, copy=False))
