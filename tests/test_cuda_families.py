"""Every kernel family that GPUs have, on the emulated device: the bits that the CPU gave for the same calls."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import Row
from rushlight.runtime.errors import DeviceError
from tests.replay.calls import read_calls, recorded_calls
from tests.replay.device import REPLAYED, run, same_bits

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

SCHEDULES = [(0, 0), (0, 3), (3, 1), (5, 2)]
"""Order of warps, and which asynchronous work happens at once."""
OTHER_WAY = 8
"""Every so many calls take another of the ways that there are."""
LARGEST = 1 << 14
"""Bytes of operands of the calls that are made again: threads are emulated one by one."""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_calls(tmp_path_factory)


@pytest.mark.parametrize("family", REPLAYED)
def test_same_bits_as_on_the_cpu(family: str, calls: Path) -> None:
    own = families()[family]
    rows = {(row.op, row.types): row for row in own.rows}
    made: Counter[Row] = Counter()
    for recorded in read_calls(calls):
        row = rows.get((recorded.op, recorded.types))
        if recorded.family != family or row is None or recorded.size > LARGEST:
            continue
        seed, eager = SCHEDULES[made[row] % len(SCHEDULES)]
        shift, way = 8 * (made[row] % 2), made[row] // OTHER_WAY if made[row] % OTHER_WAY == OTHER_WAY - 1 else 0
        launches, results = run(row, recorded, EmulatedDevice(seed, eager), shift, way)
        what = f"{row.symbol} {np.frombuffer(recorded.params, np.int64)}, {seed=}, {eager=}, {shift=}, {way=}"
        expected = [operand.after for operand in recorded.operands if operand.after is not None]
        for got, wanted in zip(results, expected, strict=True):
            assert same_bits(got, wanted), what
        assert {launch.kernel for launch in launches} <= set(own.kernels(row)), what
        made[row] += 1
    assert [row.symbol for row in own.rows if not made[row]] == []
