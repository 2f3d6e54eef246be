"""Recurrences on the emulated device: both ways to go through time, rows by fours, inputs multiplied in parts."""

from __future__ import annotations

import numpy as np
import pytest

from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.params import families as cpu_families
from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.cuda.device import Launch
from rushlight.runtime.cuda.emulated import EmulatedDevice, compiler
from rushlight.runtime.cuda.families import families, rnn
from rushlight.runtime.cuda.family import Row
from rushlight.runtime.errors import DeviceError, UnsupportedError
from rushlight.runtime.ops.integer_rnn import levels_for
from tests.kernels.test_rnn import GENERIC, Array, case, is_layer
from tests.replay.calls import Operand, RecordedCall
from tests.replay.device import run, same_bits
from tests.test_cuda_families import SCHEDULES

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

BY_ROWS, BY_STEPS = range(2)
NAMES = [name for name, _ in cpu_families()["rnn"].operands]
ROWS = families()["rnn"].rows


def record(op: str, given: dict[str, Array], is_reverse: bool, is_linear: bool) -> RecordedCall:
    """A call with the batch first, and what the CPU makes of it; the states after it take the place of those before."""
    (steps, rows, width), (_, hidden) = given["x"].shape, given["h0"].shape
    symbol = GENERIC[op].symbol
    params = {
        "steps": steps, "rows": rows, "hidden": hidden, "x_step": width, "x_row": steps * width, "y_step": hidden + 1,
        "y_row": steps * (hidden + 1), "is_reverse": int(is_reverse), "linear_before_reset": int(is_linear),
        "levels": float(levels_for(hidden)), "inputs": 0,
    }  # fmt: skip
    of_layer = pack_params("rnn", **{**params, "inputs": width})
    of_state = pack_params("rnn", **params)
    raw = of_layer if is_layer(op) else of_state
    packing = {"weight": (of_state, given["w"])}
    if is_layer(op):
        packing["input_weight"] = of_layer, given["w_ih"]
    arrays = {name: given[name] for name in ("scale", "bias", "h0", "c0") if name in given}
    arrays["x"] = np.ascontiguousarray(given["x"].transpose(1, 0, 2))
    if "b_ih" in given:
        arrays["input_bias"] = given["b_ih"]
    outputs = {"y": np.full((rows, steps, hidden + 1), 7, np.float32), "hn": np.zeros_like(given["h0"])}
    if "c0" in given:
        outputs["cn"] = np.zeros_like(given["c0"])
    views: dict[str, Array] = {name: _core.pack(symbol, *weight) for name, weight in packing.items()}
    views |= {name: array.reshape(-1).view(np.uint8) for name, array in (arrays | outputs).items()}
    before = {name: view.tobytes() for name, view in views.items()}
    _core.run_kernel(symbol, raw, [views.get(name) for name in NAMES], 1, 1)
    operands = []
    for name in NAMES:
        if name in packing:
            parameters, weight = packing[name]
            operands.append(Operand(weight.tobytes(), None, parameters))
        else:
            operands.append(Operand(before.get(name), views[name].tobytes() if name in outputs else None))
    return RecordedCall("rnn", op, GENERIC[op].types, raw, tuple(operands))


def check(row: Row, recorded: RecordedCall, way: int, number: int, **device_kind: int) -> list[Launch]:
    device = EmulatedDevice(*SCHEDULES[number % len(SCHEDULES)], multiprocessors=1, **device_kind)
    launches, results = run(row, recorded, device, 4 * (number % 4), way)
    expected = [operand.after for operand in recorded.operands if operand.after is not None]
    for got, wanted in zip(results, expected, strict=True):
        assert same_bits(got, wanted)
    return launches


@pytest.mark.parametrize("way", [BY_ROWS, BY_STEPS])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.symbol)
def test_ragged_sizes(row: Row, way: int) -> None:
    used = set()
    sizes = [(3, 1, 1), (2, 3, 17), (3, 5, 40), (2, 9, 66), (1, 4, 120), (9, 2, 8)]
    for number, size in enumerate(sizes):
        is_reverse, is_linear = bool(number % 2), number % 3 != 1
        used |= {
            launch.kernel
            for launch in check(row, record(row.op, case(row.op, size), is_reverse, is_linear), way, number)
        }
    made = {kernel for kernel in families()["rnn"].kernels(row) if kernel.name.startswith("rnn")}
    names = ("rnn_rows",) if way == BY_ROWS else ("rnn_start", "rnn_step")
    assert {kernel for kernel in used if kernel.name.startswith("rnn")} == {
        kernel for kernel in made if kernel.name in names
    }


@pytest.mark.parametrize("way", [BY_ROWS, BY_STEPS])
@pytest.mark.parametrize("op", ["lstm", "gru"])
@pytest.mark.parametrize("is_reverse", [False, True])
def test_inputs_are_multiplied_in_parts(op: str, is_reverse: bool, way: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given = case(op, (7, 3, 20))
    monkeypatch.setattr(rnn, "_PRODUCTS_BYTES", 3 * 3 * 20 * 4 * 4)
    row = next(row for row in ROWS if row.op == op)
    launches = check(row, record(op, given, is_reverse, True), way, 1)
    assert sum(launch.kernel.name == "fgemm" for launch in launches) == (3 if op == "lstm" else 2)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.symbol)
def test_numbers_of_all_kinds(row: Row) -> None:
    """Signed zeros, denormals, infinities and NaN in states and inputs, and the largest floats."""
    given = case(row.op, (3, 4, 12))
    special = np.array([0.0, -0.0, 1e-40, -1e-40, np.inf, -np.inf, np.nan, 3e38, -3e38], np.float32)
    rng = np.random.default_rng(3)
    for name in ("x", "h0", "c0"):
        if name in given:
            where = rng.integers(0, given[name].size, 6)
            given[name].reshape(-1)[where] = rng.choice(special, 6)
    given["w"][:, 3] = 0
    for way in (BY_ROWS, BY_STEPS):
        check(row, record(row.op, given, False, way == BY_ROWS), way, way)


def test_what_shared_memory_does_not_hold_goes_step_by_step() -> None:
    recorded = record("lstm_scan", case("lstm_scan", (2, 1, 40)), False, True)
    row = next(row for row in ROWS if row.op == "lstm_scan")
    launches = check(row, recorded, BY_ROWS, 0, shared_bytes=1 << 8)
    assert [launch.kernel.name for launch in launches] == ["rnn_start", "rnn_step", "rnn_step"]


@pytest.mark.parametrize("size", [(0, 2, 5), (3, 0, 4), (3, 2, 0)])
def test_nothing_to_do(size: tuple[int, int, int]) -> None:
    for row in ROWS:
        launches = check(row, record(row.op, case(row.op, size), False, True), BY_STEPS, 0)
        assert [launch.kernel.name for launch in launches] == (["rnn_rows"] if size[0] == 0 else [])


def test_too_many_launches_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rnn, "_MOST_LAUNCHES", 3)
    row = next(row for row in ROWS if row.op == "gru_scan")
    recorded = record("gru_scan", case("gru_scan", (2, 1, 40)), False, False)
    with pytest.raises(UnsupportedError, match="2 steps of 40 hidden units"):
        check(row, recorded, BY_STEPS, 0, shared_bytes=1 << 9)


def test_many_steps_are_no_launches_of_their_own() -> None:
    recorded = record("gru_scan", case("gru_scan", (5000, 1, 2)), False, True)
    row = next(row for row in ROWS if row.op == "gru_scan")
    assert [launch.kernel.name for launch in check(row, recorded, BY_STEPS, 0)] == ["rnn_rows"]
