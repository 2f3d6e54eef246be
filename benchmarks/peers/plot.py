"""Results as a picture: a point for every model and setting, its height the ratio, a line at 1."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.results import Results, Row, geometric_mean, ratios
from rushlight.runtime.files import replacing

COLORS = ("#0b3c5d", "#328cc1", "#d9912b", "#b3412e", "#5b8c3a", "#7a4f9a", "#777777", "#222222")
TICKS = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16)


def plot(results: Results, path: Path, isa: str = "") -> None:
    """Writes a picture of the precisions that were measured, one above the other; its format is that of the suffix."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [(precision, rows) for precision in ("fp32", "int8") if (rows := results.select(precision, isa))]
    matplotlib.rcParams["svg.hashsalt"] = "rushlight"
    figure, axes = pyplot.subplots(len(panels), 1, figsize=(11, 4.2 * len(panels)), squeeze=False, layout="constrained")
    for axis, (precision, rows) in zip(axes[:, 0], panels, strict=True):
        _panel(axis, precision, rows)
    with replacing(path) as whole:
        figure.savefig(whole, format=path.suffix.removeprefix("."), metadata={"Date": None})
    pyplot.close(figure)


def _panel(axis: object, precision: str, rows: list[Row]) -> None:
    from matplotlib.axes import Axes
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    assert isinstance(axis, Axes)
    models = list(dict.fromkeys(row.setting.model for row in rows))
    settings = sorted({(row.setting.threads, row.setting.batch) for row in rows})
    for index, (threads, batch) in enumerate(settings):
        chosen = [row for row in rows if (row.setting.threads, row.setting.batch) == (threads, batch) and row.ratio]
        places = [models.index(row.setting.model) + 0.8 * ((index + 0.5) / len(settings) - 0.5) for row in chosen]
        heights = [row.ratio or 0 for row in chosen]
        spans = [row.ratio_range or (0, 0) for row in chosen]
        below = [max(0.0, height - low) for height, (low, _) in zip(heights, spans, strict=True)]
        above = [max(0.0, high - height) for height, (_, high) in zip(heights, spans, strict=True)]
        axis.errorbar(
            places, heights, yerr=[below, above], fmt="o", markersize=5, elinewidth=1,
            color=COLORS[index % len(COLORS)], label=f"{threads} thread{'s' * (threads > 1)}, batch {batch}",
        )  # fmt: skip
    axis.axhline(1, color="black", linewidth=1)
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(FixedLocator(TICKS))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.grid(axis="y", linewidth=0.4)
    axis.set_xticks(range(len(models)), models, rotation=30, ha="right")
    axis.set_xlim(-0.6, len(models) - 0.4)
    axis.set_ylabel("best peer's time / Rushlight's")
    axis.set_title(f"{precision}: geometric mean {geometric_mean(ratios(rows)):.2f}", loc="left")
    axis.legend(ncols=len(settings), loc="upper right", fontsize="small", frameon=False)
