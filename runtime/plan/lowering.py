"""How a backend turns graph nodes into kernel steps.

A backend owns *rules*: functions ``rule(node, lower) -> bool`` found by the node's operator name, else by its operator
family. A rule emits steps through the `Lowering` that it is handed and returns True, or returns False (having emitted
nothing) where the backend has no kernel for this node; the node is then decomposed, or run by its NumPy reference.

    def lower_unary(node, lower):
        row = lower.find("unary", node.op.name, "f32f32")
        if row is None:
            return False
        (x,), out = node.inputs, node.output
        params = {"n": out.type.size, "alpha": 0.0, "beta": 0.0}
        lower.step(node, row, {"x": x, "out": out}, params, in_place=[(out, x)])
        return True

Everything may stay symbolic: parameters and byte offsets are ints, floats or `Dim`s (or sequences of them), evaluated
when the plan is bound to concrete sizes. Rules decide on static facts only (constants, ints in shapes, attributes): the
choice of a kernel must not depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from ..ir import Graph, Lazy, Node, Value
from ..ops import Array
from ..types import DimLike, TensorType, dense_strides
from .bands import ImageRows
from .rows import Placement, RowAccess, place_rows

if TYPE_CHECKING:
    from .chains import ChainKernels

_SHORT = {"float": "f", "int": "s", "uint": "u"}


def short_dtype(dtype: np.dtype[Any]) -> str:
    """The kernel tables' name of a dtype: f32, u8, s8, s64; bool is b8."""
    if dtype == np.bool_:
        return "b8"
    return f"{_SHORT[dtype.name.rstrip('0123456789')]}{dtype.itemsize * 8}"


class KernelRow(Protocol):
    """A row of a backend's kernel table."""

    @property
    def symbol(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def op(self) -> str: ...
    @property
    def types(self) -> str: ...
    @property
    def mr(self) -> int: ...
    @property
    def nr(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Temporary:
    """Memory that lives for the steps of one node."""

    bytes: DimLike


@dataclass(eq=False)
class Packed:
    """`src` in the layout of `row`, whose packing reads the static parameters `params`, all of the family's fields."""

    row: KernelRow
    params: bytes
    src: Array | Lazy


@dataclass(frozen=True, eq=False)
class Derived:
    """A small constant that a rule computed."""

    array: Array


@dataclass(frozen=True)
class At:
    """An operand `offset` bytes into a value or temporary."""

    base: Value | Temporary
    offset: DimLike


@dataclass(frozen=True)
class View:
    """Element (i, j, ...) of a value is ``offset + i * strides[0] + j * strides[1] ...`` of `base`, in elements."""

    base: Value
    offset: DimLike
    strides: tuple[DimLike, ...]

    @property
    def operand(self) -> Value | At:
        """What a kernel is given."""
        return self.at(0)

    @property
    def row(self) -> DimLike:
        """The distance from one vector along the last axis to the next."""
        return self.strides[-2]

    def at(self, elements: DimLike) -> Value | At:
        """The operand that begins so many elements after the view's first."""
        offset = self.offset + elements
        return self.base if offset == 0 else At(self.base, offset * self.base.dtype.itemsize)


@dataclass(frozen=True)
class Fault:
    """An int64 that a step makes 1 where its inputs ask for what is not there; the run ends with an error then."""


Operand: TypeAlias = Value | Temporary | Packed | Derived | At | Fault | None
Param: TypeAlias = DimLike | float | Sequence[DimLike | float]


@dataclass(frozen=True, eq=False)
class Recurrence:
    """How a step can be held to a span of time. `tasks` are the parts that its kernel has without that. Operands in
    `pitches` lie so many bytes apart from one time step to the next. A later span begins with the states in which the
    one before ended: `states` names them by the operands of the first."""

    steps: DimLike
    tasks: DimLike
    is_reverse: bool
    pitches: Mapping[str, DimLike]
    states: Mapping[str, str]
    source: str = "x"
    target: str = "y"
    count: str = "steps"


@dataclass(frozen=True, eq=False)
class Elements:
    """That a step makes every element of its operand "out", dense and of `shape`, from one element of each operand in
    `strides`, which says where it lies, in elements. What else the step reads it reads whole. No axis has size 1."""

    shape: tuple[DimLike, ...]
    strides: Mapping[str, tuple[DimLike, ...]]

    @staticmethod
    def of(shape: Sequence[DimLike], strides: Mapping[str, Sequence[DimLike]]) -> Elements:
        """The same without the axes of size 1."""
        kept = [axis for axis, size in enumerate(shape) if size != 1]
        short = {name: tuple(own[axis] for axis in kept) for name, own in strides.items()}
        return Elements(tuple(shape[axis] for axis in kept), short)


@dataclass(eq=False)
class KernelStep:
    """One kernel call. `operands` and `params` are named as the family declares them."""

    node: Node
    family: str
    row: KernelRow
    operands: dict[str, Operand]
    params: dict[str, Param]
    in_place: list[tuple[Value, Value]]
    macs: DimLike  # multiply-accumulates, for the share of peak
    compute: str  # "f32", "int8" or "": the peak that `macs` is compared with
    rows: ImageRows | None = None  # how the step can be held to some rows of its images
    time: Recurrence | None = None  # how it can be held to a span of time
    elements: Elements | None = None  # how it can be part of a chain
    chain: Sequence[KernelStep] = ()  # the steps that it makes at once


@dataclass(eq=False)
class ReferenceStep:
    """A node that no kernel covers: its OpDef's reference runs in Python, inside the plan."""

    node: Node
    reason: str


PlanStep: TypeAlias = KernelStep | ReferenceStep


@dataclass
class Lowering:
    """What a rule may do; collects the plan's steps."""

    backend: Backend
    steps: list[PlanStep] = field(default_factory=list)
    aliases: dict[Value, Value] = field(default_factory=dict)
    placement: Placement = field(default_factory=dict)

    def find(self, family: str, op: str, types: str, nr: int | None = None) -> KernelRow | None:
        """The best kernel for `op` on these operand types (destination last, e.g. ``u8s8u8``), or None. `nr`: one
        that reads weights in the panels of a row with this `nr`."""
        return self.backend.find(family, op, types, nr)

    def view(self, value: Value) -> View:
        """Where `value` lies: inside the rows of another where the backend said that this node's rule can take that."""
        base, offset = value, 0
        while base in self.placement:
            inside = self.placement[base]
            base, offset = inside.host, offset + inside.column
        return View(base, offset, dense_strides((*value.shape[:-1], *base.shape[-1:])))

    def temporary(self, size_bytes: DimLike) -> Temporary:
        """Memory, 64-byte aligned, for the steps of this node; scratch of single threads is the kernel's own."""
        return Temporary(size_bytes)

    def packed(self, row: KernelRow, params: Mapping[str, Param], src: Array | Lazy) -> Packed:
        """A constant in the layout of `row`; `params` are the static parameters that the family's packing reads (the
        family's other fields are zero), `src` is described in the family's header; a lazy one is read
        when it is packed.

        Packed bytes may come from a file that nobody vouches for: kernels take them as numbers, never as offsets."""
        return Packed(row, self.backend.packing_params(row, params), src)

    def constant(self, array: Array) -> Derived:
        """A constant that is no graph value (a derived scale, a table)."""
        return Derived(np.ascontiguousarray(array))

    def alias(self, out: Value, source: Value) -> None:
        """`out` has the bytes of `source`: no step is needed (reshape and the like)."""
        self.aliases[out] = source

    def step(
        self,
        node: Node,
        row: KernelRow,
        operands: Mapping[str, Operand],
        params: Mapping[str, Param],
        *,
        in_place: Iterable[tuple[Value, Value]] = (),
        macs: DimLike = 0,
        compute: str = "",
        rows: ImageRows | None = None,
        time: Recurrence | None = None,
        elements: Elements | None = None,
    ) -> None:
        """Emits a kernel call. `operands` and `params` must name every operand and field of the row's family
        (optional operands may be left out). `in_place` lists (written, read) values of equal size that may share
        memory. `rows`, if given, lets the step run in bands, `time` in a pipeline, `elements` in a chain."""
        family = self.backend.family_of(row)
        memory = list(in_place)
        made = KernelStep(node, family, row, dict(operands), dict(params), memory, macs, compute, rows, time, elements)
        self.steps.append(made)


Rule: TypeAlias = Callable[[Node, Lowering], bool]


class Backend(RowAccess, Protocol):
    """What `plan` knows of a device: its kernel rows, its rules, its packing."""

    @property
    def name(self) -> str: ...
    @property
    def has_bands(self) -> bool:
        """Whether steps over images may run together in bands of rows, and recurrent layers in pipelines."""
        ...

    @property
    def chains(self) -> ChainKernels | None:
        """What runs neighbouring steps over the same elements as one, if anything does."""
        ...

    def find(self, family: str, op: str, types: str, nr: int | None = None) -> KernelRow | None: ...
    def rows(self, family: str) -> Sequence[KernelRow]:
        """All rows of a family that may run here, best first."""
        ...

    def family_of(self, row: KernelRow) -> str: ...
    def operand_names(self, family: str) -> Sequence[tuple[str, bool]]:
        """Names of the family's operands and whether each is written."""
        ...

    def packing_params(self, row: KernelRow, params: Mapping[str, Param]) -> bytes:
        """The family's parameters for packing; those that are not given are zero."""
        ...

    def packed_bytes(self, row: KernelRow, params: bytes) -> int:
        """The size of what `pack` writes."""
        ...

    def weight_memory(self, size: int) -> Array:
        """So many bytes for all packed weights of a plan, each at a multiple of memory.ALIGNMENT."""
        ...

    def pack(self, row: KernelRow, params: bytes, src: Array, out: Array) -> None: ...
    def pack_params(self, family: str, params: Mapping[str, Any]) -> bytes: ...
    def copy(self, size: int) -> tuple[KernelRow, bytes]:
        """The kernel and parameters that copy so many bytes from its first operand to its second."""
        ...

    def rule(self, op: str, family: str) -> Rule | None: ...


def byte_size(type: TensorType) -> DimLike:
    """Bytes of a dense tensor."""
    return type.size * type.dtype.itemsize


def lower_node(node: Node, lower: Lowering) -> bool:
    """Emits the node's steps through the backend's rule. False, with nothing emitted, where there is none that fits."""
    rule = lower.backend.rule(node.op.name, node.op.family)
    if rule is None:
        return False
    mark = len(lower.steps)
    aliased = set(lower.aliases)
    if rule(node, lower):
        return True
    del lower.steps[mark:]
    for value in set(lower.aliases) - aliased:
        del lower.aliases[value]
    return False


def has_kernel(node: Node, backend: Backend) -> bool:
    """Whether the backend has a rule and a kernel for this node."""
    return lower_node(node, Lowering(backend))


def lower_graph(graph: Graph, backend: Backend) -> Lowering:
    """The steps of a whole graph; a node that no rule takes becomes a `ReferenceStep`."""
    known: dict[Node, bool] = {}

    def takes(node: Node) -> bool:
        if node not in known:
            known[node] = has_kernel(node, backend)
        return known[node]

    lower = Lowering(backend, placement=place_rows(graph, backend, takes))
    for node in graph.nodes:
        if not lower_node(node, lower):
            has_rule = backend.rule(node.op.name, node.op.family) is not None
            lower.steps.append(ReferenceStep(node, "no kernel for these types" if has_rule else "no kernel"))
    for step in lower.steps:
        for operand in step.operands.values() if isinstance(step, KernelStep) else step.node.inputs:
            if (operand.base if isinstance(operand, At) else operand) in lower.placement:
                raise RuntimeError(f"the rule for {step.node.op.name} takes dense values only")
    return lower
