"""Recorded kernel calls: the file that record.py writes, made once for all tests of a run, and what is in it."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .record import ABSENT, PACKED, WRITTEN

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Operand:
    """What a call's operand held: `before` the call, None where it was absent; `after` it, None where it is only read.
    Of weights, `before` is what was packed and `packing` the parameters of that."""

    before: bytes | None
    after: bytes | None = None
    packing: bytes | None = None


@dataclass(frozen=True)
class RecordedCall:
    family: str
    op: str
    types: str
    params: bytes
    operands: tuple[Operand, ...]

    @property
    def size(self) -> int:
        """Bytes of all operands."""
        return sum(len(operand.before or b"") for operand in self.operands)


def recorded_calls(factory: pytest.TempPathFactory) -> Path:
    """Every kernel call of the kernels' tests, with what the CPU made of it. Workers of a parallel run share the file,
    whoever asks first makes it."""
    base = factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    file = folder / "kernel-calls"
    with (folder / "kernel-calls.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            part = file.with_suffix(".part")
            done = subprocess.run(
                [
                    sys.executable, "-m", "pytest", "-q", "-p", "tests.replay.record", "-k", "generic or not avx",
                    "tests/kernels", *sorted(ROOT.glob("tests/test_kernels_gemm*.py")),
                ],
                cwd=ROOT, env={**os.environ, "RUSHLIGHT_REPLAY_FILE": str(part)}, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-8000:]
            part.rename(file)
    return file


def read_calls(file: Path) -> Iterator[RecordedCall]:
    with file.open("rb") as stream:
        while header := stream.read(8):
            yield _parse(stream.read(*struct.unpack("<q", header)))


def _parse(body: bytes) -> RecordedCall:
    at = 0

    def number() -> int:
        nonlocal at
        at += 8
        return int(struct.unpack_from("<q", body, at - 8)[0])

    def part(size: int) -> bytes:
        nonlocal at
        at += size
        return body[at - size : at]

    family, op, types = (part(number()).decode() for _ in range(3))
    params = part(number())
    operands = []
    while at < len(body):
        kind = number()
        if kind == ABSENT:
            operands.append(Operand(None))
        elif kind == PACKED:
            packing = part(number())
            operands.append(Operand(part(number()), packing=packing))
        else:
            size = number()
            before = part(size)
            operands.append(Operand(before, part(size) if kind == WRITTEN else None))
    return RecordedCall(family, op, types, params, tuple(operands))
