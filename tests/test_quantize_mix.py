"""Layers that stay float: those asked for, those faster in float, those whose error is out of proportion."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.cli import main
from rushlight.quant import mix, quantize
from rushlight.quant.calibrate import sqnr
from rushlight.quant.cost import cost, losing
from rushlight.quant.placement import Placement, place_quantization
from rushlight.quant.sensitivity import TRIALS, Part, sensitivities
from rushlight.quant.trial import attempt, calibrate
from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.model import load
from rushlight.runtime.program import Program
from rushlight.runtime.reference import run_reference

RNG = np.random.default_rng(12)


def weights(*shape: int) -> Any:
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def stack(widths: list[int], bad: int | None = None) -> Program:
    """Linear layers `w0`, `w1` ... with relus between; what layer `bad` reads has one huge channel that it ignores."""
    b = GraphBuilder()
    y = b.input("x", np.float32, ("N", widths[0]))
    for i, (depth, width) in enumerate(pairwise(widths)):
        weight, bias = weights(width, depth), weights(width)
        if i == bad:
            weight[:, 0] = 0
        if i + 1 == bad:
            weight[0] = 3000 * np.abs(weight[0])
        y = b.linear(y, b.constant(weight, f"w{i}"), b.constant(bias, f"b{i}"))
        if i + 2 < len(widths):
            y = b.relu(y)
    b.output("y", y)
    program: Program = b.build()
    return program


WIDTHS = [64, 64, 64, 256, 256, 64]


def data(rows: int = 64) -> Any:
    return {"x": RNG.standard_normal((rows, WIDTHS[0])).astype(np.float32)}


def int8_weights(recipe: dict[str, Any]) -> list[str]:
    return [row["weight"] for row in recipe["layers"]]


def test_one_sensitive_layer_is_found_and_left_float() -> None:
    program, x = stack(WIDTHS, bad=1), data()
    whole = quantize(program, x, min_sqnr=None).provenance["quantization"]
    quantized = quantize(program, x)
    recipe = quantized.provenance["quantization"]
    assert whole["float_layers"] == []
    assert whole["sqnr_without_float_layers_db"] is None
    assert whole["sqnr_db"] == recipe["sqnr_without_float_layers_db"]
    assert recipe["sqnr_db"] > whole["sqnr_db"] + 15
    assert int8_weights(recipe) == ["w0", "w2", "w3", "w4"]
    (row,) = recipe["float_layers"]
    assert (row["operator"], row["weight"], row["shape"]) == ("linear", "w1", [64, 64])
    assert row["why"].startswith("alone limits the model to ")
    fresh = data()
    expected, got = (load(p).run(fresh)["y"] for p in (program, quantized))
    assert abs(10 * np.log10((expected**2).sum() / ((expected - got) ** 2).sum()) - recipe["sqnr_db"]) < 2


def test_what_stays_float_is_the_float_layer() -> None:
    """Its weights and its bias: no rounding is made up for where none is done."""
    program = stack(WIDTHS, bad=1)
    constants = {value.name: value.data for value in program.graph.constants()}
    quantized = quantize(program, data())
    (node,) = (n for n in quantized.graph.nodes if n.op.name == "linear" and n.inputs[1].name == "w1")  # type: ignore[union-attr]
    for value, name in zip(node.inputs[1:3], ("w1", "b1"), strict=True):
        assert value is not None
        np.testing.assert_array_equal(value.data, constants[name])  # type: ignore[arg-type]


def test_even_errors_are_left_alone() -> None:
    recipe = quantize(stack(WIDTHS), data()).provenance["quantization"]
    assert len(recipe["layers"]) == 5
    assert recipe["float_layers"] == []
    assert not recipe["useless"]


def test_a_target_is_met_with_no_more_float_layers_than_needed() -> None:
    program, x = stack(WIDTHS), data()
    whole = quantize(program, x).provenance["quantization"]["sqnr_db"]
    near, far = (quantize(program, x, min_sqnr=whole + more).provenance["quantization"] for more in (0.5, 4))
    assert near["sqnr_db"] >= whole + 0.5
    assert far["sqnr_db"] >= whole + 4
    assert 0 < len(near["float_layers"]) < len(far["float_layers"]) < 5
    assert quantize(program, x, min_sqnr=whole - 1).provenance["quantization"]["float_layers"] == []


def test_a_target_out_of_reach_is_refused_with_what_was_reached() -> None:
    with pytest.raises(QuantizationError, match=r"reaches 90 dB; the closest, with 1 of 5 layers int8, has \d+\.\d dB"):
        quantize(stack(WIDTHS), data(), min_sqnr=90)


def test_a_useless_model_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mix, "FLOOR", 70.0)
    monkeypatch.setattr(mix, "ENOUGH", 80.0)
    recipe = quantize(stack(WIDTHS), data()).provenance["quantization"]
    assert recipe["useless"]
    assert recipe["layers"]
    assert recipe["sqnr_db"] > recipe["sqnr_without_float_layers_db"]


def test_an_error_measured_alone_is_that_of_a_model_with_one_int8_layer() -> None:
    program = stack(WIDTHS)
    trial = attempt(calibrate(program.graph, data(4), {}, None), "minmax")
    parts = {part.nodes[0]: part for part in sensitivities(trial)}
    assert list(parts) == sorted(parts, key=lambda node: -parts[node].worth)
    assert len(parts) == 5
    for node, part in parts.items():
        others = {other.output: "" for other in parts if other is not node}
        alone = attempt(trial.candidate.leaving(others), "minmax")
        assert alone.sqnr is not None
        assert part.noise == pytest.approx(10 ** (-alone.sqnr / 10), rel=1e-6)
        assert part.sqnr == pytest.approx(alone.sqnr)
        assert part.price > 0


def test_the_search_is_short_however_many_layers() -> None:
    widths = [16] * 71
    program = stack(widths, bad=67)
    done: list[int] = []
    x = {"x": RNG.standard_normal((8, 16)).astype(np.float32)}
    whole = quantize(program, x, all_layers=True, min_sqnr=None).provenance["quantization"]["sqnr_db"]
    quantized = quantize(program, x, all_layers=True, min_sqnr=whole + 3, trials=done.append)
    recipe = quantized.provenance["quantization"]
    assert done == list(range(1, len(done) + 1))
    assert 0 < len(done) <= TRIALS
    assert "w67" in [row["weight"] for row in recipe["float_layers"]]
    assert recipe["sqnr_db"] >= whole + 3


def test_only_large_gains_for_little_time_are_worth_it() -> None:
    def part(noise: float, price: float) -> Part:
        return Part((), noise, price)

    assert mix.worthwhile([part(0.1, 0.05), part(0.001, 0.01), part(0.001, 0.3)]) == 1
    assert mix.worthwhile([part(0.1, 0.9), part(0.001, 0.01)]) == 0
    assert mix.worthwhile([part(0.02, 0.0), part(0.02, 0.0), part(0.02, 0.0)]) == 2
    assert mix.worthwhile([part(0.001, 0.0), part(0.001, 0.0)]) == 0


def test_layers_are_left_float_by_name() -> None:
    recipe = quantize(stack(WIDTHS), data(), keep_float=["w0", "w[23]"]).provenance["quantization"]
    assert int8_weights(recipe) == ["w1", "w4"]
    assert [(row["weight"], row["why"]) for row in recipe["float_layers"]] == [
        ("w0", "is asked for by 'w0'"),
        ("w2", "is asked for by 'w[23]'"),
        ("w3", "is asked for by 'w[23]'"),
    ]
    with pytest.raises(QuantizationError, match="no layer that would be int8 is named 'w9'"):
        quantize(stack(WIDTHS), data(), keep_float=["w1", "w9"])
    with pytest.raises(QuantizationError, match="neither a number of dB nor 'auto'"):
        quantize(stack(WIDTHS), data(), min_sqnr="best")


def image_network(depthwise: bool) -> Program:
    """A depthwise or a full convolution among operators that stay float, then a layer that is integer in any case."""
    b = GraphBuilder()
    x = b.softmax(b.input("x", np.float32, ("N", 32, 12, 12)), dim=1)
    shape, groups = ((32, 1, 3, 3), 32) if depthwise else ((32, 32, 3, 3), 1)
    y = b.softmax(b.conv2d(x, b.constant(weights(*shape), "island"), groups=groups, padding=(1, 1, 1, 1)), dim=1)
    b.output("y", b.conv2d(y, b.constant(weights(128, 32, 3, 3), "wide"), padding=(1, 1, 1, 1)))
    program: Program = b.build()
    return program


@pytest.mark.parametrize("depthwise", [True, False])
def test_islands_that_cost_more_than_they_save_stay_float(depthwise: bool) -> None:
    program = image_network(depthwise)
    x = {"x": RNG.standard_normal((4, 32, 12, 12)).astype(np.float32)}
    recipe = quantize(program, x).provenance["quantization"]
    assert int8_weights(recipe) == (["wide"] if depthwise else ["island", "wide"])
    why = [(row["weight"], row["why"]) for row in recipe["float_layers"]]
    assert why == ([("island", "is faster in float, by estimate")] if depthwise else [])
    assert int8_weights(quantize(program, x, all_layers=True).provenance["quantization"]) == ["island", "wide"]


def test_the_estimate_agrees_with_itself() -> None:
    """What an island is said to lose is the difference between the estimates with and without it."""
    for depthwise in (True, False):
        graph, sizes = image_network(depthwise).graph, {"N": 3}
        placement = place_quantization(graph)
        island = placement.weights[0].output
        without = cost(graph, place_quantization(graph, [island]), sizes)
        assert (cost(graph, placement, sizes) >= without) == depthwise == (island in losing(graph, placement, sizes))
        assert cost(graph, Placement(), sizes) > without


def test_depthwise_layers_within_integer_chains_are_integer() -> None:
    b = GraphBuilder()
    y = b.relu(b.conv2d(b.input("x", np.float32, ("N", 16, 8, 8)), weights(64, 16, 1, 1)))
    y = b.relu(b.conv2d(y, weights(64, 1, 3, 3), padding=(1, 1, 1, 1), groups=64))
    b.output("y", b.conv2d(y, weights(16, 64, 1, 1)))
    x = {"x": RNG.standard_normal((4, 16, 8, 8)).astype(np.float32)}
    assert len(quantize(b.build(), x).provenance["quantization"]["layers"]) == 3


def test_nothing_that_pays_is_refused() -> None:
    with pytest.raises(QuantizationError, match="no layer would run faster as int8, by estimate"):
        quantize(stack([4, 3]), {"x": RNG.standard_normal((8, 4)).astype(np.float32)})


def test_ranges_of_values_that_become_ends_are_those_of_what_they_are_made_of() -> None:
    """A concatenation that was inside of an integer chain is quantized itself when the chain before it stays float."""
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 16, 6, 6))
    left, right = (b.conv2d(x, b.constant(weights(24, 16, 1, 1), f"part{i}")) for i in range(2))
    joined = b.concat(b.relu(left), b.relu(right), dim=1)
    b.output("y", b.conv2d(joined, b.constant(weights(32, 48, 1, 1), "last")))
    program = b.build()
    feeds = {"x": RNG.standard_normal((8, 16, 6, 6)).astype(np.float32)}
    whole = calibrate(program.graph, feeds, {}, None)
    first = whole.placement.weights[0].output
    mixed = attempt(whole.leaving({first: "asked for"}), "minmax")
    place = next(value for value in mixed.ranges if value is joined or value.name == joined.name)
    assert not whole.calibration.knows(place)
    relu = np.maximum(0, run_reference(program.graph, feeds)["y"][:0].max(initial=0.0))
    assert mixed.ranges[place][0] == relu
    assert mixed.sqnr is not None
    assert mixed.sqnr > 30
    assert sqnr(mixed.graph, whole.calibration.runs) == mixed.sqnr


def test_the_command_tells_what_stays_float(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, feeds, out = tmp_path / "m.rush", tmp_path / "in.npz", tmp_path / "q.rush"
    stack(WIDTHS, bad=1).save(model)
    np.savez(feeds, **data())
    report = tmp_path / "r.html"
    command = ["quantize", str(model), "--data", str(feeds), "-o", str(out)]
    assert main([*command, "--keep-float", "w4", "--report", str(report)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("3 layers are int8" in line for line in lines)
    assert any(line.startswith("float       linear w1: alone limits the model to") for line in lines)
    assert "float       linear w4: is asked for by 'w4'" in lines
    assert any("With those layers int8 that limit it" in line for line in lines)
    assert "Layers that stay float" in report.read_text()
    assert json.loads(json.dumps(rl.open(out).provenance["quantization"]))["float_layers"]
    assert main([*command, "--min-sqnr", "none"]) == 0
    assert not any(line.startswith("float ") for line in capsys.readouterr().out.splitlines())
    assert main([*command, "--min-sqnr", "95"]) == 2
    assert "no mix of int8 and float layers that was tried reaches 95 dB" in capsys.readouterr().err
