"""Every kernel family that GPUs have, on the emulated device: the bits that the CPU gave for the same calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families as cpu_families
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import Row
from rushlight.runtime.cuda.packed import round_to_tf32, weight_type
from rushlight.runtime.errors import DeviceError
from rushlight.runtime.ops import Array
from tests.replay.calls import Operand, RecordedCall, read_calls, recorded_calls
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


def on_cpu(recorded: RecordedCall) -> Array:
    """What the CPU's kernel makes of the operands; the last of them."""
    wanted = (recorded.op, recorded.types, "generic")
    symbol = next(row.symbol for row in cpu_families()[recorded.family].rows if (row.op, row.types, row.isa) == wanted)
    operands: list[Any] = []
    for operand in recorded.operands:
        held = None if operand.before is None else np.frombuffer(operand.before, np.uint8).copy()
        operands.append(held if operand.packing is None else _core.pack(symbol, operand.packing, held))
    _core.run_kernel(symbol, recorded.params, operands, 1, 1)
    return np.asarray(operands[-1].view(np.float32))


def rounded(operand: Operand) -> Operand:
    assert operand.before is not None
    return replace(operand, before=round_to_tf32(np.frombuffer(operand.before, np.float32)).tobytes())


def in_tf32(
    row: Row, calls: Path, held: Callable[[tuple[Operand, ...]], Iterable[Operand]]
) -> Iterator[tuple[RecordedCall, Array, Array]]:
    """Recorded calls with the operands that `held` makes of theirs, what the CPU gives for them, what `row` does."""
    made: set[bytes] = set()
    kernels = set()
    for recorded in read_calls(calls):
        if (recorded.op, recorded.types) != (row.op, row.types) or recorded.size > LARGEST or recorded.params in made:
            continue
        made.add(recorded.params)
        call = replace(recorded, operands=tuple(held(recorded.operands)))
        device = EmulatedDevice(*SCHEDULES[len(made) % len(SCHEDULES)], multiprocessors=len(made) % 4 + 1)
        launches, (result,) = run(row, call, device, 4 * (len(made) % 3))
        kernels |= {launch.kernel for launch in launches}
        expected, got = on_cpu(call), np.frombuffer(result, np.float32)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
        yield call, expected, got
    assert kernels
    assert kernels <= set(families()[row.family].kernels(row))


def largest(array: Array) -> float:
    return float(abs(array[np.isfinite(array)]).max(initial=0))


@pytest.mark.parametrize("row", families()["gemm"].tf32_rows, ids=lambda row: row.types)
def test_tf32_is_near_the_cpu(row: Row, calls: Path) -> None:
    """With operands that TF32 holds, so that only the order of sums differs."""

    def held(operands: tuple[Operand, ...]) -> Iterable[Operand]:
        source, weight, *others = operands
        return rounded(source), rounded(weight) if weight_type(row) == "f32" else weight, *others

    for _, expected, got in in_tf32(row, calls, held):
        np.testing.assert_allclose(got, expected, rtol=0, atol=2e-5 * largest(expected) + 1e-30)


def test_tf32_attention_is_near_the_cpu(calls: Path) -> None:
    """Queries, keys and values are numbers of TF32 here, so that only weights are rounded, and sums in other order."""
    (row,) = families()["attention"].tf32_rows
    for call, expected, got in in_tf32(row, calls, lambda operands: (*map(rounded, operands[:3]), *operands[3:])):
        values = np.frombuffer(call.operands[2].before or b"", np.float32)
        np.testing.assert_allclose(got, expected, rtol=0, atol=2**-10 * largest(values) + 1e-30)


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
