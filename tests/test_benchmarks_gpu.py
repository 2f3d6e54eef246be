"""The figures of single layers on a GPU, as far as they can be made on the emulated device."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from benchmarks.gpu import Problem, report
from rushlight.runtime.cuda.device import Launch
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.errors import DeviceError

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

PROBLEMS = [Problem("product", (24, 32), (40, 32)), Problem("conv", (2, 6, 6, 8), (24, 8, 3, 3), 2)]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_every_tile_is_checked_and_timed(problem: Problem) -> None:
    device = EmulatedDevice(multiprocessors=1)
    lines, wrong = report(device, problem, ["int8", "TF32"], True, 1, False)
    assert wrong == []
    assert [line.split()[1] for line in lines].count("int8") > 3
    assert [line.split()[1] for line in lines].count("TF32") > 2
    assert all(line.startswith(problem.name) for line in lines)


@dataclass(frozen=True)
class IdleDevice(EmulatedDevice):
    def launch(self, launch: Launch) -> None:
        """Does nothing."""


@pytest.mark.parametrize("kind", ["int8", "TF32"])
def test_wrong_results_have_no_figures(kind: str) -> None:
    lines, wrong = report(IdleDevice(), PROBLEMS[0], [kind], False, 1, False)
    assert lines == []
    assert wrong == [f"{kind} product: the chosen tile gives a wrong result"]
