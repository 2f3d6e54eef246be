"""Progress bars, where somebody looks at them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def track(items: Sequence[T], description: str) -> Iterator[T]:
    """Yields `items` with a progress bar on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description, console=Console(stderr=True), transient=True)


@contextmanager
def counter(description: str, unit: str) -> Iterator[Callable[[int], None]]:
    """A function that shows how many `unit` are done, on stderr if that is a terminal."""
    with counters(**{description: unit}) as (count,):
        yield count


@contextmanager
def counters(**units: str) -> Iterator[list[Callable[[int], None]]]:
    """As `counter`, one for every description and its unit; several are shown when they are first told something."""
    if not sys.stderr.isatty():
        yield [lambda _: None for _ in units]
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    words = TextColumn("{task.description} {task.completed} {task.fields[unit]}")
    with Progress(SpinnerColumn(), words, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as shown:

        def show(task: TaskID) -> Callable[[int], None]:
            return lambda done: shown.update(task, completed=done, visible=True)

        alone = len(units) == 1
        tasks = [shown.add_task(what, total=None, visible=alone, unit=unit) for what, unit in units.items()]
        yield [show(task) for task in tasks]
