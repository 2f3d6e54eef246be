"""Compares Rushlight with other engines on public models: writes the models, runs all engines, prints tables.

Results are kept in a JSON file: what is there already, from the same builds, is not measured again, so an interrupted
run goes on where it was.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import machine, readme
from benchmarks.peers.engines import ENGINES
from benchmarks.peers.isa import IsaError, hiding_environment
from benchmarks.peers.measure import Plan, Subject, measure, prepare
from benchmarks.peers.plot import plot
from benchmarks.peers.process import EngineError
from benchmarks.peers.report import conclusions, full, instruction_lines, setting_text, summary
from benchmarks.peers.results import Results, ResultsError, Row, Setting

ROOT = Path(__file__).parents[2]
COMMAND = "python -m benchmarks.peers"
ROUNDS, BLOCK = 6, 0.4
PRECISIONS = ("fp32", "int8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--models", type=_names, help="names from models.py, or ONNX files (default: all names)")
    parser.add_argument("--engines", type=_names, default=list(ENGINES), help=f"of {','.join(ENGINES)}")
    parser.add_argument("--precisions", type=_names, default=list(PRECISIONS), help="of fp32,int8")
    parser.add_argument("--threads", type=_counts, default=[1, 2])
    parser.add_argument("--batch", type=_counts, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of every engine")
    parser.add_argument("--block", type=float, default=BLOCK, help="seconds a turn")
    parser.add_argument(
        "--limit", type=float, default=600, help="seconds for loading and a first run, which may compile"
    )
    parser.add_argument("--isa", choices=["", "avx2"], default="", help="hide newer instruction sets from all engines")
    parser.add_argument("--again", action="store_true", help="measure what is in the results already")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "peers", help="models, converted models, logs")
    parser.add_argument("--results", type=Path, help="JSON file (default results.json in the folder)")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--prepare", action="store_true", help="only write, convert and quantize the models")
    only.add_argument("--report", action="store_true", help="only print the results that there are")
    only.add_argument("--readme", action="store_true", help="only write the results into README.md and docs/")
    options = parser.parse_args()
    options.results = options.results or options.folder / "results.json"
    for name, known in ((options.engines, ENGINES), (options.precisions, PRECISIONS)):
        unknown = [each for each in name if each not in known]
        if unknown:
            parser.error(f"no {', '.join(unknown)}; there is {', '.join(known)}")
    if options.rounds < 1 or options.block <= 0:
        parser.error("there must be a round, and its blocks must take time")
    return options


def _names(text: str) -> list[str]:
    return text.split(",")


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if min(counts) < 1:
        raise ValueError(text)
    return counts


def write_models(names: Sequence[str] | None, folder: Path) -> list[Path]:
    """Paths of the ONNX files; those that are missing are written by a process of their own, for its memory."""
    if names is None:
        from benchmarks.peers.models import NAMES as names
    paths = [Path(name) if name.endswith(".onnx") else folder / f"{name}.onnx" for name in names]
    missing = [path.stem for path in paths if path.parent == folder and not path.exists()]
    if missing:
        print(f"writing {', '.join(missing)}", flush=True)
        subprocess.run([sys.executable, "-m", "benchmarks.peers.models", str(folder), *missing], check=True)
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        raise SystemExit(f"error: there is no {', '.join(absent)}")
    return paths


def command_text(options: argparse.Namespace) -> str:
    """The command with the options that how rows are measured depends on, where they are not the defaults."""
    words = [COMMAND]
    if options.engines != list(ENGINES):
        words.append(f"--engines {','.join(options.engines)}")
    words += [f"--rounds {options.rounds}"] * (options.rounds != ROUNDS)
    words += [f"--block {options.block:g}"] * (options.block != BLOCK)
    words += [f"--isa {options.isa}"] * bool(options.isa)
    return " ".join(words)


def prepare_all(plan: Plan, subjects: Sequence[Subject]) -> None:
    for subject in subjects:
        for engine in plan.engines:
            if ENGINES[engine].refuses(subject.model, subject.precision) is None:
                print(f"{subject.name} {subject.precision} {engine}", flush=True)
                try:
                    prepare(plan, engine, subject)
                except EngineError as error:
                    print(f"  failed: {error}", flush=True)


def run(options: argparse.Namespace) -> None:
    """Measures what the results lack; every row is kept as soon as it is there."""
    options.folder.mkdir(parents=True, exist_ok=True)
    hidden = hiding_environment(options.folder) if options.isa else {}
    subjects = [
        Subject(path, precision)
        for path in write_models(options.models, options.folder / "models")
        for precision in options.precisions
    ]
    timing = options.rounds, options.block, options.limit
    plan = Plan(options.engines, *timing, options.folder, hidden, options.isa, command_text(options))
    if options.prepare:
        prepare_all(plan, subjects)
        return
    results = Results.open(options.results, machine.describe(options.threads))
    print("\n".join(machine.sentences(results.machine)), flush=True)
    versions = {engine: ENGINES[engine].version() for engine in options.engines}
    for subject in subjects:
        for threads in options.threads:
            batches = [
                batch
                for batch in options.batch
                if options.again
                or results.lacks(Setting(subject.name, subject.precision, threads, batch, options.isa), versions)
            ]
            for row in measure(plan, subject, threads, batches) if batches else ():
                results.put(row)
                print(row_text(row), flush=True)
    finish(results, options)


def row_text(row: Row) -> str:
    """One line: every engine's median, minimum and quartiles, and the ratio with its range."""
    parts = []
    for name, outcome in row.engines.items():
        if outcome.is_measured:
            spread = f"min {outcome.min_ms:.3g}, {outcome.low_ms:.3g}..{outcome.high_ms:.3g}"
            parts.append(f"{name} {outcome.median_ms:.3g} ms ({spread})")
        elif outcome.error:
            parts.append(f"{name} failed: {outcome.error}")
    if row.ratio is not None and row.ratio_range is not None:
        parts.append(f"ratio to {row.best_peer} {row.ratio:.2f} [{row.ratio_range[0]:.2f}, {row.ratio_range[1]:.2f}]")
    return f"{setting_text(row.setting)}: {'; '.join(parts)}"


def finish(results: Results, options: argparse.Namespace) -> None:
    """Prints the tables; writes them and the picture beside the results."""
    isa = options.isa
    print(f"\n{summary(results, isa)}\n")
    print("\n".join(conclusions(results, isa)))
    if isa:
        print("\n".join(instruction_lines(results, isa)))
    page = options.results.with_suffix(".md")
    page.write_text(full(results), "utf-8")
    picture = options.results.with_suffix(f".{isa}.svg" if isa else ".svg")
    plot(results, picture, isa)
    print(f"\n{page}, {picture}, {options.results}")


def main() -> None:
    options = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what runs is ended
    try:
        if options.report:
            finish(Results.read(options.results), options)
        elif options.readme:
            print(*readme.write(Results.read(options.results), ROOT), sep="\n")
        else:
            run(options)
    except (ResultsError, IsaError, EngineError) as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(f"interrupted; the same command goes on from {options.results}") from None


if __name__ == "__main__":
    main()
