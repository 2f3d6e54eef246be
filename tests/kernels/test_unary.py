"""Every compiled unary kernel against float64 NumPy, and bit for bit among instruction sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import special

from rushlight.runtime.ops import get, registry

from .harness import Array, available_rows, run, same_bits, ulps

ROWS = available_rows("unary")
OPS = sorted({row.op for row in ROWS})
N_MAX = 4096 * 2 + 37
ids = {"ids": lambda row: row.symbol}


def softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def phi(x: Array) -> Array:
    return np.asarray(special.erfc(-x / np.sqrt(2)) / 2)


Truth = tuple[Callable[[Array], Array], float, float, tuple[float, float]]

# op: truth in float64, largest error in ulp of the truth, error in 2^-24 |x| that is allowed besides, sampled interval
TRUTH: dict[str, Truth] = {
    "clamp": (lambda x: np.clip(x, -0.5, 2.0), 0, 0, (-9, 9)),
    "cos": (np.cos, 1.6, 0, (-5000, 5000)),
    "elu": (lambda x: np.where(x > 0, x, -0.5 * np.expm1(np.minimum(x, 0))), 2, 0, (-20, 20)),
    "erf": (special.erf, 1.6, 0, (-5, 5)),
    "exp": (np.exp, 1.05, 0, (-87.3, 88.7)),
    "expm1": (np.expm1, 1.5, 0, (-20, 88)),
    "gelu": (lambda x: x * phi(x), 3, 2, (-12, 12)),
    "gelu_tanh": (
        lambda x: x * special.expit(np.sqrt(8 / np.pi) * (x + 0.044715 * x**3)),
        4,
        2,
        (-12, 12),
    ),
    "hardsigmoid": (lambda x: np.clip(x / 6 + 0.5, 0, 1), 2, 0.5, (-5, 5)),
    "hardswish": (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), 3, 1, (-5, 5)),
    "leaky_relu": (lambda x: np.where(x > 0, x, -0.5 * x), 0.5, 0, (-9, 9)),
    "log": (np.log, 1, 0, (1e-30, 10)),
    "log1p": (np.log1p, 1, 0, (-0.999, 10)),
    "mish": (lambda x: x * np.tanh(softplus(x)), 4.5, 0, (-80, 30)),
    "reciprocal": (lambda x: 1 / x, 0.5, 0, (0.01, 9)),
    "rsqrt": (lambda x: 1 / np.sqrt(x), 1.5, 0, (1e-6, 9)),
    "sigmoid": (special.expit, 2.5, 0, (-87, 20)),
    "silu": (lambda x: x * special.expit(x), 3.5, 0, (-80, 20)),
    "sin": (np.sin, 1.6, 0, (-5000, 5000)),
    "softplus": (softplus, 2, 0, (-80, 30)),
    "sqrt": (np.sqrt, 0.5, 0, (0, 9)),
    "square": (np.square, 0.5, 0, (-9, 9)),
    "tanh": (np.tanh, 2.5, 0, (-12, 12)),
    "trunc": (np.trunc, 0, 0, (-9, 9)),
}
ALPHA, BETA = -0.5, 2.0


def truth_of(op: str) -> Truth:
    """Where TRUTH says nothing else: the operator's reference, exactly or within 1.6 ulp."""
    if op in TRUTH:
        return TRUTH[op]
    return get(op).reference, 0 if get(op).tolerance == 0 else 1.6, 0, (-9, 9)


SPECIAL = np.array(
    [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1e-30, -1e-30, 3e38, -3e38, 88.73, -88.73, -104, 89, 1, -1, 0.5,
     -0.5, 1.5, 2.5, -2.5, 8388609, -8388609, 16777216, 1e5, -1e5, 1e10, 4097, 2**31, -(2**31), 20.0000001],
    np.float32,
)  # fmt: skip


def unary(row: Any, x: Array, **how: Any) -> Array:
    return run(row, {"x": x, "out": np.zeros_like(x)}, {"n": x.size, "alpha": ALPHA, "beta": BETA}, **how)


def samples(op: str, n: int) -> Array:
    low, high = truth_of(op)[3]
    rng = np.random.default_rng(len(op) + n)
    x = rng.uniform(low, high, n)
    x[::3] *= 10.0 ** rng.uniform(-6, 0, x[::3].size)  # small arguments too
    return np.clip(x, low, high).astype(np.float32)


def test_truth_names_kernels() -> None:
    assert set(TRUTH) <= set(OPS)


@pytest.mark.parametrize("row", ROWS, **ids)
def test_accuracy(row: Any) -> None:
    truth, limit, share, _ = truth_of(row.op)
    x = samples(row.op, 60_000)
    expected = truth(x.astype(np.float64))
    got = unary(row, x)
    error = np.abs(got - expected)
    worst = np.where(error <= share * 2.0**-24 * np.abs(x), 0, ulps(got, expected)).max()
    assert worst <= limit


@pytest.mark.parametrize("op", OPS)
def test_all_isas_give_the_same_bits(op: str) -> None:
    x = np.concatenate(
        [samples(op, 5000), SPECIAL, np.random.default_rng(3).integers(0, 2**32, 5000, np.uint32).view(np.float32)]
    )
    results = [unary(row, x) for row in ROWS if row.op == op]
    assert len(results) >= 1
    for other in results[1:]:
        assert same_bits(results[0], other)


@pytest.mark.parametrize("row", [row for row in ROWS if row.op in ("relu", "gelu", "softplus", "sin")], **ids)
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 4095, 4096, 4097, N_MAX])
def test_sizes_threads_and_in_place(row: Any, n: int) -> None:
    x = samples(row.op, n)
    out = unary(row, x)
    one_by_one = np.array([unary(row, x[i : i + 1])[0] for i in range(max(0, n - 40), n)], np.float32)
    assert same_bits(out[max(0, n - 40) :], one_by_one)
    assert same_bits(out, unary(row, x, in_place="x"))
    assert same_bits(out, unary(row, x, threads=2, chunk=1))


@pytest.mark.parametrize("op", OPS)
def test_special_values_as_in_torch(op: str) -> None:
    functions: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "clamp": lambda t: torch.clamp(t, ALPHA, BETA),
        "elu": lambda t: torch.where(t < 0, ALPHA * torch.expm1(t), t),
        "gelu_tanh": lambda t: F.gelu(t, approximate="tanh"),
        "leaky_relu": lambda t: F.leaky_relu(t, ALPHA),
        "softplus": lambda t: F.softplus(t.double()).float(),
    }
    function = functions.get(op) or getattr(torch, op, None) or getattr(F, op)
    x = SPECIAL[(np.abs(SPECIAL) > 1.2e-38) | (SPECIAL == 0) | np.isnan(SPECIAL)]
    if op == "gelu":
        x = x[~(np.abs(x) > 1e38)]  # torch overflows there, and gives NaN for -inf
    if op == "hardswish":
        x = x[np.abs(x) < 1e38]  # torch's product overflows before the division
    expected = function(torch.from_numpy(x)).numpy()
    row = next(row for row in ROWS if row.op == op)
    np.testing.assert_allclose(unary(row, x), expected, rtol=3e-6, atol=1e-36)


@pytest.mark.parametrize("row", [row for row in ROWS if row.op != "sign"], **ids)
def test_every_nan_stays_nan(row: Any) -> None:
    """Whatever its payload, which integer arithmetic on its bits would see. The sign of NaN is 0, as in torch."""
    payloads = np.random.default_rng(4).integers(1, 2**23, 4000, np.uint32)
    x = np.concatenate([payloads | 0x7F800000, payloads | 0xFF800000]).astype(np.uint32).view(np.float32)
    assert np.isnan(unary(row, x)).all()


@pytest.mark.parametrize("op", [op for op in OPS if op in registry() and get(op).invariant])
def test_invariant(op: str) -> None:
    bits = np.arange(0, 2**32, 65_537, dtype=np.uint32)
    x = bits.view(np.float32)
    out = unary(next(row for row in ROWS if row.op == op), x[np.isfinite(x)])
    invariant = get(op).invariant
    assert invariant is not None
    assert invariant(out)
    assert not np.isnan(out).any()


@pytest.mark.parametrize("op", ["sin", "cos"])
def test_huge_angles(op: str) -> None:
    rng = np.random.default_rng(5)
    x = (rng.choice([-1.0, 1.0], 4000) * 10.0 ** rng.uniform(3, 38, 4000)).astype(np.float32)
    with mpmath.workprec(300):
        function = getattr(mpmath, op)
        expected = np.array([float(function(mpmath.mpf(float(v)))) for v in x])
    assert ulps(unary(next(row for row in ROWS if row.op == op), x), expected).max() <= 1.6
