"""Results as Markdown: a table of ratios for the README, and all figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.peers.engines import REFERENCE
from benchmarks.peers.machine import sentences
from benchmarks.peers.results import Outcome, Results, Row, Setting, engine_names, geometric_mean, ratios, small

MAX_DIFFERENCE = 1e-3
"""Of float32 answers to the reference's, as a part of the largest."""
MAX_SQNR_LOSS = 1.0
"""dB below the better peer's int8 answers."""

INTRODUCTION = """\
Measured with {command}, {date}. The engines run in processes of their own and take turns, block by block; the others
are stopped meanwhile. A ratio is the best peer's median over Rushlight's, above 1 where Rushlight is faster, with the
least and the largest of the rounds in brackets. Int8 models come from the same float32 file, each by the engine's own
tool, calibrated on the same samples. PyTorch runs the module that the file was made from."""


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(results: Results, isa: str = "") -> str:
    """Ratios, a row a model and a column a setting, and their geometric means."""
    rows = [*results.select("fp32", isa), *results.select("int8", isa)]
    return _by_setting({row.setting: row.ratio for row in rows})


def gains(results: Results, isa: str = "") -> str:
    """Our float32 median over our int8 median, laid out as in `summary`."""
    return _by_setting(int8_gains(results, isa))


def _by_setting(figures: Mapping[Setting, float | None]) -> str:
    """A row a model, a column a setting, and the geometric means; "failed" for None, "" for what is not measured."""
    columns = sorted({(each.precision, each.threads, each.batch) for each in figures})
    by_model: dict[str, dict[tuple[str, int, int], float | None]] = {}
    for each, figure in figures.items():
        by_model.setdefault(each.model, {})[each.precision, each.threads, each.batch] = figure

    def cell(known: Mapping[tuple[str, int, int], float | None], key: tuple[str, int, int]) -> str:
        return figure_text(known[key]) if key in known else ""

    header = ["model", *(f"{precision} {threads}t b{batch}" for precision, threads, batch in columns)]
    body = [[model, *(cell(known, key) for key in columns)] for model, known in by_model.items()]
    found = [[known.get(key) for known in by_model.values()] for key in columns]
    means = [f"**{_number(geometric_mean(each for each in known if each is not None))}**" for known in found]
    return markdown_table(header, [*body, ["**geometric mean**", *means]])


def figure_text(figure: float | None) -> str:
    """ "failed" for None: we or all peers failed."""
    return "failed" if figure is None else _number(figure)


def conclusions(results: Results, isa: str = "") -> list[str]:
    """Geometric means and what falls short, one sentence each."""
    found = []
    for precision in ("fp32", "int8"):
        rows = results.select(precision, isa)
        if rows:
            known = ratios(rows)
            mean = _number(geometric_mean(known))
            line = f"{precision}: geometric mean {mean} over {len(known)} of {len(rows)} settings"
            if small(rows):
                line += f", {_number(geometric_mean(ratios(small(rows))))} over small models at batch 1"
            found.append(f"{line}; {sum(ratio < 1 for ratio in known)} below 1.")
    gained = int8_gains(results, isa)
    if gained:
        least = min(gained, key=lambda setting: gained[setting])
        found.append(
            f"int8 against our own fp32: geometric mean {_number(geometric_mean(gained.values()))}, "
            f"least {_number(gained[least])} ({setting_text(least)})."
        )
    return found + [f"{text}." for text in shortcomings(results, isa)]


def int8_gains(results: Results, isa: str = "") -> dict[Setting, float]:
    """Our float32 median over our int8 median, by the int8 setting."""
    found = {}
    for row in results.select("int8", isa):
        twin = results.rows.get(row.setting._replace(precision="fp32"))
        if row.ours is not None and twin is not None and twin.ours is not None:
            found[row.setting] = twin.ours.median_ms / row.ours.median_ms
    return found


def shortcomings(results: Results, isa: str = "") -> list[str]:
    """Failures, answers that are too far off and memory above the peers', by setting."""
    found = []
    for row in [*results.select("fp32", isa), *results.select("int8", isa)]:
        name = setting_text(row.setting)
        for engine, outcome in row.engines.items():
            if outcome.error:
                found.append(f"{name}: {engine} failed: {outcome.error}")
            if row.setting.precision == "fp32" and outcome.difference > MAX_DIFFERENCE:
                found.append(f"{name}: {engine} differs by {outcome.difference:.1e}")
        if row.ours is None or not row.peers:
            continue
        best = max(outcome.sqnr_db for outcome in row.peers.values())
        if row.setting.precision == "int8" and row.ours.sqnr_db < best - MAX_SQNR_LOSS:
            found.append(f"{name}: SQNR {row.ours.sqnr_db:.1f} dB, the better peer {best:.1f} dB")
        for when, peak in (("the first run", "first_mb"), ("all runs", "peak_mb")):
            own, least = getattr(row.ours, peak), min(getattr(outcome, peak) for outcome in row.peers.values())
            if own > least:
                found.append(f"{name}: peak memory after {when} {own:.0f} MiB, the least peer {least:.0f} MiB")
    return found


def setting_text(setting: Setting) -> str:
    model, precision, threads, batch, isa = setting
    return f"{model} {precision}{f' {isa}' if isa else ''}, {threads} thread{'s' * (threads > 1)}, batch {batch}"


def full(results: Results) -> str:
    """The whole page: machine, engines, and every figure."""
    rows = list(results.rows.values())
    parts = [
        "# Beside other engines",
        introduction(rows),
        "\n".join(f"- {line}" for line in [*sentences(results.machine), *versions(rows)]),
    ]
    for isa in dict.fromkeys(row.setting.isa for row in rows):
        held = f", engines held to {isa.upper()}" if isa else ""
        parts += [
            f"## Ratios{held}",
            summary(results, isa),
            "\n".join(f"- {line}" for line in conclusions(results, isa)),
        ]
        if isa:
            parts.append("\n".join(f"- {line}" for line in instruction_lines(results, isa)))
        if int8_gains(results, isa):
            parts += [f"## Our int8 against our fp32{held}", gains(results, isa)]
        for precision in ("fp32", "int8"):
            chosen = results.select(precision, isa)
            if chosen:
                parts += [f"## Milliseconds, {precision}{held}", milliseconds(chosen)]
                parts += [f"## Answers, memory, load, {precision}{held}", qualities(chosen)]
    return "\n\n".join(parts) + "\n"


def milliseconds(rows: Sequence[Row]) -> str:
    """Median (minimum) of every engine, and the ratio with the range of the rounds."""
    engines = engine_names(rows)

    def cell(row: Row, name: str) -> str:
        outcome = row.engines.get(name)
        return _state(outcome, lambda each: f"{each.median_ms:.3g} ({each.min_ms:.3g})")

    body = []
    for row in rows:
        span = row.ratio_range
        ratio = figure_text(row.ratio) + (f" [{_number(span[0])}, {_number(span[1])}]" if span else "")
        body.append([*_setting_cells(row), *(cell(row, name) for name in engines), ratio])
    return markdown_table(["model", "threads", "batch", *engines, "ratio"], body)


def qualities(rows: Sequence[Row]) -> str:
    """Difference or SQNR to the reference's float32 answers, peak memory, and seconds until the first answer."""
    engines = engine_names(rows)
    is_float = rows[0].setting.precision == "fp32"

    def cell(outcome: Outcome | None) -> str:
        def text(each: Outcome) -> str:
            accuracy = f"{each.difference:.1e}" if is_float else f"{each.sqnr_db:.1f} dB"
            return f"{accuracy}, {each.first_mb:.0f}, {each.peak_mb:.0f} MiB, {each.load_s:.2f} + {each.first_s:.2f} s"

        return _state(outcome, text)

    body = [[*_setting_cells(row), *(cell(row.engines.get(name)) for name in engines)] for row in rows]
    what = f"largest difference to {REFERENCE}'s float32 answers" if is_float else "SQNR to float32 answers"
    note = (
        f"Each cell: {what}; peak resident memory after the first and after all runs; seconds to load and for the "
        "first answer."
    )
    return f"{note}\n\n{markdown_table(['model', 'threads', 'batch', *engines], body)}"


def instruction_lines(results: Results, isa: str) -> list[str]:
    """What the engines say that they use, and what CPUID told them."""
    seen: dict[str, set[str]] = {}
    for row in [*results.select("fp32", isa), *results.select("int8", isa)]:
        for name, outcome in row.engines.items():
            if outcome.is_measured:
                said = outcome.instructions or "says nothing"
                seen.setdefault(name, set()).add(f"{said}; CPUID: {' '.join(outcome.cpuid)}")
    return [f"{name}: {text}" for name, texts in seen.items() for text in sorted(texts)]


def versions(rows: Iterable[Row]) -> list[str]:
    """One line with all engines; more than one version of one where rows come from several runs."""
    found = sorted({outcome.version for row in rows for outcome in row.engines.values()})
    return [f"Engines: {'; '.join(found)}"]


def introduction(rows: Sequence[Row]) -> str:
    """How the rows came about: commands, dates, what the figures mean."""
    commands = " and ".join(f"`{command}`" for command in dict.fromkeys(row.command for row in rows))
    return INTRODUCTION.format(command=commands, date=date_range(rows))


def date_range(rows: Iterable[Row]) -> str:
    dates = sorted({row.date for row in rows})
    return "nothing yet" if not dates else dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"


def _setting_cells(row: Row) -> list[str]:
    return [row.setting.model, str(row.setting.threads), str(row.setting.batch)]


def _state(outcome: Outcome | None, text: Callable[[Outcome], str]) -> str:
    if outcome is None or outcome.refusal:
        return "-"
    return text(outcome) if outcome.is_measured else "failed"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
