"""Chains: neighbouring steps over the elements of one shape that run as one, so that what lies between them stays in
registers, what several read is read once, and only what others need is written.

Steps join the step whose result they read, element by element, wherever no path leads from one to the other through a
step outside. So every chain can run as a whole: after all that it needs, before all that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

import numpy as np

from ..ir import Value
from ..types import DimLike, dense_strides
from .lowering import At, KernelRow, KernelStep, Operand, Param, PlanStep

FAMILY = "chain"


@dataclass(frozen=True)
class Source:
    """What a chain reads: an operand, element by element with these strides, or whole where they are None."""

    operand: Operand
    strides: tuple[DimLike, ...] | None


@dataclass(frozen=True)
class Program:
    """What a chain computes for every element of `shape`. `reads` has for every step what its operands are, by name:
    the number of a source, or, counted on behind the sources, of a step before it, or a float. `results`: the steps,
    counted from 0, whose results are written."""

    shape: tuple[DimLike, ...]
    sources: Sequence[Source]
    steps: Sequence[KernelStep]
    reads: Sequence[Mapping[str, int | float]]
    results: Sequence[int]


class ChainKernels(Protocol):
    """A backend's kernels of the family "chain": their operands are "in0", "in1", ... for the sources, "out0", ... for
    the results."""

    def fits(self, program: Program) -> bool:
        """Whether there is a kernel for it."""
        ...

    def row(self, program: Program) -> tuple[KernelRow, dict[str, Param]]:
        """The kernel of a program that fits, and its parameters."""
        ...


@dataclass
class _Unit:
    """Steps that run as one, as sets of bits, one a step: `members`; all `above` that have to run before; those that
    members wait for `directly`."""

    members: int
    above: int
    directly: int


class Chains:
    """The chains among `steps`, which stand in an order in which they can run. `touched` and `written` say what values
    and temporaries a step reads or writes, `root` where a value lies; `kept` values are read after the run."""

    def __init__(
        self,
        steps: Sequence[PlanStep],
        kernels: ChainKernels,
        touched: Callable[[PlanStep], Iterable[Any]],
        written: Callable[[PlanStep], Iterable[Value]],
        root: Callable[[Value], Value],
        kept: Collection[Value],
    ) -> None:
        self._steps, self._kernels, self._root, self._kept = steps, kernels, root, kept
        self._readers: dict[Any, int] = {}
        self._writers: dict[Any, int] = {}
        self._units: list[_Unit] = []  # of every step, that of its unit
        self._dense = [_dense(step, root) for step in steps]
        for index, step in enumerate(steps):
            made = {root(value) for value in written(step)}
            directly = 0
            for key in set(touched(step)):
                directly |= self._writers.get(key, 0) | (self._readers.get(key, 0) if key in made else 0)
                table = self._writers if key in made else self._readers
                table[key] = table.get(key, 0) | 1 << index
            above = directly
            for other in _bits(directly):
                above |= self._units[other].above
            self._units.append(_Unit(1 << index, above, directly))

    def join(self) -> list[PlanStep]:
        """The steps in an order in which they can run, those of chains as one."""
        for index in range(len(self._steps)):
            for source in self._neighbours(index):
                self._merge(self._units[source], self._units[index])
        return [
            self._steps[unit.members.bit_length() - 1] if unit.members.bit_count() == 1 else self._chain(unit)
            for unit in self._ordered()
        ]

    def _neighbours(self, index: int) -> Iterator[int]:
        """The steps whose results this one reads element by element."""
        for value in self._dense[index].values():
            writers = list(_bits(self._writers.get(value, 0)))
            if len(writers) == 1 and _shape(self._steps[writers[0]]) == _shape(self._steps[index]):
                yield writers[0]

    def _merge(self, a: _Unit, b: _Unit) -> None:
        """Makes two units one if they may be."""
        if a is b or self._is_apart(a, b) or self._is_apart(b, a):
            return
        members = a.members | b.members
        program = self._program(members)
        if program is None or not self._kernels.fits(program):
            return
        unit = _Unit(members, (a.above | b.above) & ~members, (a.directly | b.directly) & ~members)
        for index in _bits(members):
            self._units[index] = unit
        for other in self._units:
            if other.above & members:
                other.above |= unit.above | members

    def _is_apart(self, first: _Unit, second: _Unit) -> bool:
        """Whether a path leads from the first to the second through other steps."""
        between = second.directly & ~first.members
        return any(self._units[index].above & first.members for index in _bits(between))

    def _program(self, members: int) -> Program | None:
        """What these steps compute; None where one reads of another's result more than its own element."""
        made: dict[Value, int] = {}
        sources: dict[Any, Source] = {}
        places: list[dict[str, Any]] = []  # by operand: the key of a source, the number of a step, a float
        steps: list[KernelStep] = []
        for index in _bits(members):
            step = self._steps[index]
            assert isinstance(step, KernelStep)
            assert step.elements is not None
            own: dict[str, Any] = {}
            for name, operand in step.operands.items():
                base = operand.base if isinstance(operand, At) else operand
                if name == "out" or base is None:
                    continue
                key = self._root(base) if isinstance(base, Value) else base
                strides = step.elements.strides.get(name)
                if key in made:
                    if name not in self._dense[index]:
                        return None
                    own[name] = made[key]
                    continue
                known: Any = None if strides is None else _number(key)
                if known is None:
                    offset = operand.offset if isinstance(operand, At) else 0
                    known = (key, offset, strides)
                    sources.setdefault(known, Source(operand, strides))
                own[name] = known
            out = step.operands["out"]
            assert isinstance(out, Value)
            made[self._root(out)] = len(steps)
            steps.append(step)
            places.append(own)
        order = {key: number for number, key in enumerate(sources)}

        def place(found: Any) -> int | float:
            if isinstance(found, tuple):
                return order[found]
            return found if isinstance(found, float) else len(order) + int(found)

        shape = _shape(steps[0])
        assert shape is not None
        return Program(
            shape,
            list(sources.values()),
            steps,
            [{name: place(found) for name, found in own.items()} for own in places],
            [at for value, at in made.items() if value in self._kept or self._readers.get(value, 0) & ~members],
        )

    def _chain(self, unit: _Unit) -> KernelStep:
        program = self._program(unit.members)
        assert program is not None
        row, params = self._kernels.row(program)
        results = [program.steps[index].operands["out"] for index in program.results]
        operands = {f"in{k}": source.operand for k, source in enumerate(program.sources)}
        operands |= {f"out{k}": out for k, out in enumerate(results)}
        dense = [source.operand for source in program.sources if source.strides == dense_strides(program.shape)]
        memory = [
            (out, source) for out in results for source in dense if isinstance(out, Value) and isinstance(source, Value)
        ]
        node = program.steps[-1].node
        return KernelStep(node, FAMILY, row, operands, params, memory, 0, "", chain=program.steps)

    def _ordered(self) -> Iterator[_Unit]:
        """Every unit once, behind those that it needs, else by its last step."""
        units = list({id(unit): unit for unit in self._units}.values())
        waiting = {id(unit): {id(self._units[index]) for index in _bits(unit.directly)} for unit in units}
        readers: dict[int, list[_Unit]] = {}
        for unit in units:
            for needed in waiting[id(unit)]:
                readers.setdefault(needed, []).append(unit)
        ready = [(unit.members.bit_length(), unit) for unit in units if not waiting[id(unit)]]
        heapify(ready)
        while ready:
            _, unit = heappop(ready)
            yield unit
            for reader in readers.get(id(unit), []):
                waiting[id(reader)].discard(id(unit))
                if not waiting[id(reader)]:
                    heappush(ready, (reader.members.bit_length(), reader))


def _bits(mask: int) -> Iterator[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _dense(step: PlanStep, root: Callable[[Value], Value]) -> dict[str, Value]:
    """The operands that lie like the result, dense and of its shape, by name: whose memory they are."""
    if not isinstance(step, KernelStep) or step.elements is None:
        return {}
    dense = dense_strides(step.elements.shape)
    operands = ((name, step.operands.get(name)) for name, strides in step.elements.strides.items() if strides == dense)
    return {name: root(operand) for name, operand in operands if isinstance(operand, Value)}


def _shape(step: PlanStep) -> tuple[DimLike, ...] | None:
    return step.elements.shape if isinstance(step, KernelStep) and step.elements is not None else None


def _number(key: Any) -> float | None:
    """The float that a constant is."""
    if not isinstance(key, Value) or not key.is_constant or key.dtype != np.float32 or key.type.size != 1:
        return None
    assert key.data is not None
    return float(key.data.reshape(-1)[0])
