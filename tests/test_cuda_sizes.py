"""The GPU's kernel families on sizes that the CPU's tests lack, chosen so that every kernel of a family is launched.
The results have the bits that the CPU gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import Row
from rushlight.runtime.cuda.source import Kernel
from rushlight.runtime.errors import DeviceError
from tests.kernels.harness import Array, available_rows
from tests.replay.calls import Operand, RecordedCall
from tests.test_cuda_families import SCHEDULES, run, same_bits

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

VIEWS = [
    (3, 100, 1), (2, 255, 1), (2, 300, 1), (1, 1001, 1), (20, 1100, 1), (2, 1024, 1), (1, 2048, 1), (1, 9101, 1),
    (2, 30001, 1), (1, 130, 300), (2, 5, 70), (1, 300, 7), (3, 0, 1), (1, 0, 2), (0, 9, 2),
]  # fmt: skip
"""outer, n, inner: rows for registers, shared memory and rings; many, short and few columns."""


def check(
    family: str, op: str, types: str, params: Mapping[str, Any], inputs: Sequence[Array | None], out: Array, number: int
) -> set[Kernel]:
    """Runs a call on the CPU and on the emulated device, in the schedule of this number; the kernels that it took."""
    row = next(row for row in available_rows(family) if (row.op, row.types) == (op, types))
    packed = pack_params(family, **params)
    arrays = [*inputs, out]
    flat = [None if array is None else array.reshape(-1).view(np.uint8).copy() for array in arrays]
    before = [Operand(None if array is None else array.tobytes()) for array in flat]
    _core.run_kernel(row.symbol, packed, flat, 1, 1)
    assert flat[-1] is not None
    expected = flat[-1].tobytes()
    before[-1] = Operand(before[-1].before, expected)
    seed, eager = SCHEDULES[number % len(SCHEDULES)]
    device = EmulatedDevice(seed, eager, multiprocessors=1)  # whose blocks go on to further rows
    recorded = RecordedCall(family, op, types, packed, tuple(before))
    launches, results = run(Row(family, op, types), recorded, device, 4 * (number % 4))
    assert same_bits(results[0], expected), f"{op} {params}, schedule {number}"
    return {launch.kernel for launch in launches}


def kernels(family: str, op: str, types: str) -> set[Kernel]:
    return set(families()[family].kernels(Row(family, op, types)))


def floats(shape: Sequence[int], seed: int) -> Array:
    """Numbers of all kinds, most of them ordinary."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 3, shape).astype(np.float32)
    if x.size > 40:
        where = rng.integers(0, x.size, 8)
        x.reshape(-1)[where] = [0.0, -0.0, 1e-40, -1e-40, 1e-30, 7.0, 7.0, -7.0]
    return x


@pytest.mark.parametrize("op", ["softmax", "log_softmax", "logsumexp"])
def test_softmax(op: str) -> None:
    used: set[Kernel] = set()
    for number, (outer, n, inner) in enumerate(VIEWS):
        x = floats((outer, n, inner), number)
        if n > 200 and outer > 1:
            x[0, 77] = np.inf
            x[1, :99] = -np.inf
        out = np.zeros((outer, inner) if op == "logsumexp" else x.shape, np.float32)
        used |= check("softmax", op, "f32f32", {"outer": outer, "n": n, "inner": inner}, [x], out, number)
    assert used == kernels("softmax", op, "f32f32")


AFFINE = [(True, True), (True, False), (False, True), (False, False)]


@pytest.mark.parametrize("op", ["layer_norm", "rms_norm"])
def test_row_norms(op: str) -> None:
    used: set[Kernel] = set()
    for number, (outer, n, inner) in enumerate(VIEWS):
        if inner > 1:
            continue
        x = floats((outer, n), number)
        weight, bias = (floats((n,), number + i) if present else None for i, present in enumerate(AFFINE[number % 4]))
        params = {"outer": outer, "spatial": 1, "groups": 1, "n": n, "eps": 1e-5}
        used |= check("norm", op, "f32f32", params, [x, weight, bias], np.zeros_like(x), number)
    assert used == kernels("norm", op, "f32f32")


def test_group_norm() -> None:
    used: set[Kernel] = set()
    for number, (outer, spatial, groups, n) in enumerate(
        [(2, 70, 9, 16), (1, 200, 2, 7), (3, 4, 5, 6), (2, 3, 1, 300)]
    ):
        x = floats((outer, spatial, groups * n), number)
        affine = AFFINE[number % 4]
        weight, bias = (floats((groups * n,), number + i) if present else None for i, present in enumerate(affine))
        params = {"outer": outer, "spatial": spatial, "groups": groups, "n": n, "eps": 1e-5}
        used |= check("norm", "group_norm", "f32f32", params, [x, weight, bias], np.zeros_like(x), number)
    assert used == kernels("norm", "group_norm", "f32f32")


@pytest.mark.parametrize("op", ["sum", "mean", "prod", "amax", "amin"])
def test_canonical_reductions(op: str) -> None:
    used: set[Kernel] = set()
    for number, (outer, n, inner) in enumerate(VIEWS):
        x = floats((outer, n, inner), number) * np.float32(0.3)
        params = {"outer": outer, "n": n, "inner": inner}
        used |= check("reduce", op, "f32f32", params, [x], np.zeros((outer, inner), np.float32), number)
    assert used == kernels("reduce", op, "f32f32")


@pytest.mark.parametrize(
    ("op", "types", "dtype"),
    [("sum", "s64s64", np.int64), ("argmax", "f32s64", np.float32), ("argmin", "s32s64", np.int32)],
)
def test_reductions_in_any_order(op: str, types: str, dtype: Any) -> None:
    for number, (outer, n, inner) in enumerate(VIEWS):
        x = floats((outer, n, inner), number) if dtype == np.float32 else np.int64(3) ** np.arange(outer * n * inner)
        x = x.reshape(outer, n, inner).astype(dtype)
        if dtype == np.float32 and n > 200:
            x[:, n // 2 :: 31] = np.nan
        params = {"outer": outer, "n": n, "inner": inner}
        check("reduce", op, types, params, [x], np.zeros((outer, inner), np.int64), number)


@pytest.mark.parametrize("op", ["max_pool", "avg_pool"])
@pytest.mark.parametrize("types", ["f32", "u8"])
def test_pool(op: str, types: str) -> None:
    used: set[Kernel] = set()
    for number, (images, c, ih, iw, kernel) in enumerate([(1, 32, 17, 17, 2), (1, 32, 17, 17, 3), (2, 40, 7, 7, 7)]):
        oh, ow = ih - kernel + 1, iw - kernel + 1
        x = floats((images, ih, iw, c), number)
        if types == "u8":
            x = np.abs(x * 30).astype(np.uint8)
        params = {
            "images": images, "c": c, "ih": ih, "iw": iw, "oh": oh, "ow": ow, "kh": kernel, "kw": kernel,
            "sh": 1, "sw": 1, "ph": 0, "pw": 0, "dh": 1, "dw": 1, "pb": 0, "pr": 0, "count_include_pad": 0,
            "src_pixel": c, "dst_pixel": c, "src_zero_point": 3, "scale": 0.7, "offset": 2.5, "lo": 0.0, "hi": 255.0,
        }  # fmt: skip
        used |= check("pool", op, types, params, [x], np.zeros((images, oh, ow, c), x.dtype), number)
    assert {dict(kernel.defines)["WIDTH"] for kernel in used} >= {4, 8 if types == "u8" else 1}


@pytest.mark.parametrize("is_causal", [0, 1])
def test_attention(is_causal: int) -> None:
    """Scores in shared memory and outside of it, many and few queries."""
    used: set[Kernel] = set()
    sizes = [(2, 90, 70, 33, 70), (1, 20, 1500, 8, 5), (20, 3, 5, 4, 2), (9, 30, 2, 4, 1)]
    for number, (heads, lq, lk, d, dv) in enumerate(sizes):
        q, k, v = (floats((heads, n, width), n) for n, width in ((lq, d), (lk, d), (lk, dv)))
        mask = np.where(floats((lq, lk), 9) > 2, -np.inf, floats((lq, lk), 8)).astype(np.float32)
        mask[lq // 2] = -np.inf
        params = {
            "images": 1, "windows": 1, "q_heads": heads, "kv_heads": heads, "lq": lq, "lk": lk, "d": d, "dv": dv,
            "q_stride": [0, lq * d, d], "k_stride": [0, lk * d, d], "v_stride": [0, lk * dv, dv],
            "out_stride": [0, lq * dv, dv], "bias_stride": [0, 0], "mask_stride": [0, 0, 0, lk, 1],
            "mask_is_bool": 0, "is_causal": is_causal, "scale": 0.2,
        }  # fmt: skip
        out = np.zeros((heads, lq, dv), np.float32)
        used |= check("attention", "attention", "f32", params, [q, k, v, mask, None, None], out, number)
    assert used == kernels("attention", "attention", "f32")
