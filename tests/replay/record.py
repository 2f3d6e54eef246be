"""A pytest plugin that writes every distinct kernel call of the tests that run, with its result, for replay.cc.

Of a call: family, op and types, parameters, operands (weights as they were before packing) and what was written.
`RUSHLIGHT_REPLAY_FILE` names the file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families, params_dtype

ABSENT, READ, PACKED, WRITTEN = range(4)
"""What an operand of a record is; PACKED holds parameters and weights for a row to pack."""


def digest(*parts: bytes) -> bytes:
    hasher = blake2b(digest_size=16)
    for part in parts:
        hasher.update(struct.pack("<q", len(part)))
        hasher.update(part)
    return hasher.digest()


def cannot_be_repeated(family: str, params: bytes, operands: Sequence[Any]) -> bool:
    """Whether operands lie in each other, or the kernel reads what lies before one."""
    arrays = [array for array in operands if array is not None]
    if any(np.may_share_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i]):
        return True
    return family == "move" and bool((np.frombuffer(params, params_dtype(family))["src_stride"] < 0).any())


class Recorder:
    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.rows = {row.symbol: (family, row) for family in families().values() for row in family.rows}
        self.weights: dict[bytes, bytes] = {}  # packed to the parameters and weights that it was made of
        self.seen: set[bytes] = set()

    def pack(self, symbol: str, params: bytes, src: Any, dst: Any = None) -> Any:
        packed = pack(symbol, params, src, dst)
        parts = bytes(params), src.tobytes()
        self.weights[digest(packed.tobytes())] = b"".join(struct.pack("<q", len(part)) + part for part in parts)
        return packed

    def run_kernel(self, symbol: str, params: bytes, operands: Sequence[Any], *how: Any, **named: Any) -> None:
        family, row = self.rows[symbol]
        before = [None if array is None else array.tobytes() for array in operands]
        run_kernel(symbol, params, operands, *how, **named)
        if cannot_be_repeated(family.name, params, operands):
            return
        parts = [name.encode() for name in (family.name, row.op, row.types)] + [bytes(params)]
        body = b"".join(struct.pack("<q", len(part)) + part for part in parts)
        for (name, is_written), array, data in zip(family.operands, operands, before, strict=True):
            if data is None:
                body += struct.pack("<q", ABSENT)
            elif is_written:
                body += struct.pack("<qq", WRITTEN, len(data)) + data + array.tobytes()
            elif family.packs and name.endswith("weight"):
                body += struct.pack("<q", PACKED) + self.weights[digest(data)]
            else:
                body += struct.pack("<qq", READ, len(data)) + data
        if (key := digest(body)) not in self.seen:
            self.seen.add(key)
            self.file.write(struct.pack("<q", len(body)) + body)


pack, run_kernel = _core.pack, _core.run_kernel


@pytest.fixture(scope="session", autouse=True)
def recorder() -> Any:
    with Path(os.environ["RUSHLIGHT_REPLAY_FILE"]).open("wb") as file, pytest.MonkeyPatch.context() as patch:
        made = Recorder(file)
        patch.setattr(_core, "pack", made.pack)
        patch.setattr(_core, "run_kernel", made.run_kernel)
        yield
