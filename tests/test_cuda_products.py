"""Float products of GPUs on the emulated device: every tile and schedule, beside the CPU's kernel, bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.cuda import float_products
from rushlight.runtime.cuda.backend import cuda_backend
from rushlight.runtime.cuda.device import Launch, download, upload
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import SCRATCH_AT, Call, Row, scratch_memory
from rushlight.runtime.cuda.tiles import FLOAT_TILES, TILES, FloatTile, choose_float_tile
from rushlight.runtime.errors import DeviceError
from rushlight.runtime.explain import explain
from tests.gemm_calls import F32_ROWS, matrix_params, run
from tests.test_cuda_kernels import SCHEDULES, FaultyDevice

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

(GENERIC,) = (row for row in F32_ROWS if row.isa == "generic")
LARGE, SMALL, FLAT = FLOAT_TILES


def noise(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def on_device(
    device: EmulatedDevice,
    params: dict[str, Any],
    operands: Sequence[np.ndarray | None],
    tile: FloatTile | None = None,
    residual_is_out: bool = False,
) -> np.ndarray:
    """The result of gemm for src, weight, bias, residual and what the result held before."""
    src, weight, bias, residual, out = operands
    assert weight is not None
    assert out is not None
    row = cuda_backend().find("gemm", "gemm", "f32f32f32")
    assert isinstance(row, Row)
    raw = pack_params("gemm", **params)
    packed = np.empty(cuda_backend().packed_bytes(row, raw), np.uint8)
    cuda_backend().pack(row, raw, weight, packed)
    buffers = [None if array is None else upload(device, array) for array in (src, packed, bias, None, residual, out)]
    if residual_is_out:
        buffers[4] = buffers[5]
    addresses = [buffer.address if buffer else 0 for buffer in buffers]
    for launch in float_products.launches(Call(row, raw, addresses), device, tile):
        device.launch(launch)
    return download(device, buffers[5], out.shape, out.dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tile", "m", "n", "k"), [(LARGE, 130, 70, 37), (SMALL, 65, 67, 52), (FLAT, 9, 35, 200), (FLAT, 1, 1, 3)]
)
@pytest.mark.parametrize("activation", [0, 6], ids=["plain", "gelu"])
def test_tiles_have_the_bits_of_the_cpu(tile: FloatTile, m: int, n: int, k: int, activation: int) -> None:
    params = matrix_params(m, n, k, activation=activation)
    src, weight, bias, residual = noise(m, k), noise(n, k), noise(n), noise(m, n)
    out = np.full((m, n), np.nan, np.float32)
    expected = run(GENERIC, params, src, weight, out, bias=bias, residual=residual)
    for seed, eager in SCHEDULES:
        got = on_device(EmulatedDevice(seed, eager), params, [src, weight, bias, residual, out], tile)
        np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("tile", FLOAT_TILES, ids=str)
@pytest.mark.parametrize("channels", [3, 8])
def test_convolutions_multiply_padded_taps(tile: FloatTile, channels: int) -> None:
    n, images, height, width = 20, 2, 6, 7
    params = matrix_params(
        images, n, channels, oh=height, ow=width, ih=height, iw=width, kh=3, kw=3, ph=1, pw=1,
        src_image=height * width * channels, src_row=width * channels, src_pixel=channels,
    )  # fmt: skip
    src, weight, bias = noise(images, height, width, channels), noise(n, channels, 3, 3), noise(n)
    weight[1, 0, 0, 0] = np.inf
    out = np.zeros((images, height, width, n), np.float32)
    expected = run(GENERIC, params, src, weight, out, bias=bias)
    got = on_device(EmulatedDevice(), params, [src, weight, bias, None, out], tile)
    np.testing.assert_array_equal(got, expected)
    assert np.isnan(got[0, 0, 0, 1])


@pytest.mark.parametrize("tile", FLOAT_TILES, ids=str)
def test_depths_beyond_the_last_change_no_sign_of_zero(tile: FloatTile) -> None:
    src, weight, bias = np.zeros((2, 5), np.float32), np.full((3, 5), -1, np.float32), np.full(3, -0.0, np.float32)
    got = on_device(
        EmulatedDevice(), matrix_params(2, 3, 5), [src, weight, bias, None, np.ones((2, 3), np.float32)], tile
    )
    assert np.signbit(got).all()


def test_a_residual_may_be_the_result() -> None:
    params = matrix_params(20, 40, 24, activation=5)
    src, weight, residual = noise(20, 24), noise(40, 24), noise(20, 40)
    expected = run(GENERIC, params, src, weight, residual, residual=residual)
    for tile in FLOAT_TILES:
        got = on_device(EmulatedDevice(), params, [src, weight, None, None, residual], tile, residual_is_out=True)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("left", "right"),
    [((5, 40), (40, 33)), ((2, 3, 5, 40), (2, 3, 40, 17)), ((4, 1, 3, 8), (2, 8, 64)), ((2, 70, 1), (2, 1, 40))],
)
def test_products_of_two_results_are_packed_on_the_device(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    builder = rl.GraphBuilder()
    a, b = builder.input("a", np.float32, left), builder.input("b", np.float32, right)
    builder.output("y", builder.matmul(a, b))
    program = builder.build()
    model = rl.load(program, device="cuda-emulated")
    inputs = noise(*left), noise(*right)
    np.testing.assert_array_equal(model(*inputs), rl.load(program)(*inputs))
    found = explain(model, dict(zip("ab", inputs, strict=True)))
    assert [step.kernel for step in found.steps] == ["pack_b_f32f32_cuda", "gemm_f32f32f32_cuda"]


def test_convolutions_of_a_program_have_the_bits_of_the_cpu() -> None:
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N", 6, 7, 8))
    constants = [builder.constant(noise(*shape)) for shape in ((16, 8, 5, 3), (16,), (16, 1, 5, 5), (12, 4, 1, 1))]
    h = builder.conv2d(x, *constants[:2], padding=(2, 1, 2, 1), layout="NHWC", activation="silu")
    h = builder.conv2d(h, constants[2], padding=(2, 2, 2, 2), groups=16, layout="NHWC", activation="relu")
    builder.output("y", builder.conv2d(h, constants[3], groups=4, layout="NHWC", stride=(2, 2)))
    program = builder.build()
    model, image = rl.load(program, device="cuda-emulated"), noise(2, 6, 7, 8)
    np.testing.assert_array_equal(model(image), rl.load(program)(image))
    kernels = [step.kernel for step in explain(model, {"x": image}).steps]
    assert kernels == ["gemm_f32f32f32_cuda", "depthwise_f32_cuda", "gemm_f32f32f32_cuda"]


@pytest.mark.parametrize(
    ("src_k", "src_n", "batch"), [(21, 1, (2, 3)), (1, 37, (1, 2)), (-21, 1, (1, 1)), (0, 1, (1, 1))]
)
def test_matrices_of_any_strides_are_packed(src_k: int, src_n: int, batch: tuple[int, int]) -> None:
    n, k, device = 21, 37, EmulatedDevice()
    row = cuda_backend().find("pack", "pack_b", "f32f32")
    assert isinstance(row, Row)
    x, matrices = noise(batch[0] * batch[1], n * k), batch[0] * batch[1]
    steps = {"src_batch": (batch[1] * n * k, n * k), "src_k": src_k, "src_n": src_n}
    raw = pack_params("pack", batch=batch, n=n, k=k, **steps)
    source, out = upload(device, x), device.allocate(matrices * 2 * 64 * k)
    first = source.address + (-src_k * (k - 1) * 4 if src_k < 0 else 0)
    for launch in families()["pack"].launches(Call(row, raw, (first, out.address)), device):
        device.launch(launch)
    start = -src_k * (k - 1) if src_k < 0 else 0
    at = start + np.arange(k)[:, None] * src_k + np.arange(n) * src_n
    expected = np.zeros((matrices, k, 32), np.float32)
    expected[:, :, :n] = x[:, at]
    np.testing.assert_array_equal(download(device, out, expected.shape, np.float32), expected)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("wait_copies<STAGES - 2>();\n    sync_threads();", "sync_threads();"),
        ("wait_copies<STAGES - 2>();\n    sync_threads();", "wait_copies<STAGES - 2>();"),
    ],
    ids=["no-wait", "no-barrier"],
)
@pytest.mark.parametrize("tile", FLOAT_TILES, ids=str)
def test_mistakes_in_synchronization_are_seen(tile: FloatTile, right: str, wrong: str) -> None:
    m, n, k = 70, 40, 700
    params, src, weight = matrix_params(m, n, k), noise(m, k), noise(n, k)
    out = np.zeros((m, n), np.float32)
    expected = run(GENERIC, params, src, weight, out)

    def is_seen(seed: int, eager: int) -> bool:
        device = FaultyDevice(seed, eager, mistake=(right, wrong))
        return not np.array_equal(on_device(device, params, [src, weight, None, None, out], tile), expected)

    assert any(is_seen(seed, eager) for seed, eager in SCHEDULES)


def test_every_way_of_a_product_gives_the_same_bits() -> None:
    device = EmulatedDevice(multiprocessors=8)
    cases: list[tuple[str, Any]] = [("f32f32f32", np.float32), ("u8s8f32", np.uint8)]
    for types, dtype in cases:
        row = cuda_backend().find("gemm", "gemm", types)
        assert isinstance(row, Row)
        m, n, k = 20, 48, 1040
        raw = pack_params("gemm", **matrix_params(m, n, k))
        rng = np.random.default_rng(0)
        weight = rng.integers(-128, 128, (n, k)).astype(np.int8 if dtype == np.uint8 else np.float32)
        packed = np.empty(cuda_backend().packed_bytes(row, raw), np.uint8)
        cuda_backend().pack(row, raw, weight, packed)
        family = families()["gemm"]
        scratch = scratch_memory(family, Call(row, raw, ()), device)
        arrays = rng.integers(0, 256, (m, k)).astype(dtype), packed, noise(n), noise(n)
        buffers = [upload(device, array) for array in arrays]
        results = []
        out = device.allocate(m * n * 4)
        call = Call(row, raw, [*(buffer.address for buffer in buffers), 0, out.address], scratch.address + SCRATCH_AT)
        ways = family.ways(call, device)
        assert ways[0][0].kernel == family.launches(call, device)[0].kernel
        for way in ways:
            out.bytes[:] = 0
            launch: Launch
            for launch in way:
                assert launch.kernel in family.kernels(row)
                device.launch(launch)
            results.append(out.bytes.tobytes())
        assert len({way[0].kernel for way in ways}) == len(ways) == (3 if dtype == np.float32 else len(TILES))
        assert set(results) == {results[0]}


def test_tiles_follow_the_size() -> None:
    device = EmulatedDevice(multiprocessors=132)
    assert choose_float_tile(4096, 4096, 1, device) == LARGE
    assert choose_float_tile(4096, 32, 1, device) == SMALL
    assert choose_float_tile(256, 256, 1, device) == SMALL
    assert choose_float_tile(16, 4096, 1, device) == FLAT
