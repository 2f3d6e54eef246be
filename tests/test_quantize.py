"""The quantizer: integer chains, accuracy against the float program, and what it says about unusable data."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rushlight.quant import quantize
from rushlight.quant.insert import quantize_weight, uint8_for
from rushlight.quant.observers import METHODS, Histogram
from rushlight.quant.trial import MARGIN
from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.model import load
from rushlight.runtime.passes import canonicalize, fuse_epilogues
from rushlight.runtime.passes.lower_quant import lower_quant
from rushlight.runtime.program import Program
from rushlight.runtime.reference import run_reference

RNG = np.random.default_rng(3)


def weights(*shape: int) -> Any:
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def cnn() -> Program:
    """Stem, depthwise with residual, squeeze-excite, pools, concat: every chain that should be integer."""
    b = GraphBuilder()
    x = b.input("image", np.uint8, ("N", 16, 16, 3))
    y = b.permute(b.mul(b.sub(b.cast(x, dtype="float32"), 127.0), 1 / 128), dims=(0, 3, 1, 2))
    y = b.clamp(b.conv2d(y, weights(16, 3, 3, 3), weights(16), stride=(2, 2), padding=(0, 0, 1, 1)), min=0.0, max=6.0)
    z = b.hardswish(b.conv2d(y, weights(16, 1, 3, 3), weights(16), padding=(1, 1, 1, 1), groups=16))
    s = b.hardsigmoid(b.conv2d(b.mean(z, dim=(2, 3), keepdim=True), weights(16, 16, 1, 1), weights(16)))
    y = b.add(b.conv2d(b.mul(z, s), weights(16, 16, 1, 1), weights(16)), y)
    p = b.max_pool2d(y, kernel_size=(2, 2), stride=(2, 2))
    q = b.avg_pool2d(y, kernel_size=(2, 2), stride=(2, 2))
    y = b.relu(b.conv2d(b.concat(p, q, dim=1), weights(8, 32, 1, 1), weights(8)))
    y = b.mean(y, dim=(2, 3), keepdim=False)
    b.output("logits", b.linear(y, weights(10, 8), weights(10)))
    program: Program = b.build()
    return program


def images(count: int) -> Any:
    return RNG.integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)


def sqnr(expected: Any, got: Any) -> float:
    return float(10 * np.log10((expected**2).sum() / ((expected - got) ** 2).sum()))


def operators(program: Program, fused: bool = False) -> Counter[str]:
    graph = program.graph.clone()
    canonicalize(graph)
    lower_quant(graph)
    if fused:
        fuse_epilogues(graph)
    return Counter(node.op.name for node in graph.nodes)


def test_convolutional_chains_are_integer_from_end_to_end() -> None:
    program = cnn()
    quantized = quantize(program, {"image": images(16)})
    counts = operators(quantized)
    assert not counts.keys() & {"quantize", "dequantize", "conv2d", "linear", "add", "mul", "mean", "hardswish"}
    assert counts["qconv2d"] == 5
    assert counts["qlinear"] == 1
    x = images(4)
    expected = run_reference(program.graph, {"image": x})["logits"]
    assert sqnr(expected, run_reference(quantized.graph, {"image": x})["logits"]) > 20


@pytest.mark.parametrize(("op", "gates"), [("lstm", 4), ("gru", 3)])
def test_inputs_of_recurrent_layers_are_integer(op: str, gates: int) -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (6, "N", 5))
    states = [b.full(shape=(1, x.shape[1], 7), value=0.0, dtype="float32")] * (gates - 2)
    matrices = [weights(1, gates * 7, 5), weights(1, gates * 7, 7), weights(1, gates * 7), weights(1, gates * 7)]
    b.output("y", b.add_node(op, [x, *states, *matrices])[0])
    program: Program = b.build()
    data = {"x": RNG.standard_normal((6, 8, 5)).astype(np.float32)}
    quantized = quantize(program, [data])
    counts = Counter(node.op.name for node in quantized.graph.nodes)
    assert (counts["linear"], counts["quantize"], counts[f"q{op}_scan"]) == (1, 1, 1)
    expected, got = (load(p).run(data)["y"] for p in (program, quantized))
    assert 0 < np.abs(got - expected).max() < 0.02


def test_integer_operators_compute_what_the_file_says() -> None:
    """The lowered graph against the quantize/dequantize graph in float: equal up to the rounding of ties."""
    quantized = quantize(cnn(), {"image": images(16)})
    lowered = quantized.graph.clone()
    canonicalize(lowered)
    assert lower_quant(lowered)
    x = images(3)
    expected = run_reference(quantized.graph, {"image": x})["logits"]
    got = run_reference(lowered, {"image": x})["logits"]
    assert sqnr(expected, got) > 35


def test_what_feeds_float_operators_stays_float() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 5, 24))
    y = b.layer_norm(b.add(x, b.linear(x, weights(24, 24), weights(24))), weights(24), weights(24), eps=1e-5)
    y = b.linear(b.gelu(b.linear(y, weights(48, 24), weights(48))), weights(24, 48), weights(24))
    b.output("y", y)
    program = b.build()
    data = RNG.standard_normal((16, 5, 24)).astype(np.float32)
    quantized = quantize(program, {"x": data})
    counts = operators(quantized)
    assert counts["qlinear"] == 3
    assert counts["qlut"] == 1
    assert counts["layer_norm"] == counts["add"] == 1
    assert counts["quantize"] == 2
    assert sqnr(run_reference(program.graph, {"x": data})["y"], run_reference(quantized.graph, {"x": data})["y"]) > 25


def test_float_readers_of_a_float_value_take_it_unrounded() -> None:
    """A transformer's residual stream: what the linear layer takes in as integers, the sum takes as it is."""
    b = GraphBuilder()
    y = b.layer_norm(b.input("x", np.float32, ("N", 8)))
    b.output("out", b.layer_norm(b.add(b.linear(y, weights(8, 8), weights(8)), y)))
    data = RNG.standard_normal((16, 8)).astype(np.float32)
    quantized = quantize(b.build(), {"x": data}, all_layers=True)
    assert operators(quantized) == {"layer_norm": 2, "quantize": 1, "qlinear": 1, "add": 1}
    assert operators(quantized, fused=True) == {"layer_norm": 2, "quantize": 1, "qlinear": 1}


def linear_program() -> Program:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 4))
    b.output("y", b.linear(x, weights(3, 4)))
    program: Program = b.build()
    return program


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(value: float) -> None:
    data = np.zeros((20, 4), np.float32)
    data[13, 2] = value
    with pytest.raises(QuantizationError, match="input 'x', sample 13"):
        quantize(linear_program(), {"x": data})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"x": np.zeros((2, 5), np.float32)}, r"input 'x', sample 0: shape \[2, 5\], the model takes \[N, 4\]"),
        ({"x": np.zeros((2, 4))}, "input 'x', sample 0: dtype float64, the model takes float32"),
        ({"z": np.zeros((2, 4), np.float32)}, "lacks x and has unknown z"),
        ({"x": np.zeros((0, 4), np.float32)}, "empty"),
        ([], "empty"),
        ([np.zeros((2, 4), np.float32), np.zeros((2, 3), np.float32)], "input 'x', item 1"),
        ("missing.npz", "missing.npz: No such file"),
    ],
)
def test_unusable_data_is_refused(data: Any, words: str) -> None:
    with pytest.raises(QuantizationError, match=words):
        quantize(linear_program(), data)


def test_every_kind_of_data_gives_the_same_program(tmp_path: Path) -> None:
    x = RNG.standard_normal((16, 4)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x)
    program = linear_program()
    texts = {
        str(quantize(program, data, all_layers=True)): None
        for data in ({"x": x}, tmp_path / "data.npz", [x[:8], x[8:]], [(x, np.zeros(16))], [{"x": x}])
    }
    assert len(texts) == 1


def test_a_drop_that_is_too_large_is_refused() -> None:
    scores = iter([0.9, 0.8])
    data = {"x": RNG.standard_normal((4, 4)).astype(np.float32)}
    with pytest.raises(QuantizationError, match=r"scores 0\.1 lower, allowed is 0\.05"):
        quantize(linear_program(), data, evaluate=lambda _: next(scores), max_drop=0.05, all_layers=True)


@pytest.mark.parametrize("suffix", [".json", ".html"])
def test_the_report_lists_every_layer(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"report{suffix}"
    quantize(cnn(), {"image": images(8)}, report=target)
    assert target.read_text().count("conv2d") == 5


def test_programs_without_layers_are_refused() -> None:
    b = GraphBuilder()
    b.output("y", b.relu(b.input("x", np.float32, ("N", 4))))
    with pytest.raises(QuantizationError, match="no convolution or linear layer"):
        quantize(b.build(), {"x": np.zeros((2, 4), np.float32)})


def test_quantizing_twice_is_refused() -> None:
    data = {"x": RNG.standard_normal((4, 4)).astype(np.float32)}
    once = quantize(linear_program(), data, all_layers=True)
    with pytest.raises(QuantizationError, match="already"):
        quantize(once, data)


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_zero_is_represented_exactly(a: float, b: float) -> None:
    how = uint8_for(min(a, b), max(a, b))
    assert 0 <= how.zero_point <= 255
    assert how.scale > 0


@settings(max_examples=50)
@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=st.floats(-1e6, 1e6, width=32)
    )
)
def test_weights_are_within_half_a_step(weight: Any) -> None:
    q, scale = quantize_weight(weight)
    steps = scale.reshape(-1, *[1] * (weight.ndim - 1))
    assert np.abs(q.astype(np.float64) * steps - weight).max() <= steps.max() * 0.5000001 + 1e-30
    assert q.min() >= -127


def seen(*arrays: Any) -> Histogram:
    histogram = Histogram()
    for array in arrays:
        histogram.see(array)
    return histogram


def test_percentile_leaves_out_outliers_in_constant_memory() -> None:
    batches = RNG.standard_normal((50, 10_000)).astype(np.float32)
    batches[:, 0] *= 1000
    histogram = seen(*batches)
    low, high = histogram.percentile(99.9)
    assert 2.5 < high < 4.5
    assert -4.5 < low < -2.5
    assert histogram.extremes() == (batches.min(), batches.max())


def mean_square_error(x: Any, low: float, high: float) -> float:
    how = uint8_for(low, high)
    q = np.clip(np.rint(x / how.scale) + how.zero_point, 0, 255)
    return float((((q - how.zero_point) * how.scale - x) ** 2).mean())


@pytest.mark.parametrize(
    "draw",
    [
        lambda n: RNG.standard_normal(n),
        lambda n: np.maximum(RNG.standard_normal(n), 0),
        lambda n: RNG.standard_t(3, n) * 1e-3,
        lambda n: RNG.uniform(-7, -1, n) * 1e15,
    ],
    ids=["normal", "relu", "outliers", "uniform"],
)
def test_no_range_has_less_noise(draw: Any) -> None:
    x = draw(100_000).astype(np.float32)
    low, high = seen(x).least_noise()
    assert min(x.min(), 0) <= low <= 0 <= high <= max(x.max(), 0)
    best = min(
        mean_square_error(x, min(x.min(), 0) * a, max(x.max(), 0) * b)
        for a in np.linspace(0.2, 1, 17)
        for b in np.linspace(0.2, 1, 17)
    )
    assert mean_square_error(x, low, high) < best * 1.03


def test_ranges_do_not_depend_on_how_the_data_is_cut() -> None:
    x = (RNG.standard_normal(5000) ** 3).astype(np.float32)
    x[::7] = 0
    whole, parts = seen(x), seen(x[:10], x[10:11], x[11:11], x[11:])
    for method in METHODS.values():
        assert method(whole) == method(parts)


def test_histograms_that_saw_nothing_or_extremes() -> None:
    for method in METHODS.values():
        assert method(seen()) == method(seen(np.empty((0, 3), np.float32))) == (0, 0)
        assert method(seen(np.zeros(5, np.float32))) == (0, 0)
        low, high = method(seen(np.array([-3.4e38, 0.0, 3.4e38], np.float32)))
        assert -3.5e38 < low < 0 < high < 3.5e38
        low, high = method(seen(np.array([1e-42], np.float32)))
        assert 0 <= low <= high <= np.float32(1e-42)


def test_values_are_cut_off_where_that_comes_closer_to_the_float_model() -> None:
    """An outlier that the result is made of must be covered, one that a relu takes out need not."""
    x = RNG.uniform(0, 1, (65536, 4)).astype(np.float32)
    x[3, 2] = -2
    chosen = {}
    for sign in (1, -1):
        b = GraphBuilder()
        b.output("y", b.relu(b.linear(b.input("x", np.float32, ("N", 4)), sign * np.eye(4, dtype=np.float32))))
        program = b.build()
        recipes = {
            observer: quantize(program, [x], observer=observer, all_layers=True).provenance["quantization"]
            for observer in ("auto", "mse", "minmax")
        }
        gain = recipes["mse"]["sqnr_db"] - recipes["minmax"]["sqnr_db"]
        chosen[sign] = recipes["auto"]["observer"]
        assert chosen[sign] == ("mse" if gain > MARGIN else "minmax")
    assert chosen == {1: "mse", -1: "minmax"}


def test_sums_that_int32_cannot_hold_stay_float() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 70_000))
    b.output("y", b.linear(b.relu(b.linear(x, weights(2, 70_000))), weights(3, 2)))
    data = RNG.standard_normal((2, 70_000)).astype(np.float32)
    quantized = quantize(b.build(), {"x": data}, all_layers=True)
    counts = operators(quantized)
    assert counts["linear"] == counts["qlinear"] == 1


@pytest.mark.parametrize("scale", [0.0, np.nan, np.inf, -1.0, 1e-45])
@pytest.mark.parametrize("high", [6.0, np.nan])
def test_scales_and_clamps_without_sense_keep_the_float_operators(scale: float, high: float) -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, (1, 4))

    def through_bytes(value: Any, step: float) -> Any:
        quantization = np.float32(step), np.uint8(3)
        return b.dequantize(b.quantize(value, *quantization, dtype="uint8"), *quantization)

    weight = b.dequantize(
        b.constant(np.ones((4, 4), np.int8)), b.constant(np.ones(4, np.float32)), np.zeros(4, np.int8), axis=0
    )
    y = b.clamp(b.linear(through_bytes(x, 0.1), weight), min=0.0, max=high)
    b.output("y", through_bytes(b.add(through_bytes(y, scale), through_bytes(x, 0.1)), scale))
    model = load(b.build())
    assert all(step.node.op.name not in ("qadd", "qlut") for step in model.main.plan.steps)
    assert model(np.ones((1, 4), np.float32)).shape == (1, 4)
