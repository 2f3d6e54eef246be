"""What was measured, in a JSON file that an interrupted comparison goes on from."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers.engines import ENGINES, OURS
from rushlight.runtime.files import replacing

SMALL = ("silero_vad", "lstm", "minilm")
"""Models that are small at batch 1."""


class Setting(NamedTuple):
    """What one row measures; `isa` is "" for all that the CPU has."""

    model: str
    precision: str
    threads: int
    batch: int
    isa: str


@dataclass
class Outcome:
    """One engine in one row: milliseconds of all runs, accuracy, memory; or why there is none.

    `refusal`: the engine has nothing to run here. `error`: it failed. `rounds_ms` are the medians of the rounds,
    `low_ms` and `high_ms` the quartiles of all runs. `first_mb` and `peak_mb` are the process's peaks of resident
    memory, in MiB, after loading and the first run, and after all runs. `difference` is the largest difference to the
    float32 answers of ONNX Runtime as a part of the largest of these, `sqnr_db` the least signal-to-noise ratio of an
    output to them.
    """

    version: str
    refusal: str = ""
    error: str = ""
    runs: int = 0
    median_ms: float = math.nan
    min_ms: float = math.nan
    low_ms: float = math.nan
    high_ms: float = math.nan
    rounds_ms: list[float] = field(default_factory=list)
    load_s: float = math.nan
    first_s: float = math.nan
    first_mb: float = math.nan
    peak_mb: float = math.nan
    difference: float = math.nan
    sqnr_db: float = math.nan
    instructions: str = ""
    cpuid: list[str] = field(default_factory=list)

    @property
    def is_measured(self) -> bool:
        return self.runs > 0 and not self.error

    def add_times(self, rounds: Sequence[Sequence[float]]) -> None:
        """Milliseconds of every run, round by round."""
        every = [ms for each in rounds for ms in each]
        self.runs = len(every)
        self.median_ms, self.min_ms = statistics.median(every), min(every)
        self.low_ms, _, self.high_ms = (
            statistics.quantiles(every, n=4, method="inclusive") if len(every) > 1 else every * 3
        )
        self.rounds_ms = [statistics.median(each) for each in rounds]


@dataclass
class Row:
    """One setting, measured in one run of all engines by `command`."""

    setting: Setting
    date: str
    command: str
    engines: dict[str, Outcome]

    @property
    def peers(self) -> dict[str, Outcome]:
        return {name: each for name, each in self.engines.items() if name != OURS and each.is_measured}

    @property
    def ours(self) -> Outcome | None:
        found = self.engines.get(OURS)
        return found if found is not None and found.is_measured else None

    @property
    def best_peer(self) -> str | None:
        """The peer with the least median."""
        return min(self.peers, key=lambda name: self.peers[name].median_ms, default=None)

    @property
    def ratio(self) -> float | None:
        """The best peer's median over ours: above 1 where we are faster."""
        if self.ours is None or self.best_peer is None:
            return None
        return self.peers[self.best_peer].median_ms / self.ours.median_ms

    @property
    def ratio_range(self) -> tuple[float, float] | None:
        """The least and the largest ratio of a round's medians."""
        if self.ours is None or self.best_peer is None:
            return None
        theirs = self.peers[self.best_peer].rounds_ms
        ratios = [peer / own for peer, own in zip(theirs, self.ours.rounds_ms, strict=True)]
        return min(ratios), max(ratios)


def geometric_mean(ratios: Iterable[float]) -> float:
    """NaN of nothing."""
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(statistics.fmean(logarithms)) if logarithms else math.nan


def _fields(outcome: Outcome) -> dict[str, Any]:
    """As JSON has it: null for numbers that are missing."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value for key, value in asdict(outcome).items()
    }


def _outcomes(engines: Mapping[str, Mapping[str, Any]]) -> dict[str, Outcome]:
    return {
        name: Outcome(**{key: math.nan if value is None else value for key, value in fields.items()})
        for name, fields in engines.items()
    }


class ResultsError(Exception):
    """A file of results that cannot be gone on from."""


class Results:
    """Rows by setting. `machine` describes where they were measured: one file, one machine."""

    def __init__(self, path: Path, machine: Mapping[str, Any], rows: Iterable[Row] = ()) -> None:
        self.path = path
        self.machine = dict(machine)
        self.rows = {row.setting: row for row in rows}

    @classmethod
    def read(cls, path: Path) -> Results:
        """Raises ResultsError."""
        try:
            content = json.loads(path.read_text("utf-8"))
            rows = [
                Row(Setting(**row["setting"]), row["date"], row["command"], _outcomes(row["engines"]))
                for row in content["rows"]
            ]
            return cls(path, content["machine"], rows)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultsError(f"{path}: {error}") from None

    @classmethod
    def open(cls, path: Path, machine: Mapping[str, Any]) -> Results:
        """The results in `path`, or none yet. Raises ResultsError where they are of another machine."""
        if not path.exists():
            return cls(path, machine)
        found = cls.read(path)
        if found.machine["cpu"] != machine["cpu"]:
            raise ResultsError(f"{path} is of another machine ({found.machine['cpu']}); name another file")
        peaks = merge_peaks(found.machine["peaks"], machine["peaks"])
        found.machine = {**machine, "peaks": peaks}
        return found

    def put(self, row: Row) -> None:
        """Adds a row and writes the file."""
        self.rows[row.setting] = row
        rows = [
            {
                "setting": each.setting._asdict(),
                "date": each.date,
                "command": each.command,
                "engines": {name: _fields(outcome) for name, outcome in each.engines.items()},
            }
            for each in self.rows.values()
        ]
        with replacing(self.path) as whole:
            whole.write_text(json.dumps({"machine": self.machine, "rows": rows}, indent=1, allow_nan=False), "utf-8")

    def lacks(self, setting: Setting, versions: Mapping[str, str]) -> bool:
        """Whether a setting is to be measured: one of these engines is missing, or has changed since."""
        row = self.rows.get(setting)
        return row is None or any(
            name not in row.engines or row.engines[name].version != version for name, version in versions.items()
        )

    def select(self, precision: str, isa: str = "") -> list[Row]:
        """The rows of a precision, in the order of models, threads, batches."""
        found = [row for row in self.rows.values() if (row.setting.precision, row.setting.isa) == (precision, isa)]
        models = list(dict.fromkeys(setting.model for setting in self.rows))
        return sorted(found, key=lambda row: (models.index(row.setting.model), row.setting.threads, row.setting.batch))


def merge_peaks(*runs: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The best that any run reached, by thread count and name."""
    best: dict[str, dict[str, float]] = {}
    for run in runs:
        for threads, peaks in run.items():
            known = best.setdefault(threads, {})
            for name, value in peaks.items():
                known[name] = max(value, known.get(name, 0.0))
    return dict(sorted(best.items(), key=lambda item: int(item[0])))


def ratios(rows: Iterable[Row]) -> list[float]:
    return [row.ratio for row in rows if row.ratio is not None]


def small(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.setting.model in SMALL and row.setting.batch == 1]


def engine_names(rows: Iterable[Row]) -> list[str]:
    """The engines that have something to run in these rows, ours first."""
    present = {name for row in rows for name, outcome in row.engines.items() if not outcome.refusal}
    return [name for name in ENGINES if name in present]
