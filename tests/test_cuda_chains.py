"""Chains of elementwise functions as one generated kernel: every function with the CPU's bits, and without spills."""

from __future__ import annotations

import pytest

from rushlight.runtime.cuda.compile import ARCHITECTURES, nvrtc, resources
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.errors import DeviceError
from tests.hand_chains import every_row, hand_chains
from tests.replay.device import same_bits

HAND_MADE = hand_chains()
SHAPES = [((3, 7, 16), 0), ((2, 9, 16), 8), ((2, 5, 33), 0), ((3, 2, 8), 8), ((4, 0, 3), 0), ((1, 1, 1), 8)]
"""And how far operands lie off their alignment."""
REGISTERS = 128
"""Half of what 256 threads may have if two blocks are to share a multiprocessor."""
WITH_STACK = ("sin", "cos")
"""Functions that index an array by what they compute: bits of 2/pi."""


def test_every_function_is_in_a_chain() -> None:
    made = [(row, params) for own in HAND_MADE for row, _, params in own.steps]
    assert [(row.symbol, params) for row, params in every_row() if (row, params) not in made] == []


@pytest.mark.parametrize("index", range(len(HAND_MADE)))
def test_same_bits_as_the_steps_one_by_one_on_the_cpu(index: int) -> None:
    try:
        compiler()
    except DeviceError as error:
        pytest.skip(str(error))
    own = HAND_MADE[index]
    for seed, (shape, shift) in enumerate(SHAPES):
        arrays = own.arrays(shape)
        got = own.together(arrays, shape, EmulatedDevice(seed=seed, multiprocessors=1), shift)
        expected = own.apart(arrays, shape)
        for result, left, right in zip(own.results, got, expected, strict=True):
            assert same_bits(left, right), (own.steps[result], shape, shift)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_chains_compile_without_spills(arch: str) -> None:
    try:
        compiler = nvrtc()
    except DeviceError as error:
        pytest.skip(str(error))
    for own in HAND_MADE:
        used = resources(compiler.compile(own.row().kernel, arch)[1])
        names = [row.symbol for row, _, _ in own.steps]
        assert used.registers <= REGISTERS, names
        assert used.spills == 0, names
        assert used.stack == 0 or any(row.op in WITH_STACK for row, _, _ in own.steps), names
