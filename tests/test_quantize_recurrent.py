"""Recurrent weights as int8: taken where the model stays as close to the float one, left alone where it does not."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from rushlight.quant import quantize
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.model import load
from rushlight.runtime.ops.integer_rnn import levels_for
from rushlight.runtime.program import Program
from rushlight.runtime.reference import run_reference

HIDDEN, STEPS, WIDTH = 24, 30, 12


def uniform(rng: np.random.Generator, *shape: int) -> Any:
    return rng.uniform(-1, 1, shape).astype(np.float32) * np.float32(0.3)


def network(op: str, silent: bool = False) -> Program:
    """Two layers and a head. `silent`: a unit of the second layer says nothing and has weights far above all others."""
    rng = np.random.default_rng(1)
    gates = 4 if op == "lstm" else 3
    b = GraphBuilder()
    y = b.input("x", np.float32, (STEPS, "N", WIDTH))
    state = np.zeros((1, 1, HIDDEN), np.float32)
    for layer, width in enumerate((WIDTH, HIDDEN)):
        start = b.expand(state, shape=(1, y.shape[1], HIDDEN))
        w_hh, bias = uniform(rng, 1, gates * HIDDEN, HIDDEN), uniform(rng, 1, gates * HIDDEN)
        if silent and layer == 1:
            w_hh *= 4
            w_hh[:, :, 0] = 2000
            bias[0, 3 * HIDDEN] = -200  # its output gate is shut
        weights = (uniform(rng, 1, gates * HIDDEN, width), w_hh, bias, uniform(rng, 1, gates * HIDDEN))
        y = b.add_node(op, [y, *[start] * (gates - 2), *weights])[0]
    b.output("y", b.linear(y, uniform(rng, 5, HIDDEN), uniform(rng, 5)))
    program: Program = b.build()
    return program


def calibration(seed: int = 5) -> Any:
    return np.random.default_rng(seed).standard_normal((STEPS, 4, WIDTH)).astype(np.float32)


def operators(program: Program) -> Counter[str]:
    return Counter(node.op.name for node in program.graph.nodes)


@pytest.mark.parametrize("op", ["lstm", "gru"])
def test_recurrences_take_int8_weights(op: str) -> None:
    program = network(op)
    quantized = quantize(program, [{"x": calibration()}])
    counts, recipe = operators(quantized), quantized.provenance["quantization"]
    assert (counts[f"q{op}_scan"], counts[f"{op}_scan"]) == (2, 0)
    assert len(recipe["recurrences"]) == 2
    x = calibration(6)
    expected = load(program).run({"x": x})["y"]
    got = load(quantized).run({"x": x})["y"]
    noise = 10 * np.log10((expected**2).sum() / ((expected - got) ** 2).sum())
    assert noise > 30
    assert abs(recipe["sqnr_db"] - noise) < 6
    np.testing.assert_allclose(run_reference(quantized.graph, {"x": x})["y"], got, rtol=0, atol=2e-2)


def test_a_recurrence_that_rounding_spoils_stays_float() -> None:
    program = network("lstm", silent=True)
    quantized = quantize(program, [{"x": calibration()}])
    counts, recipe = operators(quantized), quantized.provenance["quantization"]
    assert (counts["qlstm_scan"], counts["lstm_scan"]) == (1, 1)
    assert len(recipe["recurrences"]) == 1
    assert recipe["sqnr_db"] > 20


def test_levels_keep_sums_within_int32() -> None:
    assert levels_for(1) == levels_for(512) == 32767
    for hidden in (513, 4096, 100_000):
        assert levels_for(hidden) * 128 * hidden < 2**31 <= (levels_for(hidden) + 1) * 128 * hidden
