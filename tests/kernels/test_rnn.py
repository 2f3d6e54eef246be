"""Every recurrent kernel that this CPU can run, against the operator's definition and the generic kernel's bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families, pack_params
from rushlight.runtime.ops import get
from rushlight.runtime.ops.integer_rnn import levels_for

from .harness import Array, available_rows, fenced

ROWS = available_rows("rnn")
GENERIC = {row.op: row for row in ROWS if row.isa == "generic"}
SCANS = [row for row in ROWS if "scan" in row.op]
by_symbol: dict[str, Any] = {"ids": lambda row: row.symbol}
SIZES = [(5, 3, 16), (4, 1, 17), (3, 6, 33), (1, 1, 1), (0, 2, 4), (2, 9, 8), (7, 4, 64), (17, 1, 40), (16, 5, 9)]
"""steps, rows, hidden"""

INPUTS = {16: 16, 17: 5, 33: 40, 40: 70}
"""Of layers, by hidden; 7 elsewhere."""


def tolerance(row: Any) -> float:
    """Where the state is rounded, what lies below a half in the reference may lie above: a level of it at a step."""
    return 5e-4 if row.op.startswith("q") else 1e-5


def is_layer(op: str) -> bool:
    return op in ("lstm", "gru")


def case(op: str, size: tuple[int, int, int]) -> dict[str, Array]:
    """x holds the inputs or their products; it is given time first."""
    steps, rows, hidden = size
    gates = 4 if "lstm" in op else 3
    width = INPUTS.get(hidden, 7) if is_layer(op) else gates * hidden
    rng = np.random.default_rng(hidden)

    def uniform(*shape: int) -> Array:
        return rng.uniform(-1, 1, shape).astype(np.float32)

    operands = {
        "x": uniform(steps, rows, width),
        "h0": uniform(rows, hidden),
        "w": uniform(gates * hidden, hidden),
    }
    if op.startswith("q"):
        operands["w"] = rng.integers(-128, 128, (gates * hidden, hidden), np.int8, endpoint=False)
        operands["scale"] = rng.uniform(1e-7, 3e-7, gates * hidden).astype(np.float32)
    if is_layer(op):
        operands |= {"w_ih": uniform(gates * hidden, width), "b_ih": uniform(gates * hidden)}
    return operands | ({"c0": uniform(rows, hidden)} if gates == 4 else {"bias": uniform(hidden)})


def run(row: Any, given: dict[str, Array], reverse: bool, linear: bool = True, threads: int = 1) -> dict[str, Array]:
    (steps, rows, width), (_, hidden) = given["x"].shape, given["h0"].shape
    params = {
        "steps": steps, "rows": rows, "hidden": hidden, "x_step": rows * width, "x_row": width,
        "y_step": rows * (hidden + 3), "y_row": hidden + 3, "is_reverse": int(reverse),
        "linear_before_reset": int(linear), "levels": float(levels_for(hidden)), "inputs": 0,
    }  # fmt: skip
    raw = pack_params("rnn", **params)
    outputs = {"y": np.full((steps, rows, hidden + 3), 7, np.float32), "hn": np.zeros((rows, hidden), np.float32)}
    if "c0" in given:
        outputs["cn"] = np.zeros((rows, hidden), np.float32)
    every = {**given, "weight": _core.pack(row.symbol, raw, given["w"]), **outputs}
    if is_layer(row.op):
        raw = pack_params("rnn", **{**params, "inputs": width})
        every["input_weight"] = _core.pack(row.symbol, raw, given["w_ih"])
        every["input_bias"] = given["b_ih"]
    memory = {name: fenced(array) for name, array in every.items()}
    order = [name for name, _ in families()["rnn"].operands]
    views = [memory[name][0].reshape(-1).view(np.uint8) if name in memory else None for name in order]
    _core.run_kernel(row.symbol, raw, views, threads, 1)
    for _, before in memory.values():
        assert (before == 0xA5).all()
    result = {name: np.array(memory[name][0]) for name in outputs}
    assert (result["y"][..., hidden:] == 7).all()
    result["y"] = result["y"][..., :hidden]
    return result


def reference(op: str, given: dict[str, Array], reverse: bool, linear: bool) -> list[Array]:
    """The operator's float64 reference."""
    wide = {name: a if a.dtype == np.int8 else a.astype(np.float64) for name, a in given.items()}
    if is_layer(op):
        hidden = given["h0"].shape[1]
        b_hh = np.zeros(len(given["b_ih"]))
        if "bias" in wide:
            b_hh[2 * hidden :] = wide["bias"]
        wide = {name: wide[name] for name in wide if name != "bias"} | {"b_hh": b_hh}
    names = ("h0", "c0", "w_ih", "w", "scale", "bias", "b_ih", "b_hh")
    inputs = [wide["x"], *(wide[name][None] for name in names if name in wide)]
    attrs: dict[str, Any] = {"reverse": reverse}
    if op.startswith("q"):
        attrs["levels"] = levels_for(given["h0"].shape[1])
    if "gru" in op:
        attrs["linear_before_reset"] = linear
    y, *last = get(op).run_reference(inputs, get(op).complete_attrs(attrs))
    return [y, *(state[0] for state in last)]


@pytest.mark.parametrize("linear", [True, False], ids=["linear_before_reset", "reset_before_linear"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("row", ROWS, **by_symbol)
def test_recurrence(row: Any, size: tuple[int, int, int], reverse: bool, linear: bool) -> None:
    given = case(row.op, size)
    got = run(row, given, reverse, linear)
    for out, expected in zip(got.values(), reference(row.op, given, reverse, linear), strict=True):
        np.testing.assert_allclose(out, expected, rtol=1e-4, atol=tolerance(row))
    other = run(GENERIC[row.op], given, reverse, linear)
    threaded = run(row, given, reverse, linear, threads=2)
    for name, out in got.items():
        assert other[name].tobytes() == out.tobytes()
        assert threaded[name].tobytes() == out.tobytes()


@pytest.mark.parametrize("row", ROWS, **by_symbol)
@pytest.mark.parametrize("steps", [1, 4, 19])
def test_a_row_has_the_same_bits_alone(steps: int, row: Any) -> None:
    given = case(row.op, (steps, 7, 20))
    together = run(row, given, False)["y"]
    for n in range(7):
        alone = given | {name: given[name][n : n + 1] for name in ("h0", "c0") if name in given}
        alone["x"] = np.ascontiguousarray(given["x"][:, n : n + 1])
        assert run(row, alone, False)["y"].tobytes() == np.ascontiguousarray(together[:, n : n + 1]).tobytes()


@pytest.mark.parametrize("row", SCANS, **by_symbol)
def test_gates_over_the_whole_range(row: Any) -> None:
    """Sums from -30 to 30 in every gate, the others random; the largest floats saturate."""
    given = case(row.op, (1, 600, 8))
    rng = np.random.default_rng(0)
    given["x"] = rng.uniform(-4, 4, given["x"].shape).astype(np.float32)
    gates = given["x"].reshape(600, -1, 8)
    for gate in range(gates.shape[1]):
        gates[:, gate, gate] = np.linspace(-30, 30, 600)
    gates[0, :, 7], gates[1, :, 7] = 3e38, -3e38
    given["w"][:] = 0
    got = run(row, given, False)
    with np.errstate(over="ignore"):
        expected = reference(row.op, given, False, True)
    for out, wanted in zip(got.values(), expected, strict=True):
        np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("row", [row for row in ROWS if row.op.startswith("q")], **by_symbol)
def test_the_largest_sums_are_exact(row: Any, sign: int) -> None:
    """All weights -128, a state out of range: sums of +-levels * 128 * hidden, the last int32 before its end."""
    hidden = 513
    given = case(row.op, (1, 3, hidden))
    given["w"][:], given["x"][:] = -128, 0
    given["h0"][:] = [[sign * 2.5], [sign * np.inf], [np.nan]]
    given["scale"][:] = np.float32(0.5 / (levels_for(hidden) * 128 * hidden))
    gates = -0.5 * np.array([sign, sign, -1]).reshape(3, 1) * np.ones(hidden)
    sigmoid, wanted = 1 / (1 + np.exp(-gates)), np.tanh(gates)
    if "c0" in given:
        given["c0"][:] = 0
        got = run(row, given, False)["cn"]
        np.testing.assert_allclose(got, sigmoid * wanted, rtol=1e-5)
    else:
        given["bias"][:] = 0
        got = run(row, given, False)["y"][0, 0]
        np.testing.assert_allclose(
            got, (1 - sigmoid[0]) * np.tanh(sigmoid[0] * gates[0]) + sigmoid[0] * given["h0"][0], rtol=1e-5
        )


@pytest.mark.parametrize("row", SCANS, **by_symbol)
def test_a_nan_stays_with_its_unit_for_a_step(row: Any) -> None:
    given = case(row.op, (1, 5, 20))
    given["x"][0, 2, 3] = np.nan
    y = run(row, given, False)["y"]
    assert np.argwhere(np.isnan(y)).tolist() == [[0, 2, 3]]
