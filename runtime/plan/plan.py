"""A plan: the steps of a graph on a backend, with kernels chosen and weights packed, for all sizes of its dimensions.

`Plan.bind` fixes the sizes: parameters become bytes and every value gets its place in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..ir import Graph, Node, Value
from ..ops import Array
from ..program import PackedWeight
from ..reference import evaluate_attrs
from ..types import Dim, evaluate
from .chains import Chains
from .groups import (
    ARENA,
    CONSTANT,
    FAULT,
    INPUT,
    NONE,
    OUTPUT,
    Binder,
    Group,
    Location,
    NativeBands,
    find_groups,
    find_links,
)
from .lowering import (
    At,
    Backend,
    Derived,
    Fault,
    KernelStep,
    Operand,
    Packed,
    PlanStep,
    Temporary,
    byte_size,
    lower_graph,
)
from .memory import Lifetime, place
from .pipeline import Pipeline, find_pipelines, gather
from .sizes import check_sizes
from .views import drop_unread
from .weights import adopt_weights, pack_weights

NativeStep: TypeAlias = tuple[str, bytes, list[Location]]


@dataclass(frozen=True)
class ReferenceCall:
    """A reference step bound to sizes: where its arrays lie."""

    node: Node
    inputs: list[tuple[Location, Value] | None]
    outputs: list[tuple[Location, Value]]
    attrs: Mapping[str, Any]


@dataclass(frozen=True)
class Binding:
    """A plan for one choice of sizes. `segments` alternate: a range of `steps`, or a reference call between them."""

    sizes: Mapping[str, int]
    steps: list[NativeStep | NativeBands]
    nodes: list[Node]  # of every native step, the first where there are several
    segments: list[tuple[int, int] | ReferenceCall]
    arena_bytes: int
    output_shapes: list[tuple[int, ...]]
    groups: list[Group | Pipeline]  # of plan steps that run at once: one native step each
    copies: list[tuple[int, Location, int]]  # outputs that no step writes: output index, where its bytes are, how many


class Plan:
    """`graph` lowered to `backend`. The graph is not changed afterwards.

    Weights are packed on `threads` threads, unless they are given as `packed_weights` of a plan of the same graph.
    With `discard`, the graph loses the constants that nothing reads once they are packed: zeros without memory of their
    own take their place.
    """

    def __init__(
        self,
        graph: Graph,
        backend: Backend,
        threads: int = 1,
        weights: Sequence[PackedWeight] | None = None,
        *,
        discard: bool = False,
    ) -> None:
        self.graph = graph
        self.backend = backend
        lower = lower_graph(graph, backend)
        self._aliases = lower.aliases
        self._placement = lower.placement
        ends = {self._home(value) for _, value in graph.outputs}
        needed = drop_unread(lower.steps, ends, self._home)
        self.steps = gather(needed, self._touched, self._made)
        if backend.chains is not None:
            kept = {self._root(value) for _, value in graph.outputs} | ends
            self.steps = Chains(self.steps, backend.chains, self._touched, self._written, self._root, kept).join()
        self._constant_index: dict[Value | Packed | Derived, int] = {}
        self._operand_order: dict[str, list[str]] = {}
        for step in self.steps:
            if isinstance(step, KernelStep):
                self._prepare(step)
            else:
                for value in step.node.inputs:
                    if value is not None and self._root(value).is_constant:
                        self._constant(self._root(value))
        self._assign_outputs()
        self._links = find_links(self.steps, self._touched, self._root, self._outside_bands())
        self._packed = [key for key in self._constant_index if isinstance(key, Packed)]
        if weights is None:
            unread = [value for value in graph.constants() if discard and value not in self._constant_index]
            made = pack_weights(self._packed, backend, threads, unread)
        else:
            made = adopt_weights(self._packed, weights, backend)
        arrays = dict(zip(self._packed, made, strict=True))
        self.constants = [_array(key, arrays) for key in self._constant_index]
        self._static_params: dict[int, bytes] = {}
        for index, step in enumerate(self.steps):
            if isinstance(step, KernelStep) and not any(_has_dim(p) for p in step.params.values()):
                self._static_params[index] = backend.pack_params(step.family, step.params)

    def _root(self, value: Value) -> Value:
        while value in self._aliases:
            value = self._aliases[value]
        return value

    def _home(self, value: Value) -> Value:
        """The value in whose memory `value` lies."""
        value = self._root(value)
        while value in self._placement:
            value = self._root(self._placement[value].host)
        return value

    def _constant(self, key: Value | Packed | Derived) -> None:
        self._constant_index.setdefault(key, len(self._constant_index))

    @property
    def packed_weights(self) -> list[PackedWeight]:
        """What was packed, in the order in which the plan needs it."""
        return [
            PackedWeight(key.row.symbol, key.params, array)
            for key, array in zip(self._constant_index, self.constants, strict=True)
            if isinstance(key, Packed)
        ]

    def release_packed(self) -> None:
        """Lets go of the packed weights: for engines that hold them elsewhere."""
        for index, key in enumerate(self._constant_index):
            if isinstance(key, Packed):
                self.constants[index] = np.broadcast_to(np.zeros((), np.uint8), self.constants[index].shape)

    def _prepare(self, step: KernelStep) -> None:
        names = [name for name, _ in self.backend.operand_names(step.family)]
        unknown = set(step.operands) - set(names)
        if unknown:
            raise ValueError(f"{step.row.symbol}: no operand {', '.join(sorted(unknown))}")
        self._operand_order[step.family] = names
        for operand in step.operands.values():
            base = operand.base if isinstance(operand, At) else operand
            if isinstance(base, (Packed, Derived)):
                self._constant(base)
            elif isinstance(base, Value) and self._root(base).is_constant:
                self._constant(self._root(base))

    def _assign_outputs(self) -> None:
        """Which values are written straight into the caller's output arrays."""
        written = {self._root(value) for step in self.steps for value in self._written(step)}
        self._output_of: dict[Value, int] = {}
        self._copied: list[tuple[int, Value]] = []
        for index, (_, value) in enumerate(self.graph.outputs):
            root = self._root(value)
            if root in written and root not in self._output_of:
                self._output_of[root] = index
            else:
                if root.is_constant:
                    self._constant(root)
                self._copied.append((index, root))

    def _outside_bands(self) -> set[Value]:
        """What has readers besides steps, or lies inside another value or holds others."""
        hosts = (inside.host for inside in self._placement.values())
        return {*self._output_of, *(root for _, root in self._copied), *self._placement, *hosts}

    def _made(self, step: PlanStep) -> set[object]:
        """What later steps may need of this one; of temporary memory, which steps of a node share, all it touches."""
        temporaries = {key for key in self._touched(step) if isinstance(key, Temporary)}
        return {*(self._root(value) for value in self._written(step)), *temporaries}

    def _written(self, step: PlanStep) -> Iterable[Value]:
        if not isinstance(step, KernelStep):
            yield from step.node.outputs
            return
        for name, is_written in self.backend.operand_names(step.family):
            operand = step.operands.get(name)
            base = operand.base if isinstance(operand, At) else operand
            if is_written and isinstance(base, Value):
                yield base

    def bind(self, sizes: Mapping[str, int], threads: int = 1) -> Binding:
        """The plan for these sizes of the symbolic dimensions, cut for so many threads. Raises ShapeError where the
        graph has none for them."""
        if sizes:
            check_sizes(self.graph, sizes)
        known: dict[Any, int] = {}

        def number(value: Any) -> Any:
            if isinstance(value, Dim):
                if value not in known:
                    known[value] = evaluate(value, sizes)
                return known[value]
            if isinstance(value, (tuple, list)):
                return [number(v) for v in value]
            return value

        groups: list[Group | Pipeline] = []
        if self.backend.has_bands:
            groups += find_groups(self.steps, self._links, number, self._weight_bytes, threads)
            groups += find_pipelines(self.steps, self._root, number, threads)
        locations, arena_bytes = self._place(number, groups)

        def locate(operand: Operand) -> Location:
            offset = 0
            if isinstance(operand, At):
                offset = number(operand.offset)
                operand = operand.base
            if operand is None:
                return (NONE, 0, 0)
            if isinstance(operand, Fault):
                return (FAULT, 0, 0)
            if isinstance(operand, (Packed, Derived)):
                return (CONSTANT, self._constant_index[operand], offset)
            if isinstance(operand, Value):
                operand = self._root(operand)
            space, index, base = locations[operand]
            return (space, index, base + offset)

        steps: list[NativeStep | NativeBands] = []
        nodes: list[Node] = []
        segments: list[tuple[int, int] | ReferenceCall] = []
        start = 0
        binder = Binder(self.backend, number, locate, self._operand_order)
        group_at = {index: group for group in groups for index in range(group.first, group.end)}
        for index, step in enumerate(self.steps):
            group = group_at.get(index)
            if group is not None:
                if index == group.first:
                    steps.append(group.bind(binder, self.steps))
                    nodes.append(step.node)
                continue
            if isinstance(step, KernelStep):
                params = self._static_params.get(index)
                if params is None:
                    params = self.backend.pack_params(step.family, {k: number(v) for k, v in step.params.items()})
                operands = [locate(step.operands.get(name)) for name in self._operand_order[step.family]]
                steps.append((step.row.symbol, params, operands))
                nodes.append(step.node)
                continue
            if len(steps) > start:
                segments.append((start, len(steps)))
            start = len(steps)
            segments.append(
                ReferenceCall(
                    step.node,
                    [None if v is None else (locate(v), _at(v, number)) for v in step.node.inputs],
                    [(locate(v), _at(v, number)) for v in step.node.outputs],
                    evaluate_attrs(step.node.op, step.node.attrs, sizes),
                )
            )
        if len(steps) > start:
            segments.append((start, len(steps)))
        return Binding(
            sizes=dict(sizes),
            steps=steps,
            nodes=nodes,
            segments=segments,
            arena_bytes=arena_bytes,
            output_shapes=[tuple(number(list(value.shape))) for _, value in self.graph.outputs],
            groups=groups,
            copies=[(index, locate(value), _bytes(value, number)) for index, value in self._copied],
        )

    def _weight_bytes(self, weight: Packed) -> int:
        return self.constants[self._constant_index[weight]].nbytes

    def _place(self, number: Any, groups: Sequence[Group | Pipeline]) -> tuple[dict[Any, Location], int]:
        """Where every root value and temporary lies, and how large the arena is. What is only read within a group in
        bands lies in no place of its own; a group is one step."""
        locations: dict[Any, Location] = {}
        for value, constant in self._constant_index.items():
            if isinstance(value, Value):
                locations[value] = (CONSTANT, constant, 0)
        for index, value in enumerate(self.graph.inputs):
            locations[value] = (INPUT, index, 0)
        for value, index in self._output_of.items():
            locations[value] = (OUTPUT, index, 0)

        grouped = {index: group.first for group in groups for index in range(group.first, group.end)}
        bands = [group for group in groups if isinstance(group, Group)]
        inner = {self._target(index) for group in bands for index in range(group.first, group.end - 1)}
        first: dict[Any, int] = {}
        last: dict[Any, int] = {}
        for index, step in enumerate(self.steps):
            for key in self._touched(step):
                if key not in locations and key not in inner:
                    first.setdefault(key, grouped.get(index, index))
                    last[key] = grouped.get(index, index)
        for _, value in self._copied:
            if value in first:
                last[value] = len(self.steps)

        owner: dict[Any, Any] = {}  # shares the memory of another value, of the same size, that dies as it is born
        for index, step in enumerate(self.steps):
            if not isinstance(step, KernelStep) or index in grouped:
                continue
            for out, source in step.in_place:
                if out in self._placement or source in self._placement:
                    continue
                out, source = self._root(out), self._root(source)
                if (
                    first.get(out) != index
                    or last.get(source) != index
                    or number(byte_size(out.type)) != number(byte_size(source.type))
                ):
                    continue
                if list(self._touched(step)).count(source) > 1:
                    continue  # what is read through another operand must not change meanwhile
                if source in first and out not in owner:
                    host = owner.get(source, source)
                    owner[out] = host
                    last[host] = max(last[host], last[out])
                    break
        keys = [key for key in first if key not in owner]
        lives = [Lifetime(_bytes(key, number), first[key], last[key]) for key in keys]
        offsets, total = place(lives)
        for key, offset in zip(keys, offsets, strict=True):
            locations[key] = (ARENA, 0, offset)
        for key, host in owner.items():
            locations[key] = locations[host]
        return locations, total

    def _target(self, index: int) -> Value:
        """What a step writes that may run in bands."""
        step = self.steps[index]
        assert isinstance(step, KernelStep)
        assert step.rows is not None
        value = step.operands[step.rows.target]
        assert isinstance(value, Value)
        return self._root(value)

    def _touched(self, step: PlanStep) -> Iterable[Value | Temporary]:
        operands: Iterable[Operand]
        operands = step.operands.values() if isinstance(step, KernelStep) else [*step.node.inputs, *step.node.outputs]
        for operand in operands:
            base = operand.base if isinstance(operand, At) else operand
            if isinstance(base, Value):
                root = self._root(base)
                if not root.is_constant:
                    yield root
            elif isinstance(base, Temporary):
                yield base


def _array(key: Value | Packed | Derived, packed: Mapping[Packed, Array]) -> Array:
    if isinstance(key, Packed):
        return packed[key]
    array = key.array if isinstance(key, Derived) else key.data
    assert array is not None
    return array


def _bytes(key: Value | Temporary, number: Any) -> int:
    return int(number(byte_size(key.type) if isinstance(key, Value) else key.bytes))


def _at(value: Value, number: Any) -> Value:
    """`value` with its shape made concrete."""
    return Value(value.type.with_shape(number(list(value.shape))), value.name)


def _has_dim(param: Any) -> bool:
    if isinstance(param, (tuple, list)):
        return any(_has_dim(p) for p in param)
    return isinstance(param, Dim)
