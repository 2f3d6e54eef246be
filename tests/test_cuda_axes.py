"""Launches over strided elements: what each thread of them addresses, where sizes or alignment ask for care."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.cuda.axes import (
    MAX_OPERANDS,
    MAX_UNITS,
    Axis,
    Part,
    Strided,
    collapsed,
    divider,
    map_widths,
    parts,
    vector_of,
)
from rushlight.runtime.cuda.device import Launch, download, upload
from rushlight.runtime.cuda.emulated import EmulatedDevice, HostBuffer, compiler
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import Call
from rushlight.runtime.errors import DeviceError
from rushlight.runtime.ops import Array


@pytest.mark.parametrize("divisor", [1, 2, 3, 5, 7, 641, 65535, 65537, 6700417, 715827883, MAX_UNITS - 1, MAX_UNITS])
def test_division_by_multiplying(divisor: int) -> None:
    multiplier, shift = divider(divisor)
    assert multiplier < 1 << 32
    assert shift < 64
    near = [n * divisor + d for n in (0, 1, 2, (1 << 31) // divisor - 1, (1 << 31) // divisor) for d in (-1, 0, 1)]
    rng = np.random.default_rng(divisor)
    for n in [*near, (1 << 31) - 1, *rng.integers(0, 1 << 31, 2000).tolist()]:
        if 0 <= n < 1 << 31:
            assert n * multiplier >> shift == n // divisor, n


def places(fields: dict[str, Any], unit: int) -> list[int]:
    """Of a unit along each axis, innermost first: what for_each_axis of axes.cuh computes."""
    found = []
    for axis in range(fields["rank"] - 1):
        rest = unit * fields["multiplier"][axis] >> fields["shift"][axis]
        found.append(unit - rest * fields["size"][axis])
        unit = rest
    return [*found, unit]


def elements_of(part: Part) -> Iterator[tuple[int, ...]]:
    """Where the operands of every element lie, unit after unit."""
    fields = part.fields
    for unit in range(fields["units"]):
        at = list(part.offsets)
        for axis, (place, own) in enumerate(zip(places(fields, unit), part.in_units, strict=True)):
            for k in range(len(at)):
                start = own.pad[0] if own.pad and k == 0 else 0
                at[k] += (place - start) * fields["strides"][axis * MAX_OPERANDS + k]
        for i in range(min(part.vector, fields["elements"] - unit * part.vector)):
            yield tuple(at[k] + i * (fields["varying"] >> k & 1) for k in range(len(at)))


def expected_elements(axes: Sequence[Axis]) -> Iterator[tuple[int, ...]]:
    for index in itertools.product(*(range(axis.size) for axis in axes)):
        yield tuple(
            sum(
                (i - (axis.pad[0] if axis.pad and k == 0 else 0)) * axis.strides[k]
                for i, axis in zip(index, axes, strict=True)
            )
            for k in range(len(axes[0].strides))
        )


@pytest.mark.parametrize("limit", [1, 3, 7, 50, MAX_UNITS])
@pytest.mark.parametrize(
    ("axes", "vector"),
    [
        ([Axis(13, (1, 0, 1))], 4),
        ([Axis(3, (8, 0, 8)), Axis(8, (1, 1, 1))], 4),
        ([Axis(3, (8, 1, 8)), Axis(8, (1, 0, 1))], 8),
        ([Axis(2, (0, 12, 12)), Axis(3, (4, 4, 4)), Axis(4, (1, 1, 1))], 1),
        ([Axis(1, (5, 5)), Axis(4, (-3, 7)), Axis(1, (0, 0)), Axis(5, (100, 1))], 1),
        ([Axis(5, (8, 40), (2, 2)), Axis(3, (64, 8), (1, 9)), Axis(8, (1, 1))], 2),
        ([Axis(1, (4, 4), (3, 2)), Axis(9, (1, 1))], 1),
        ([Axis(1, (1, 1)), Axis(1, (7, 3))], 4),
        ([Axis(3, (4, 4)), Axis(1, (1, 1), (-1, 3))], 1),
    ],
)
def test_parts_cover_all_elements_in_order(axes: list[Axis], vector: int, limit: int) -> None:
    own = list(parts(collapsed(axes), vector, limit))
    assert all(0 < part.units <= limit for part in own)
    assert [at for part in own for at in elements_of(part)] == list(expected_elements(axes))


def test_nothing_is_launched_for_no_elements() -> None:
    assert list(parts(collapsed([Axis(3, (0, 5)), Axis(0, (1, 1)), Axis(5, (1, 1))]), 1)) == []


def test_vectors_need_alignment_of_every_operand() -> None:
    axes = [Axis(6, (16, 1, 16)), Axis(16, (1, 0, 1))]

    def width(axes: list[Axis], *addresses: int) -> int:
        return vector_of(axes, [Strided("", at, 1, k) for k, at in enumerate(addresses)], map_widths(16))

    assert width(axes, 256, 3, 512) == 16
    assert width(axes, 264, 3, 512) == 8
    assert width(axes, 260, 3, 512) == 4
    assert width(axes, 256, 3, 513) == 1
    assert width([Axis(6, (20, 1, 16)), Axis(16, (1, 0, 1))], 256, 3, 512) == 4
    assert width([Axis(6, (16, 1, 16)), Axis(16, (1, 2, 1))], 256, 256, 512) == 1
    assert width([Axis(21, (1, 0, 1))], 256, 3, 512) == 16


def binary_call(op: str, types: str, operands: Sequence[int], **fields: Any) -> Call:
    family = families()["binary"]
    row = next(row for row in family.rows if (row.op, row.types) == (op, types))
    return Call(row, pack_params("binary", **fields), operands)


@pytest.mark.parametrize("rows", [1, 5])
def test_results_of_more_than_2_to_the_32_elements(rows: int) -> None:
    """Of launches that nobody could run here: 5 rows of 2**33 + 5 elements, scaled row by row, and one such row."""
    n = (1 << 33) + 5
    call = binary_call(
        "mul", "f32f32f32", [1 << 20, 1 << 16, 1 << 50],
        rank=2, shape=[rows, n], a_strides=[n, 1], b_strides=[1, 0],
    )  # fmt: skip
    launches = families()["binary"].launches(call, EmulatedDevice())
    covered = 0
    for launch in launches:
        axes = launch.params["axes"]
        assert axes["units"] <= MAX_UNITS
        row, start = divmod(covered, n)
        assert int(launch.params["out"]) == (1 << 50) + 4 * covered
        assert int(launch.params["a"]) == (1 << 20) + 4 * (row * n + start)
        assert int(launch.params["b"]) == (1 << 16) + 4 * row
        assert axes["vector"] == (4 if rows == 1 else 1)  # the second row begins off its alignment
        covered += int(axes["elements"])
        assert covered <= (row + 1) * n
    assert covered == rows * n


@pytest.fixture
def device(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> EmulatedDevice:
    monkeypatch.setenv("RUSHLIGHT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "axes"))
    try:
        compiler()
    except DeviceError as error:
        pytest.skip(str(error))
    return EmulatedDevice(seed=3, multiprocessors=1)  # so that blocks go on to further work


def run(call: Call, device: EmulatedDevice) -> list[Launch]:
    launches = families()[call.row.family].launches(call, device)
    for launch in launches:
        device.launch(launch)
    return launches


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("shape", [(2, 65, 130), (3, 8, 33), (1, 200, 64), (9, 70, 70)])
def test_transposes_go_through_tiles(shape: tuple[int, ...], dtype: type, device: EmulatedDevice) -> None:
    images, rows, columns = shape
    x: Array = np.random.default_rng(0).integers(0, 256, shape).astype(dtype) * dtype(37)
    src, dst = upload(device, x), device.allocate(x.nbytes)
    row = next(row for row in families()["move"].rows if row.types == f"x{8 * x.itemsize}" and row.op == "copy")
    params = pack_params(
        "move", rank=3, dims=[images, columns, rows], src_stride=[rows * columns, 1, columns],
        dst_stride=[rows * columns, rows, 1], src_dims=(), begin=(), value=0,
    )  # fmt: skip
    (launch,) = run(Call(row, params, [src.address, dst.address]), device)
    assert launch.kernel.name == "move_transpose"
    np.testing.assert_array_equal(download(device, dst, (images, columns, rows), dtype), x.transpose(0, 2, 1))


def test_float_remainders_are_exact_for_any_bits(device: EmulatedDevice) -> None:
    rng = np.random.default_rng(1)
    a = rng.integers(0, 1 << 32, 20000).astype(np.uint32).view(np.float32)
    b = rng.integers(0, 1 << 32, 20000).astype(np.uint32).view(np.float32)
    least = np.float32(np.finfo(np.float32).tiny)
    a[:300], b[300:600] = rng.uniform(-3, 3, 300) * least, rng.uniform(-3, 3, 300) * least
    b[:150] = rng.uniform(-3, 3, 150) * least
    a[600:603], b[600:603] = [0.0, -0.0, np.inf], [np.inf, -np.inf, 2.0]
    with np.errstate(invalid="ignore"):
        expected = np.where(np.abs(b) < least, np.float32(np.nan), np.fmod(a, b))  # denormal divisors are zeros
    buffers: list[HostBuffer] = [upload(device, a), upload(device, b), device.allocate(a.nbytes)]
    addresses = [buffer.address for buffer in buffers]
    strides = {"rank": 1, "shape": [a.size], "a_strides": [1], "b_strides": [1]}
    run(binary_call("fmod", "f32f32f32", addresses, **strides), device)
    got = download(device, buffers[2], a.shape, np.float32)
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(got), nan)
    np.testing.assert_array_equal(got[~nan].view(np.uint32), expected[~nan].view(np.uint32))


def test_scales_of_rows_that_are_one_vector(device: EmulatedDevice) -> None:
    """Units have no axis of channels then, but channels have scales of their own."""
    rng = np.random.default_rng(2)
    x, zero = rng.integers(0, 256, (6, 4)).astype(np.uint8), rng.integers(0, 256, 4).astype(np.uint8)
    scale = rng.uniform(1, 2, 4).astype(np.float32)
    buffers = [upload(device, x), upload(device, scale), upload(device, zero), device.allocate(4 * x.size)]
    row = next(row for row in families()["quantize"].rows if (row.op, row.types) == ("dequantize", "u8f32u8f32"))
    params = pack_params("quantize", rank=2, shape=[6, 4], scale_strides=[0, 1])
    run(Call(row, params, [buffer.address for buffer in buffers]), device)
    expected = (x.astype(np.float32) - zero.astype(np.float32)) * scale
    np.testing.assert_array_equal(download(device, buffers[3], x.shape, np.float32), expected)
