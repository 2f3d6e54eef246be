"""Measures one model at one precision and thread count, in all engines: they take turns, block by block."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.engines import ENGINES, REFERENCE
from benchmarks.peers.feeds import read_inputs
from benchmarks.peers.process import EngineError, Process
from benchmarks.peers.results import Outcome, Row, Setting

PREPARE_LIMIT = 3600.0
"""Seconds for a quantization."""


@dataclass(frozen=True)
class Plan:
    """How to measure: engines, rounds, seconds a block, seconds that a first run may take (it may compile), the folder
    for all that is kept, variables that hide instruction sets, and the command that asks for all this."""

    engines: Sequence[str]
    rounds: int
    block: float
    limit: float
    folder: Path
    hidden: Mapping[str, str] = field(default_factory=dict)
    isa: str = ""
    command: str = ""


@dataclass(frozen=True)
class Subject:
    """An ONNX file at one precision."""

    model: Path
    precision: str

    @property
    def name(self) -> str:
        return self.model.stem


def prepare(plan: Plan, engine: str, subject: Subject) -> Path:
    """The folder with what the engine made of the model; made where the engine or the model have changed.

    Raises EngineError.
    """
    folder = plan.folder / "prepared" / subject.name / f"{engine}-{subject.precision}"
    stamp = f"{ENGINES[engine].version()}\n{_digest(subject.model)}\n"
    if (folder / "stamp").exists() and (folder / "stamp").read_text() == stamp:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with _process(plan, engine, 1, f"prepare-{subject.name}-{subject.precision}") as process:
        process.ask(
            "prepare", PREPARE_LIMIT, folder=str(folder), precision=subject.precision, **_described(subject.model)
        )
    (folder / "stamp").write_text(stamp)
    return folder


def measure(plan: Plan, subject: Subject, threads: int, batches: Sequence[int]) -> Iterator[Row]:
    """A row for each batch. An engine that fails is named in the row with its error."""
    with contextlib.ExitStack() as stack:
        processes: dict[str, Process] = {}
        outcomes = {name: Outcome(ENGINES[name].version()) for name in plan.engines}
        for name, outcome in outcomes.items():
            refusal = ENGINES[name].refuses(subject.model, subject.precision)
            if refusal is not None:
                outcome.refusal = refusal
                continue
            try:
                folder = prepare(plan, name, subject)
                log = f"{subject.name}-{subject.precision}-{threads}"
                environment = {**plan.hidden, **(ENGINES[name].avx2 if plan.hidden else {})}
                process = stack.enter_context(_process(plan, name, threads, log, environment))
                loaded = process.ask(
                    "load", plan.limit, folder=str(folder), threads=threads, **_described(subject.model)
                )
            except EngineError as error:
                outcome.error = str(error)
                continue
            outcome.load_s = loaded["load_s"]
            processes[name] = process
        for batch in batches:
            every = {name: Outcome(**asdict(outcome)) for name, outcome in outcomes.items()}
            _measure_batch(plan, subject, batch, processes, every)
            setting = Setting(subject.name, subject.precision, threads, batch, plan.isa)
            yield Row(setting, datetime.now(timezone.utc).strftime("%Y-%m-%d"), plan.command, every)
            for name in [name for name, process in processes.items() if not process.is_alive]:
                outcomes[name].error = every[name].error
                del processes[name]


def _measure_batch(
    plan: Plan, subject: Subject, batch: int, processes: Mapping[str, Process], outcomes: Mapping[str, Outcome]
) -> None:
    expected = reference(plan, subject, batch)
    times: dict[str, list[list[float]]] = {name: [] for name in processes}

    @contextlib.contextmanager
    def failing(name: str) -> Iterator[None]:
        try:
            yield
        except EngineError as error:
            outcomes[name].error = str(error)
            del times[name]

    for name, process in processes.items():
        with failing(name):
            path = plan.folder / "answer.npz"
            answered = process.ask("answer", plan.limit, batch=batch, path=str(path))
            outcomes[name].first_s, outcomes[name].first_mb = answered["first_s"], answered["first_mb"]
            outcomes[name].difference, outcomes[name].sqnr_db = compare(expected, read_answer(path))
    for _ in range(plan.rounds):
        for name in list(times):
            with failing(name):
                times[name].append(processes[name].ask("block", plan.limit, batch=batch, seconds=plan.block)["ms"])
    for name in list(times):
        with failing(name):
            state = processes[name].ask("state", plan.limit)
            outcomes[name].peak_mb = state["peak_mb"]
            outcomes[name].instructions = state["instructions"]
            outcomes[name].cpuid = state["cpuid"]
            outcomes[name].add_times(times[name])


def reference(plan: Plan, subject: Subject, batch: int) -> list[np.ndarray[Any, Any]]:
    """The float32 answers of ONNX Runtime, with all instruction sets. Raises EngineError."""
    subject = Subject(subject.model, "fp32")
    folder = prepare(plan, REFERENCE, subject)
    path = folder / f"answers-{batch}.npz"
    if not path.exists():
        with _process(plan, REFERENCE, 1, f"reference-{subject.name}") as process:
            process.ask("load", plan.limit, folder=str(folder), threads=1, **_described(subject.model))
            process.ask("answer", plan.limit, batch=batch, path=str(path))
    return read_answer(path)


def read_answer(path: Path) -> list[np.ndarray[Any, Any]]:
    with np.load(path) as file:
        return [file[f"arr_{index}"] for index in range(len(file.files))]


def compare(expected: Sequence[np.ndarray[Any, Any]], found: Sequence[np.ndarray[Any, Any]]) -> tuple[float, float]:
    """The largest difference of an output as a part of its largest value, and the least signal-to-noise ratio of an
    output in dB. Raises EngineError where shapes differ or a number is not finite."""
    shapes = [[array.shape for array in arrays] for arrays in (expected, found)]
    if shapes[0] != shapes[1]:
        raise EngineError(f"answers have shapes {shapes[1]}, not {shapes[0]}")
    worst, least = 0.0, np.inf
    for want, got in zip(expected, found, strict=True):
        want, error = want.astype(np.float64), got.astype(np.float64) - want
        if not np.isfinite(got).all():
            raise EngineError("an answer is not finite")
        signal, noise = float((want**2).sum()), float((error**2).sum())
        worst = max(worst, float(np.abs(error).max() / np.abs(want).max()))
        least = min(least, 10 * np.log10(signal / noise) if noise else np.inf)
    return worst, float(min(least, 200.0))


def _process(plan: Plan, engine: str, threads: int, log: str, environment: Mapping[str, str] | None = None) -> Process:
    logs = plan.folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    kept = {"TORCHINDUCTOR_CACHE_DIR": str((plan.folder / f"inductor{plan.isa}").resolve())}
    every = {**kept, **ENGINES[engine].environment(threads), **(environment or {})}
    return Process(engine, every, logs / f"{log}-{engine}.log")


def _described(model: Path) -> dict[str, Any]:
    return {
        "model": str(model),
        "inputs": [(each.name, each.dtype, each.shape) for each in read_inputs(model)],
    }


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
