"""Float products of GPUs in TF32 on the emulated device, beside float64 products of the rounded operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import rushlight as rl
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.cuda import products
from rushlight.runtime.cuda.backend import cuda_backend
from rushlight.runtime.cuda.device import Device, Launch, download, upload
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import SCRATCH_AT, Call, Tf32Row, scratch_memory
from rushlight.runtime.cuda.packed import round_to_tf32
from rushlight.runtime.cuda.tiles import HOPPER_TILES, TILES, HopperTile, Tile
from rushlight.runtime.errors import DeviceError, RushlightError
from rushlight.runtime.explain import explain
from rushlight.runtime.ir import Half, constant
from rushlight.runtime.ir.lazy import halve
from rushlight.runtime.ops import Array
from tests.gemm_calls import conv_params, matrix_params
from tests.test_cuda_kernels import SCHEDULES, FaultyDevice

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

LARGE, MEDIUM, SMALL, FLAT = TILES
WIDE, MIDDLE, NARROW = HOPPER_TILES


def noise(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def launches(
    device: Device, params: dict[str, Any], operands: Sequence[Array | None], tile: Tile | HopperTile | None
) -> tuple[list[Launch], list[Any]]:
    """Of gemm on src, weight, bias, residual and out; and the memory, out last but one."""
    src, weight, bias, residual, out = operands
    assert weight is not None
    stored = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16", np.dtype(np.uint16): "bf16"}[weight.dtype]
    backend = cuda_backend(tf32=True)
    row = backend.find("gemm", "gemm", f"f32{stored}f32")
    assert isinstance(row, Tf32Row)
    raw = pack_params("gemm", **params)
    packed = np.empty(backend.packed_bytes(row, raw), np.uint8)
    backend.pack(row, raw, weight, packed)
    memory = [None if array is None else upload(device, array) for array in (src, packed, bias, None, residual, out)]
    addresses = [buffer.address if buffer else 0 for buffer in memory]
    scratch = scratch_memory(families()["gemm"], Call(row, raw, ()), device)
    call = Call(row, raw, addresses, scratch.address + SCRATCH_AT)
    return products.launches(call, device, tile), [*memory, scratch]


def on_device(
    device: Device,
    params: dict[str, Any],
    operands: Sequence[Array | None],
    tile: Tile | HopperTile | None = None,
) -> Array:
    """What gemm makes of src, weight, bias, residual and what the result held before."""
    made, memory = launches(device, params, operands, tile)
    for launch in made:
        device.launch(launch)
    out = operands[-1]
    assert out is not None
    return download(device, memory[-2], out.shape, out.dtype)


def check(got: Array, x: Array, weight: Array, *added: Array, lost: float = 1) -> None:
    """`got` is x @ weight.T + the sum of `added`; x and weight as [m, k] and [n, k]. Operands are rounded to TF32, sums
    to float32: for every product at most once, `lost` times half a unit in the last place."""
    left, right = (round_to_tf32(operand).astype(np.float64) for operand in (x, weight))
    expected = left @ right.T + sum(added)
    bound = abs(left) @ abs(right).T + sum(abs(array) for array in added) + 1e-30
    assert (abs(got - expected) / bound).max(initial=0) < (x.shape[-1] + 2) * lost * 2.0**-24


@pytest.mark.parametrize(
    ("tile", "m", "n", "k"),
    [
        (LARGE, 131, 260, 52),
        (MEDIUM, 129, 144, 20),
        (MEDIUM, 130, 130, 6),
        (SMALL, 65, 63, 37),
        (SMALL, 3, 200, 4),
        (FLAT, 17, 70, 77),
        (FLAT, 1, 1, 1),
        (WIDE, 130, 272, 36),
        (MIDDLE, 130, 144, 228),
        (NARROW, 300, 72, 164),
    ],
)
def test_products_are_those_of_rounded_operands(tile: Tile | HopperTile, m: int, n: int, k: int) -> None:
    x, weight, bias, residual, out = noise(m, k), noise(n, k), noise(n), noise(m, n), np.zeros((m, n), np.float32)
    got = []
    for seed, eager in SCHEDULES:
        device = EmulatedDevice(seed, eager, multiprocessors=1)
        got.append(on_device(device, matrix_params(m, n, k), [x, weight, bias, residual, out], tile))
        np.testing.assert_array_equal(got[0], got[-1], err_msg=f"{seed=}, {eager=}")
    check(got[0], x, weight, bias[None], residual)
    plain, positive = (
        on_device(EmulatedDevice(), matrix_params(m, n, k, activation=kind), [x, weight, None, None, out], tile)
        for kind in (0, 1)
    )
    check(plain, x, weight)
    np.testing.assert_array_equal(positive, np.maximum(plain, 0))


def patches(x: Array, shape: tuple[Any, ...]) -> Array:
    """What a row of a convolution's result multiplies with its filters, row by row."""
    kernel, stride, padding, dilation = shape[5:9]
    image = torch.from_numpy(x).permute(0, 3, 1, 2)
    taps = torch.nn.functional.unfold(image, kernel, dilation, padding, stride).permute(0, 2, 1)
    return np.asarray(taps.reshape(-1, taps.shape[-1]).numpy())


SHAPES = [
    # images, height, width, channels, filters, kernel, stride, padding, dilation, groups
    (2, 9, 11, 16, 40, (3, 3), (1, 1), (1, 1), (1, 1), 1),
    (1, 15, 8, 12, 24, (1, 1), (2, 2), (0, 0), (1, 1), 1),
    (1, 12, 7, 20, 20, (3, 2), (1, 1), (2, 1), (2, 1), 1),
    (2, 6, 5, 3, 17, (5, 3), (2, 1), (2, 2), (1, 1), 1),
    (1, 7, 9, 6, 10, (3, 3), (1, 1), (1, 0), (1, 1), 1),
]


@pytest.mark.parametrize(
    ("tile", "shape"),
    [
        (tile, shape)
        for tile in (MEDIUM, SMALL, FLAT, NARROW)
        for shape in SHAPES
        if tile != NARROW or shape[3] % 4 == 0
    ],
    ids=str,
)
def test_convolutions(tile: Tile | HopperTile, shape: tuple[Any, ...]) -> None:
    images, height, width, channels, filters, kernel = shape[:6]
    x, weight, bias = noise(images, height, width, channels), noise(filters, channels, *kernel), noise(filters)
    params = conv_params(shape)
    rows = images * params["oh"] * params["ow"]
    got = on_device(EmulatedDevice(3, 1), params, [x, weight, bias, None, np.zeros((rows, filters), np.float32)], tile)
    check(got, patches(x, shape), weight.reshape(filters, -1), bias[None])


@pytest.mark.parametrize("channels", [8, 16, 48])
@pytest.mark.parametrize("tile", HOPPER_TILES, ids=str)
def test_hopper_convolves_in_chunks(tile: HopperTile, channels: int) -> None:
    x, weight = noise(3, 8, 9, channels), noise(80, channels, 3, 3)
    params = conv_params((3, 8, 9, channels, 80, (3, 3), (1, 1), (1, 1), (1, 1), 1))
    out = np.zeros((3 * 8 * 9, 80), np.float32)
    expected = on_device(EmulatedDevice(), params, [x, weight, None, None, out], SMALL)
    got = []
    for seed, eager in SCHEDULES:
        device = EmulatedDevice(seed, eager, multiprocessors=1, is_hopper=True)
        got.append(on_device(device, params, [x, weight, None, None, out], tile))
        np.testing.assert_array_equal(got[0], got[-1], err_msg=f"{seed=}, {eager=}")
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("splits", [2, 5])
def test_split_depth_adds_in_one_order(splits: int) -> None:
    m, n, k = 5, 40, 32 * 4 * splits
    x, weight, bias, out = noise(m, k), noise(n, k), noise(n), np.zeros((m, n), np.float32)
    got = []
    for seed, eager in SCHEDULES:
        device = EmulatedDevice(seed, eager, multiprocessors=splits)
        made, memory = launches(device, matrix_params(m, n, k), [x, weight, bias, None, out], None)
        assert [launch.grid[0] for launch in made] == [splits]
        for _ in range(2):  # the counters are zero again
            device.launch(made[0])
            got.append(download(device, memory[-2], out.shape, np.float32))
    for other in got[1:]:
        np.testing.assert_array_equal(got[0], other)
    check(got[0], x, weight, bias[None])


@pytest.mark.parametrize("format", ["float16", "bfloat16"])
def test_weights_of_16_bits_are_taken_as_they_are(format: str) -> None:
    m, n, k = 33, 24, 40
    x, half, out = noise(m, k), halve(noise(n, k) * 1e-6, format), np.zeros((m, n), np.float32)
    weight = half.read()
    np.testing.assert_array_equal(round_to_tf32(weight), weight)
    check(on_device(EmulatedDevice(), matrix_params(m, n, k), [x, half.bits, None, None, out]), x, weight)


def test_rounding_to_tf32() -> None:
    bits = np.array([0x3F800FFF, 0x3F801000, 0x3F803000, 0xBF801000, 0x7F7FFFFF, 0x7F800000, 0xFFFFFFFF], np.uint32)
    wanted = np.array([1, 1 + 2**-10, 1 + 2**-9, -1 - 2**-10, np.inf, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(round_to_tf32(bits.view(np.float32)), wanted)


@pytest.mark.parametrize("tile", [SMALL, FLAT, NARROW], ids=str)
def test_what_is_not_finite_stays_so(tile: Tile | HopperTile) -> None:
    x, weight, out = noise(6, 16), abs(noise(5, 16)), np.zeros((6, 5), np.float32)
    x[0, 3], x[1, 3], x[2, 3], x[3, 3] = np.nan, np.inf, -np.inf, 3.4028235e38
    x.view(np.uint32)[4, 2] = 0x7FFFFFFF
    got = on_device(EmulatedDevice(), matrix_params(6, 5, 16), [x, weight, None, None, out], tile)
    assert np.isnan(got[[0, 4]]).all()
    assert (got[1] == np.inf).all()
    assert (got[2] == -np.inf).all()
    assert (got[3] == np.inf).all()
    assert np.isfinite(got[5]).all()


@pytest.mark.parametrize(("m", "n", "k"), [(0, 4, 8), (4, 8, 0)])
def test_products_of_nothing(m: int, n: int, k: int) -> None:
    x, weight, bias, out = noise(m, k), noise(n, k), noise(n), np.full((m, n), np.nan, np.float32)
    got = on_device(EmulatedDevice(), matrix_params(m, n, k), [x, weight, bias, None, out])
    np.testing.assert_array_equal(got, np.broadcast_to(bias, (m, n)))


@pytest.mark.parametrize(
    ("tile", "right", "wrong"),
    [
        (SMALL, "Element::prepare(a[step % 2][i]);", ""),
        (SMALL, "wait_copies<STAGES - 2>();\n        sync_threads();", "sync_threads();"),
        (FLAT, "if constexpr (!kIsExact) clear(sums);", ""),
        (FLAT, "constexpr bool kIsExact = __is_same(Sum, int);", "constexpr bool kIsExact = true;"),
        (NARROW, "const int channel = chunk.channel / ElementBytes;", "const int channel = chunk.channel;"),
        (NARROW, "wait_products<1>();", "wait_products<2>();"),
        (NARROW, "if (k > 0 && thread % 32 == 0) arrive(&empty[previous]);", ""),
    ],
    ids=["truncated", "no-wait", "adds-itself-twice", "any-order", "bytes", "early-release", "no-release"],
)
def test_mistakes_are_seen(tile: Tile | HopperTile, right: str, wrong: str) -> None:
    m, n, k = 8, 40, 1024
    x, weight, out = noise(m, k), noise(n, k), np.zeros((m, n), np.float32)
    sized = {"multiprocessors": 4 if tile is FLAT else 1}
    expected = on_device(EmulatedDevice(**sized), matrix_params(m, n, k), [x, weight, None, None, out], tile)
    check(expected, x, weight)

    def is_seen(seed: int, eager: int) -> bool:
        device = FaultyDevice(seed, eager, **sized, mistake=(right, wrong))
        try:
            got = on_device(device, matrix_params(m, n, k), [x, weight, None, None, out], tile)
        except DeviceError:
            return True
        return not np.array_equal(got, expected)

    assert any(is_seen(*schedule) for schedule in SCHEDULES)


@pytest.fixture
def program() -> rl.Program:
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N", 8, 9, 16))
    h = builder.conv2d(x, noise(24, 16, 3, 3), noise(24), padding=(1, 1, 1, 1), layout="NHWC", activation="relu")
    h = builder.conv2d(h, noise(12, 6, 1, 1), groups=4, layout="NHWC")
    h = builder.reshape(h, shape=(h.shape[0], 72, 12))
    h = builder.linear(h, constant(Half(noise(12, 12).astype(np.float16)), "w"), noise(12), activation="gelu")
    builder.output("y", builder.matmul(h, builder.permute(h, dims=(0, 2, 1))))
    return builder.build()


def test_whole_programs(program: rl.Program) -> None:
    x = noise(2, 8, 9, 16)
    exact = rl.load(program)(x)
    model = rl.load(program, device="cuda-emulated", precision="tf32")
    got = model(x)
    assert not np.array_equal(got, exact)
    assert abs(got - exact).max() < 4e-3 * abs(exact).max()
    steps = explain(model, {"x": x}).steps
    assert [step.kernel for step in steps if "gemm" in step.kernel] == [
        "gemm_f32f32f32_cuda_tf32", "gemm_f32f32f32_cuda_tf32", "gemm_f32f16f32_cuda_tf32", "gemm_f32f32f32_cuda",
    ]  # fmt: skip
    assert "rounded to TF32" in steps[0].reason
    np.testing.assert_allclose(rl.load(program, device="cuda-emulated")(x), exact, rtol=1e-5, atol=1e-4)
    (halves,) = (step for step in steps if "f32f16f32" in step.kernel)
    assert "16 bits, widened when they are packed" in halves.reason


def test_cpus_have_one_precision(program: rl.Program) -> None:
    with pytest.raises(DeviceError, match="tf32"):
        rl.load(program, precision="tf32")
    with pytest.raises(RushlightError, match="float32, tf32"):
        rl.load(program, precision="bf16")


def test_a_map_of_floats_has_whole_floats() -> None:
    from tests.test_cuda_hopper import MATRIX, PIXELS

    for layout, name in ((MATRIX, "columns"), (PIXELS, "channels")):
        floats = replace(layout, element=4)
        assert floats.is_encodable
        assert not replace(floats, **{name: getattr(layout, name) - 2}).is_encodable


LENGTHS = [(17, 5, 24, 20), (3, 130, 8, 72), (40, 66, 33, 7), (33, 40, 64, 64), (1, 1, 1, 1)]
"""Queries, keys, and elements of a key and of a value."""


def attention(device: Device, q: Array, k: Array, v: Array) -> Array:
    """Of two heads, [2, rows, elements] each."""
    heads, lq, d = q.shape
    lk, dv = v.shape[1:]
    params = {
        "images": 1, "windows": 1, "q_heads": heads, "kv_heads": heads, "lq": lq, "lk": lk, "d": d, "dv": dv,
        "q_stride": (0, lq * d, d), "k_stride": (0, lk * d, d), "v_stride": (0, lk * dv, dv),
        "out_stride": (0, lq * dv, dv), "bias_stride": (0, 0), "mask_stride": (0, 0, 0, 0, 0), "mask_is_bool": 0,
        "is_causal": 0, "scale": d**-0.5,
    }  # fmt: skip
    family = families()["attention"]
    raw, (row,) = pack_params("attention", **params), family.tf32_rows
    memory = [upload(device, array) for array in (q, k, v)]
    out, scratch = (
        upload(device, np.full((heads, lq, dv), np.nan, np.float32)),
        scratch_memory(family, Call(row, raw, ()), device),
    )
    addresses = [*(buffer.address for buffer in memory), 0, 0, 0, out.address]
    for launch in family.launches(Call(row, raw, addresses, scratch.address + SCRATCH_AT), device):
        device.launch(launch)
    return download(device, out, (heads, lq, dv), np.float32)


def attended(q: Array, k: Array, v: Array) -> Array:
    """What rounded operands make, in float64."""
    left, right, values = (round_to_tf32(array).astype(np.float64) for array in (q, k, v))
    scores = left @ right.transpose(0, 2, 1) * np.float32(q.shape[-1] ** -0.5)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    rounded = round_to_tf32(weights.astype(np.float32)).astype(np.float64)
    return np.asarray(rounded @ values / weights.sum(-1, keepdims=True))


@pytest.mark.parametrize(("lq", "lk", "d", "dv"), LENGTHS)
def test_attention_is_that_of_rounded_operands(lq: int, lk: int, d: int, dv: int) -> None:
    q, k, v = noise(2, lq, d), noise(2, lk, d), noise(2, lk, dv)
    got = [attention(EmulatedDevice(*schedule, multiprocessors=1), q, k, v) for schedule in SCHEDULES]
    for other in got[1:]:
        np.testing.assert_array_equal(got[0], other)
    lost = abs(got[0] - attended(q, k, v))
    assert np.median(lost) < 2e-6
    assert lost.max() < 2**-11 * abs(v).max()  # a weight halfway between two numbers of TF32 may go either way


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("return round_to_tf32(static_cast<uint32_t>(float_bits(*from)));", "return float_bits(*from);"),
        ("if (TF32 && t >= count) rights[t * kRightPitch + column] = 0.0f;", ""),
        ("wait_copies<0>();\n    sync_threads();", "sync_threads();"),
    ],
    ids=["truncated", "stale", "no-wait"],
)
def test_mistakes_in_attention_are_seen(right: str, wrong: str) -> None:
    q, k, v = abs(noise(2, 33, 40)), noise(2, 70, 40), noise(2, 70, 40)
    k[:, 2, 20] = -np.inf  # a key that no query sees
    expected = attention(EmulatedDevice(), q, k, v)
    assert np.isfinite(expected).all()

    def is_seen(seed: int, eager: int) -> bool:
        try:
            return not np.array_equal(attention(FaultyDevice(seed, eager, mistake=(right, wrong)), q, k, v), expected)
        except DeviceError:
            return True

    assert any(is_seen(*schedule) for schedule in SCHEDULES)
