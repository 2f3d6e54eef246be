"""Pipelines: recurrent layers that follow one another, each on a thread of its own.

The steps of one recurrence wait for one another, and a small batch has no other parts that threads could share. But a
layer needs of the one before it no more than the time steps that are done: while one thread makes the next span of
time of the first layer, another makes the last one of the second. No kernel knows: each is called for a shorter time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..ir import Value
from .groups import BandLocation, Binder, NativeBands, NativeCall
from .lowering import At, KernelStep, Operand, PlanStep, Recurrence

SPANS = 4
"""Of the time, while that makes them no shorter than SHORTEST and no longer than LONGEST: the second layer waits for
one of them, but every call prepares its first steps for itself."""

SHORTEST, LONGEST = 8, 24

MAX_MEMBERS = 8
"""What the executor takes."""


@dataclass(frozen=True)
class Pipeline:
    """Plan steps `first`, `first + 1`, ... up to `end` at once, for these spans (first time step, how many)."""

    first: int
    end: int
    spans: Sequence[tuple[int, int]]

    def describe(self) -> str:
        """How its steps run, for people."""
        return f"{self.end - self.first} steps at once, each on a thread, {self.spans[0][1]} time steps at a time"

    def bind(self, binder: Binder, steps: Sequence[PlanStep]) -> NativeBands:
        """What the executor is given for it, of the plan's `steps`: a sequence a step, of a call a span."""
        sequences: list[list[NativeCall]] = []
        for member, step in enumerate(steps[self.first : self.end]):
            assert isinstance(step, KernelStep)
            calls = [_span_call(member, step, span, index == 0, binder) for index, span in enumerate(self.spans)]
            sequences.append(calls)
        return len(sequences), 0, [(1, sequences)], True


def spans_of(steps: int, is_reverse: bool) -> list[tuple[int, int]]:
    """The parts of the time, in the order in which they are made."""
    length = min(max(-(-steps // (SPANS * SHORTEST)) * SHORTEST, SHORTEST), LONGEST)
    spans = [(begin, min(length, steps - begin)) for begin in range(0, steps, length)]
    return [(steps - begin - count, count) for begin, count in spans] if is_reverse else spans


def gather(
    steps: Iterable[PlanStep],
    touched: Callable[[PlanStep], Iterable[object]],
    written: Callable[[PlanStep], Collection[object]],
) -> list[PlanStep]:
    """`steps` with a recurrence next to the one whose results it needs: what stands between them goes before them where
    it needs none of them, as first states do, and else behind them. The order stays where nothing comes together."""
    gathered: list[PlanStep] = []
    begin = end = 0  # of the last recurrences that stand together
    for step in steps:
        gathered.append(step)
        if _time(step) is None:
            continue
        group, between, needed = gathered[begin:end], gathered[end:-1], set(touched(step))
        made = {result for member in group for result in written(member)}
        if not needed.isdisjoint(made):
            before: list[PlanStep] = []
            behind: list[PlanStep] = []
            late: set[object] = set()  # what steps behind make
            for other in between:
                if made.isdisjoint(uses := set(touched(other))) and late.isdisjoint(uses):
                    before.append(other)
                else:
                    behind.append(other)
                    late.update(written(other))
            if needed.isdisjoint(late):
                gathered[begin:] = [*before, *group, step, *behind]
                begin, end = begin + len(before), end + len(before) + 1
                continue
        begin, end = len(gathered) - 1, len(gathered)
    return gathered


def find_pipelines(
    steps: Sequence[PlanStep], root: Callable[[Value], Value], number: Callable[[Any], Any], threads: int
) -> list[Pipeline]:
    """Neighbouring recurrences of one time, as many as there are threads, none of which could be shared by threads."""
    pipelines: list[Pipeline] = []
    most = min(threads, MAX_MEMBERS)
    index = 0
    while index < len(steps):
        end = index
        while end < min(index + most, len(steps)) and _joins(steps[index:end], steps[end], root, number):
            end += 1
        if end - index > 1:
            time = _time(steps[index])
            assert time is not None
            pipelines.append(Pipeline(index, end, spans_of(number(time.steps), time.is_reverse)))
        index = max(end, index + 1)
    return pipelines


def _time(step: PlanStep) -> Recurrence | None:
    return step.time if isinstance(step, KernelStep) else None


def _joins(
    members: Sequence[PlanStep], step: PlanStep, root: Callable[[Value], Value], number: Callable[[Any], Any]
) -> bool:
    """Whether `step` can follow the members of a pipeline, or begin one."""
    time = _time(step)
    if time is None or number(time.tasks) != 1 or number(time.steps) < 2 * SHORTEST:
        return False
    if not members:
        return True
    last, before = members[-1], _time(members[-1])
    assert before is not None
    assert isinstance(last, KernelStep)
    assert isinstance(step, KernelStep)
    source = step.operands[time.source]
    written = {root(out) for member in members for out in member.node.outputs}
    return (
        isinstance(source, Value)
        and root(source) is root(_value(last.operands[before.target]))
        and time.is_reverse == before.is_reverse
        and number(time.steps) == number(before.steps)
        and number(time.pitches[time.source]) == number(before.pitches[before.target])
        and not any(root(_value(step.operands[name])) in written for name in time.states)
    )


def _value(operand: Operand) -> Value:
    base = operand.base if isinstance(operand, At) else operand
    assert isinstance(base, Value)
    return base


def _span_call(member: int, step: KernelStep, span: tuple[int, int], is_first: bool, binder: Binder) -> NativeCall:
    time, (begin, count) = step.time, span
    assert time is not None
    operands: list[BandLocation] = []
    for name in binder.order[step.family]:
        operand = step.operands.get(name if is_first else time.states.get(name, name))
        space, index, offset = binder.locate(operand)
        operands.append((space, index, offset + begin * binder.number(time.pitches.get(name, 0)), 0))
    return member, step.row.symbol, binder.params(step, {time.count: count}), operands
