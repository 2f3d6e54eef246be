"""Recorded calls of the CPU's kernels, made on a device: on memory with guards, off its alignment."""

from __future__ import annotations

import numpy as np

from rushlight.runtime.cuda.backend import cuda_backend
from rushlight.runtime.cuda.device import Device, Launch, upload
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import COUNTERS, SCRATCH_AT, Call, Row, scratch_memory

from .calls import Operand, RecordedCall

REPLAYED = sorted(set(families()) - {"chain", "pack"})
"""Families with a table of rows whose results have the CPU's layout; test_cuda_products.py reads what pack_b makes."""
GUARD = 64
PATTERN = 0xA5


class Guarded:
    """Device memory with a pattern on both sides; `shift` moves it off its alignment."""

    def __init__(self, device: Device, content: bytes, shift: int) -> None:
        self._device = device
        self._inside = slice(GUARD + shift, GUARD + shift + len(content))
        self._image = np.full(self._inside.stop + GUARD, PATTERN, np.uint8)
        self._image[self._inside] = np.frombuffer(content, np.uint8)
        self._buffer = upload(device, self._image)
        self.address = self._buffer.address + self._inside.start

    def content(self) -> bytes:
        left = np.empty_like(self._image)
        self._device.read(self._buffer.address, left)
        content = left[self._inside].tobytes()
        left[self._inside] = PATTERN
        assert (left == PATTERN).all(), "written outside of an operand"
        return content


def pack(row: Row, operand: Operand) -> bytes:
    """A weight in the layout of the row."""
    assert operand.before is not None
    assert operand.packing is not None
    backend = cuda_backend()
    out = np.full(backend.packed_bytes(row, operand.packing), PATTERN, np.uint8)
    backend.pack(row, operand.packing, np.frombuffer(operand.before, np.uint8), out)
    return out.tobytes()


def run(row: Row, recorded: RecordedCall, device: Device, shift: int, way: int = 0) -> tuple[list[Launch], list[bytes]]:
    """The launches of a call, and what they left in its operands that are written. `way`: a number, which stands for
    one of the ways that there are."""
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
    scratch = scratch_memory(family, Call(row, recorded.params, ()), device)
    ways = family.ways(Call(row, recorded.params, addresses, scratch.address + SCRATCH_AT), device)
    launches = ways[way % len(ways)]
    for launch in launches:
        device.launch(launch)
    counters = np.empty(COUNTERS, np.int32)
    device.read(scratch.address, counters)
    assert not counters.any(), "counters are left behind"
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
