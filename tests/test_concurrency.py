"""Several models in one process share its threads, and an idle process uses no CPU."""

import json
import subprocess
import sys

import numpy as np
import pytest

import rushlight as rl

MODELS = 4


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """What benchmarks.concurrency measures of four models, each large enough for all threads, in a fresh process."""
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / f"{index}.rush" for index in range(MODELS)]
    rng = np.random.default_rng(0)
    for path in paths:
        b = rl.GraphBuilder()
        x = b.input("x", np.float32, (64, 768))
        for _ in range(3):
            x = b.relu(b.linear(x, (rng.standard_normal((768, 768)) / 28).astype(np.float32)))
        b.output("y", x)
        b.build().save(path)
    command = [
        sys.executable,
        "-m",
        "benchmarks.concurrency",
        *map(str, paths),
        "--rounds",
        "20",
        "--idle",
        "1",
        "--json",
    ]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def test_models_share_the_threads_of_the_process(figures: dict[str, float]) -> None:
    """Four models with all CPUs each: one set of helpers, besides the callers, which are CPUs too."""
    assert figures["threads"] <= figures["cpus"] - 1


def test_callers_at_once_lose_nothing(figures: dict[str, float]) -> None:
    """Threads that took turns on the CPUs, or spun there, would make it much slower than calls in turn."""
    assert figures["at_once"] < 1.5 * figures["in_turn"] + 0.1


def test_an_idle_process_uses_no_cpu(figures: dict[str, float]) -> None:
    assert figures["idle"] < 0.005
