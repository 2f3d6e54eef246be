"""Every kernel family that GPUs have, on the emulated device: the bits that the CPU gave for the same calls."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rushlight.runtime.cuda.backend import cuda_backend
from rushlight.runtime.cuda.device import Launch
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import Call, Row
from rushlight.runtime.errors import DeviceError
from tests.replay.calls import Operand, RecordedCall, read_calls, recorded_calls

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

SCHEDULES = [(0, 0), (0, 3), (3, 1), (5, 2)]
"""Order of warps, and which asynchronous work happens at once."""
LARGEST = 1 << 16
"""Bytes of operands of the calls that are made again: threads are emulated one by one."""
GUARD = 64
PATTERN = 0xA5


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for all workers of a parallel run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cuda"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUSHLIGHT_CACHE_DIR", str(folder))
        yield


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded_calls(tmp_path_factory)


class Guarded:
    """Device memory with a pattern on both sides; `shift` moves it off its alignment."""

    def __init__(self, device: EmulatedDevice, content: bytes, shift: int) -> None:
        self.buffer = device.allocate(GUARD + shift + len(content) + GUARD)
        self.buffer.bytes[:] = PATTERN
        self.first = GUARD + shift
        self.address = self.buffer.address + self.first
        self.size = len(content)
        self.buffer.bytes[self.first : self.first + self.size] = np.frombuffer(content, np.uint8)

    def content(self) -> bytes:
        inside = self.buffer.bytes[self.first : self.first + self.size]
        guards = np.concatenate([self.buffer.bytes[: self.first], self.buffer.bytes[self.first + self.size :]])
        assert (guards == PATTERN).all(), "written outside of an operand"
        return inside.tobytes()


def pack(row: Row, operand: Operand) -> bytes:
    """A weight in the layout of the row."""
    assert operand.before is not None
    assert operand.packing is not None
    backend = cuda_backend()
    out = np.full(backend.packed_bytes(row, operand.packing), PATTERN, np.uint8)
    backend.pack(row, operand.packing, np.frombuffer(operand.before, np.uint8), out)
    return out.tobytes()


def run(row: Row, recorded: RecordedCall, device: EmulatedDevice, shift: int) -> tuple[list[Launch], list[bytes]]:
    """The launches of a call, and what they left in its operands that are written."""
    memory: list[Guarded | None] = []
    for operand in recorded.operands:
        if operand.before is None:
            memory.append(None)
        elif operand.packing is not None:
            memory.append(Guarded(device, pack(row, operand), 0))  # weights are aligned
        else:
            memory.append(Guarded(device, operand.before, shift))
    addresses = [0 if held is None else held.address for held in memory]
    family = families()[row.family]
    scratch = device.allocate(family.scratch_bytes(Call(row, recorded.params, ()), device))
    launches = family.launches(Call(row, recorded.params, addresses, scratch.address), device)
    for launch in launches:
        device.launch(launch)
    left = [(held.content(), operand) for held, operand in zip(memory, recorded.operands, strict=True) if held]
    for content, operand in left:
        if operand.after is None and operand.packing is None:
            assert content == operand.before, "a kernel wrote into what it reads"
    return launches, [content for content, operand in left if operand.after is not None]


def same_bits(got: bytes, expected: bytes) -> bool:
    """Equal, but for what kind of NaN a NaN is."""
    if got == expected:
        return True
    if len(got) % 4:
        return False
    a, b = np.frombuffer(got, np.float32), np.frombuffer(expected, np.float32)
    nan = np.isnan(a) & np.isnan(b)
    return np.array_equal(a.view(np.uint32)[~nan], b.view(np.uint32)[~nan])


@pytest.mark.parametrize("family", sorted(families()))
def test_same_bits_as_on_the_cpu(family: str, calls: Path) -> None:
    own = families()[family]
    rows = {(row.op, row.types): row for row in own.rows}
    made: Counter[Row] = Counter()
    for recorded in read_calls(calls):
        row = rows.get((recorded.op, recorded.types))
        if recorded.family != family or row is None or recorded.size > LARGEST:
            continue
        seed, eager = SCHEDULES[made[row] % len(SCHEDULES)]
        shift = 8 * (made[row] % 2)
        launches, results = run(row, recorded, EmulatedDevice(seed, eager), shift)
        what = f"{row.symbol} {np.frombuffer(recorded.params, np.int64)}, seed {seed}, eager {eager}, shift {shift}"
        expected = [operand.after for operand in recorded.operands if operand.after is not None]
        for got, wanted in zip(results, expected, strict=True):
            assert same_bits(got, wanted), what
        assert {launch.kernel for launch in launches} <= set(own.kernels(row)), what
        made[row] += 1
    assert [row.symbol for row in own.rows if not made[row]] == []
