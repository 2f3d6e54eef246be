"""Writes results into the repository: the block of the README between markers, the page and the pictures in docs/."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.peers.machine import sentences
from benchmarks.peers.plot import plot
from benchmarks.peers.report import conclusions, full, introduction, summary
from benchmarks.peers.results import Results

BEGIN, END = "<!-- peers: written by python -m benchmarks.peers --readme -->", "<!-- /peers -->"


def replace_block(text: str, block: str) -> str:
    """`text` with what stands between the markers replaced. Raises ValueError unless there is one such place."""
    found, count = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: f"{BEGIN}\n\n{block}\n\n{END}", text, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"the README has {count} blocks between {BEGIN} and {END}")
    return found


def block(results: Results) -> str:
    """What the README shows: how it was measured, ratios on all instruction sets, means on others."""
    parts = [
        introduction(list(results.rows.values())),
        f"{'; '.join(sentences(results.machine))}.",
        summary(results),
        "\n".join(f"- {line}" for line in conclusions(results)),
        "![Ratios by model and setting](docs/peers.svg)",
    ]
    for isa in dict.fromkeys(setting.isa for setting in results.rows if setting.isa):
        held = f"All engines held to {isa.upper()}:"
        parts.append("\n".join([held, "", *(f"- {line}" for line in conclusions(results, isa))]))
    parts.append("[docs/peers.md](docs/peers.md) has every figure.")
    return "\n\n".join(parts)


def write(results: Results, root: Path) -> list[Path]:
    """Rewrites README, page and pictures below `root`; returns what was written."""
    readme, page = root / "README.md", root / "docs" / "peers.md"
    text = replace_block(readme.read_text("utf-8"), block(results))
    written = [page, readme]
    for isa in dict.fromkeys(setting.isa for setting in results.rows):
        written.append(root / "docs" / f"peers{f'-{isa}' if isa else ''}.svg")
        plot(results, written[-1], isa)
    page.write_text(full(results), "utf-8")
    readme.write_text(text, "utf-8")
    return written
