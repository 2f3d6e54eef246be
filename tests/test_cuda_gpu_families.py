"""Every kernel family on a GPU: the bits that the CPU gave for the same calls. Skipped without one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import Row
from rushlight.runtime.cuda.gpu import GpuDevice
from rushlight.runtime.errors import DeviceError
from tests.replay.calls import read_calls, recorded_calls
from tests.replay.device import REPLAYED, run, same_bits

try:
    DEVICE = GpuDevice()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_calls(tmp_path_factory)


@pytest.mark.parametrize("family", REPLAYED)
def test_same_bits_as_on_the_cpu(family: str, calls: Path) -> None:
    rows = {(row.op, row.types): row for row in families()[family].rows}
    made: Counter[Row] = Counter()
    for recorded in read_calls(calls):
        row = rows.get((recorded.op, recorded.types))
        if recorded.family != family or row is None:
            continue
        _, results = run(row, recorded, DEVICE, shift=8 * (made[row] % 2))
        expected = [operand.after for operand in recorded.operands if operand.after is not None]
        for got, wanted in zip(results, expected, strict=True):
            assert same_bits(got, wanted), f"{row.symbol} {np.frombuffer(recorded.params, np.int64)}"
        made[row] += 1
    assert [row.symbol for row in rows.values() if not made[row]] == []
