"""Chains of elementwise functions as one generated kernel: every function with the CPU's bits, and without spills."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rushlight.runtime.cuda.compile import ARCHITECTURES, nvrtc, resources
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.families import families
from rushlight.runtime.errors import DeviceError
from tests.hand_chains import COLUMNS, DENSE, HandChain, every_row, hand_chains
from tests.replay.device import same_bits
from tests.test_cuda_compile import check_code

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


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_floats_are_read_and_written_16_bytes_at_a_time(arch: str, tmp_path: Path) -> None:
    try:
        compiler = nvrtc()
    except DeviceError as error:
        pytest.skip(str(error))
    rows = {(row.op, row.types): row for name in ("binary", "unary") for row in families()[name].rows}
    own = HandChain(np.random.default_rng(0))
    x, scale = own.source("f32", DENSE), own.source("f32", COLUMNS)
    product = own.step(rows["mul", "f32f32f32"], {"a": x, "b": scale}, {})
    gate = own.step(rows["sigmoid", "f32f32"], {"x": product}, {"alpha": 0.0, "beta": 0.0})
    own.results = [own.step(rows["mul", "f32f32f32"], {"a": gate, "b": x}, {})[1]]
    check_code(compiler, own.row().kernel, arch, 48, {"LDG.E.128", "STG.E.128"}, tmp_path / "cubin")
