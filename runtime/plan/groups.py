"""Which steps of a plan run in bands, and what the executor is given for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from ..ir import Value
from .bands import FAR_BYTES, WEIGHT_BYTES, BandCall, Member, Move, Repeated, Schedule, schedule
from .lowering import Backend, KernelStep, Operand, Packed, PlanStep

NONE, CONSTANT, ARENA, INPUT, OUTPUT, FAULT, BAND = range(7)

Location: TypeAlias = tuple[int, int, int]
"""(space, index, byte offset) as the executor takes them."""

BandLocation: TypeAlias = tuple[int, int, int, int]
"""A location, and the bytes that every repeat adds."""

NativeCall: TypeAlias = tuple[int, str, bytes, list[BandLocation]]
NativeBands: TypeAlias = tuple[int, int, list[tuple[int, list[list[NativeCall]]]], bool]
"""(members, bytes of band memory, [(repeats, [task])], whether a task's call waits for that of the task before) as the
executor takes them."""


@dataclass(frozen=True)
class Binder:
    """What calls of steps that run at once are made with: `number` gives sizes their values, `locate` says where an
    operand lies, `order` names a family's operands."""

    backend: Backend
    number: Callable[[Any], Any]
    locate: Callable[[Operand], Location]
    order: Mapping[str, Sequence[str]]

    def params(self, step: KernelStep, changes: Mapping[str, Any]) -> bytes:
        """The parameters of a step but for `changes`."""
        fields = {**step.params, **changes}
        return self.backend.pack_params(step.family, {name: self.number(value) for name, value in fields.items()})


@dataclass(frozen=True)
class Group:
    """Steps `first`, `first + 1`, ... that run in bands."""

    first: int
    members: Sequence[Member]
    schedule: Schedule

    @property
    def end(self) -> int:
        return self.first + len(self.members)

    def describe(self) -> str:
        """How its steps run, for people."""
        size = f"{self.schedule.rows} rows" if self.schedule.rows < self.members[-1].rows else "whole images"
        return f"{len(self.members)} steps at once in bands of {size}"

    def bind(self, binder: Binder, steps: Sequence[PlanStep]) -> NativeBands:
        """What the executor is given for it, of the plan's `steps`."""
        members = [step for step in steps[self.first : self.end] if isinstance(step, KernelStep)]
        params: dict[Any, bytes] = {}
        parts = []
        for part in self.schedule.parts:
            tasks = [[_band_call(call, part, members, params, binder) for call in task] for task in part.tasks]
            parts.append((part.repeats, tasks))
        return len(members), self.schedule.band_bytes, parts, False


def find_links(
    steps: Sequence[PlanStep],
    touched: Callable[[PlanStep], Iterable[Any]],
    root: Callable[[Value], Value],
    shared: Collection[Value],
) -> list[bool]:
    """For every step whether what it writes goes to the next step and nowhere else, through operands that bands can
    hold. `shared` values are read by others."""
    readers: dict[Any, int] = {}
    for step in steps:
        for value in touched(step):
            readers[value] = readers.get(value, 0) + 1

    def link(step: PlanStep, following: PlanStep) -> bool:
        if not (isinstance(step, KernelStep) and isinstance(following, KernelStep) and step.rows and following.rows):
            return False
        out, source = step.operands.get(step.rows.target), following.operands.get(following.rows.source)
        if not (isinstance(out, Value) and isinstance(source, Value)) or root(out) is not root(source):
            return False
        return readers[root(out)] == 2 and root(out) not in shared

    return [link(*pair) for pair in pairwise(steps)] + [False] * bool(steps)


def find_groups(
    steps: Sequence[PlanStep],
    links: Sequence[bool],
    number: Callable[[Any], Any],
    weight_bytes: Callable[[Packed], int],
    threads: int,
) -> list[Group]:
    """The groups at some sizes: as long as their values are far from the next step and their weights near."""
    groups: list[Group] = []
    index = 0
    while index < len(steps):
        members: list[Member] = []
        found: Group | None = None
        weights = 0
        for step, is_linked in zip(steps[index:], links[index:], strict=True):
            if not isinstance(step, KernelStep) or step.rows is None:
                break
            member = _member(step, number)
            last = members[-1] if members else None
            if last and (last.images, last.rows, last.pitch) != (
                member.images,
                member.source_rows,
                member.source_pitch,
            ):
                break
            if last and not member.is_dense:
                break
            weights += sum(weight_bytes(value) for value in step.operands.values() if isinstance(value, Packed))
            members.append(member)
            if weights > WEIGHT_BYTES or 0 in (member.images, member.rows):
                break
            plan = schedule(members, threads) if len(members) > 1 else None
            if plan is not None:
                found = Group(index, tuple(members), plan)
            elif len(members) > 1:
                break
            if not is_linked or member.images * member.rows * member.pitch < FAR_BYTES:
                break
        if found:
            groups.append(found)
        index = found.end if found else index + 1
    return groups


def _member(step: KernelStep, number: Callable[[Any], Any]) -> Member:
    rows = step.rows
    assert rows is not None
    target, source, source_rows = rows.pitches[rows.target], rows.pitches[rows.source], number(rows.source_rows)
    return Member(
        images=number(rows.images),
        rows=number(rows.rows),
        source_rows=source_rows,
        window=rows.window,
        pitch=number(target.row),
        source_pitch=number(source.row),
        is_dense=number(source.image) == number(source.row) * source_rows,
    )


def _band_call(
    call: BandCall | Move,
    part: Repeated,
    members: Sequence[KernelStep],
    params: dict[Any, bytes],
    binder: Binder,
) -> NativeCall:
    if isinstance(call, Move):
        kernel, copy = binder.backend.copy(call.size)
        return call.member, kernel.symbol, copy, [(BAND, 0, call.source, 0), (BAND, 0, call.target, 0)]
    step = members[call.member]
    rows = step.rows
    assert rows is not None
    key = (call.member, call.part)
    if key not in params:
        params[key] = binder.params(step, rows.params(call.part))
    operands: list[BandLocation] = []
    for name in binder.order[step.family]:
        operand = step.operands.get(name)
        inner = {rows.source: call.source_at, rows.target: call.target_at}.get(name)
        if operand is None or name not in rows.pitches:
            operands.append((*binder.locate(operand), 0))
        elif inner is not None:
            operands.append((BAND, 0, inner, 0))
        else:
            pitch, image = binder.number(rows.pitches[name].row), binder.number(rows.pitches[name].image)
            row = call.source_row if name == rows.source else call.row
            space, index, offset = binder.locate(operand)
            operands.append((space, index, offset + row * pitch + part.first * image, part.images * image))
    return call.member, step.row.symbol, params[key], operands
