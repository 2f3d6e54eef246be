"""topk on the emulated device, on lines of many tiles, with the bits that the CPU gives; and mistakes that are seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.cuda.device import Launch, upload
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.families.topk import FAMILY
from rushlight.runtime.cuda.family import Call, Row
from rushlight.runtime.errors import DeviceError, UnsupportedError
from tests.kernels.harness import available_rows
from tests.kernels.test_topk import DTYPES, KINDS, sample
from tests.replay.calls import Operand, RecordedCall
from tests.replay.device import run
from tests.test_cuda_families import SCHEDULES
from tests.test_cuda_kernels import FaultyDevice

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

VIEWS = [
    (1, 1024, 1, 1024), (1, 1025, 1, 1025), (2, 3000, 1, 10), (1, 5000, 1, 5000), (1, 2100, 3, 1500), (1, 4097, 1, 1),
    (70, 60, 1, 3), (1, 9000, 1, 2000),
]  # fmt: skip
"""outer, n, inner, k: one tile and several, an odd number of them, short last ones; more blocks than the device has
at once."""


def recorded(types: str, view: tuple[int, int, int, int], kind: str, descending: int) -> RecordedCall:
    """A call that the CPU has made."""
    outer, n, inner, k = view
    row = next(row for row in available_rows("topk") if row.types == types)
    x = sample(DTYPES[types.removesuffix("s64")], view, kind)
    params = pack_params("topk", outer=outer, n=n, inner=inner, k=k, descending=descending)
    operands = [x, np.zeros((outer, k, inner), x.dtype), np.zeros((outer, k, inner), np.int64)]
    flat = [array.reshape(-1).view(np.uint8) for array in operands]
    _core.run_kernel(row.symbol, params, flat, 1, 1)
    results = [Operand(bytes(array.size), array.tobytes()) for array in flat[1:]]
    return RecordedCall("topk", "topk", types, params, (Operand(flat[0].tobytes()), *results))


def is_right(call: RecordedCall, device: EmulatedDevice, shift: int = 0) -> tuple[bool, list[Launch]]:
    launches, results = run(Row("topk", "topk", call.types), call, device, shift)
    return results == [operand.after for operand in call.operands[1:]], launches


@pytest.mark.parametrize("types", [f"{dtype}s64" for dtype in DTYPES])
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_same_bits_as_on_the_cpu(types: str, view: tuple[int, int, int, int]) -> None:
    number = VIEWS.index(view)
    for i, kind in enumerate(KINDS[number % 2 :: 2]):
        seed, eager = SCHEDULES[(number + i) % len(SCHEDULES)]
        device = EmulatedDevice(seed, eager, multiprocessors=1)
        right, launches = is_right(recorded(types, view, kind, (number + i) % 2), device, 8 * (i % 2))
        assert right, (kind, seed, eager)
        assert len(launches) == 1 + (-(-view[1] // 1024) - 1).bit_length()
        assert {launch.kernel for launch in launches} <= set(FAMILY.kernels(Row("topk", "topk", types)))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("sync_threads();\n      } else {", "sync_warp();\n      } else {"),
        ("sync_warp();\n      }\n", "}\n"),
        ("sync_threads();\n    sort(", "sort("),
    ],
    ids=["no-barrier-of-blocks", "no-barrier-of-warps", "no-barrier-before"],
)
def test_mistakes_in_synchronization_are_seen(right: str, wrong: str) -> None:
    """The entries that tiles leave for the merge: of a mistake's, nothing is looked up in x."""
    call = recorded("s32s64", (9, 1500, 1, 1500), "any", 1)

    def entries(device: EmulatedDevice) -> bytes:
        x = upload(device, np.frombuffer(call.operands[0].before or b"", np.uint8))
        row = Row("topk", "topk", call.types)
        scratch = device.allocate(FAMILY.scratch_bytes(Call(row, call.params, ()), device))
        first = FAMILY.launches(Call(row, call.params, (x.address, 0, 0), scratch.address), device)[0]
        assert first.kernel.name == "topk_tiles"
        device.launch(first)
        return scratch.bytes.tobytes()

    def is_seen(seed: int, eager: int) -> bool:
        faulty = FaultyDevice(seed, eager, multiprocessors=1, mistake=(right, wrong))
        return entries(faulty) != entries(EmulatedDevice(seed, eager, multiprocessors=1))

    assert any(is_seen(seed, eager) for seed, eager in SCHEDULES)


@pytest.mark.parametrize("n", [2**31, 2**40])
def test_lines_beyond_the_kernels_bits_are_refused(n: int) -> None:
    params: Any = pack_params("topk", outer=1, n=n, inner=1, k=4, descending=0)
    with pytest.raises(UnsupportedError, match="elements of a line"):
        FAMILY.launches(Call(Row("topk", "topk", "f32s64"), params, (0, 0, 0)), EmulatedDevice())
