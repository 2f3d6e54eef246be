"""Graph shapes that must stay integer from end to end, each against the float program."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from rushlight.quant import quantize
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.model import load
from rushlight.runtime.passes import canonicalize
from rushlight.runtime.passes.lower_quant import lower_quant
from rushlight.runtime.program import Program
from rushlight.runtime.reference import run_reference

RNG = np.random.default_rng(5)
ENDS = {"quantize": 1}  # the input; results of matrix operators leave as float32 without a dequantize


def weights(*shape: int) -> Any:
    return (RNG.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def check(program: Program, data: Any, at_least: float) -> Counter[str]:
    """Operators of the quantized, lowered graph; it must be at least so many dB above its noise."""
    quantized = quantize(program, {"x": data}, all_layers=True)
    expected = run_reference(program.graph, {"x": data})["y"]
    got = load(quantized).run({"x": data})["y"]
    noise = ((expected - got) ** 2).sum()
    assert 10 * np.log10((expected**2).sum() / noise) > at_least
    graph = quantized.graph.clone()
    canonicalize(graph)
    lower_quant(graph)
    return Counter(node.op.name for node in graph.nodes)


def image(b: GraphBuilder, channels: int = 4, size: int = 12) -> Any:
    return b.relu(b.conv2d(b.input("x", np.float32, ("N", 3, size, size)), weights(channels, 3, 1, 1)))


def images(size: int = 12) -> Any:
    return RNG.standard_normal((8, 3, size, size)).astype(np.float32)


@pytest.mark.parametrize(
    "attrs",
    [
        {"kernel": 2, "stride": (2, 2)},
        {"kernel": 4, "stride": (2, 2), "padding": (1, 1, 1, 1)},
        {"kernel": 3, "stride": (2, 3), "padding": (1, 1, 1, 1), "output_padding": (1, 1)},
        {"kernel": 3},
    ],
    ids=str,
)
def test_transposed_convolutions_and_skip_connections(attrs: dict[str, Any]) -> None:
    """The step up of a segmentation network: a transposed convolution, joined with an earlier value."""
    kernel, rest = attrs["kernel"], {k: v for k, v in attrs.items() if k != "kernel"}
    b = GraphBuilder()
    skip = image(b)
    up = b.conv_transpose2d(skip, weights(4, 6, kernel, kernel), weights(6), **rest)
    same = b.interpolate(skip, size=tuple(up.shape[2:]), mode="nearest", coordinates="asymmetric", rounding="floor")
    b.output("y", b.conv2d(b.concat(up, same, dim=1), weights(5, 10, 1, 1), weights(5)))
    counts = check(b.build(), images(), 25)
    assert counts.pop("qconv2d") == 3
    assert not counts.keys() - ENDS - {"reshape", "permute", "slice", "interpolate", "concat"}


def test_batch_norms_that_no_layer_takes_in() -> None:
    """A dense block: the joined features are normalized anew for every layer."""
    b = GraphBuilder()
    features = image(b)
    for _ in range(2):
        channels = features.shape[1]
        norm = [
            RNG.normal(0, 0.1, channels),
            RNG.uniform(0.5, 2, channels),
            weights(channels, 1)[:, 0],
            weights(channels),
        ]
        y = b.relu(b.batch_norm(features, *(p.astype(np.float32) for p in norm), eps=1e-5))
        features = b.concat(features, b.conv2d(y, weights(4, channels, 3, 3), padding=(1, 1, 1, 1)), dim=1)
    b.output("y", b.conv2d(features, weights(3, features.shape[1], 1, 1)))
    counts = check(b.build(), images(), 25)
    assert counts == {**ENDS, "qconv2d": 4, "concat": 2, "qaffine": 2}


def test_a_number_that_scales_everything_becomes_a_table() -> None:
    b = GraphBuilder()
    y = b.max_pool2d(image(b), kernel_size=(2, 2), stride=(2, 2))
    b.output("y", b.conv2d(b.add(b.mul(y, 0.5), -0.25), weights(3, 4, 1, 1)))
    counts = check(b.build(), images(), 25)
    assert counts == {**ENDS, "qconv2d": 2, "max_pool2d": 1, "qlut": 1}


def test_constants_along_two_axes_stay_float() -> None:
    b = GraphBuilder()
    b.output("y", b.conv2d(b.mul(image(b), weights(4, 12, 1)), weights(3, 4, 1, 1)))
    assert check(b.build(), images(), 25)["mul"] == 1


def test_squeeze_and_excitation_by_an_adaptive_pool() -> None:
    b = GraphBuilder()
    y = image(b, 8)
    gate = b.adaptive_avg_pool2d(y, output_size=(1, 1))
    gate = b.sigmoid(b.conv2d(b.relu(b.conv2d(gate, weights(4, 8, 1, 1), weights(4))), weights(8, 4, 1, 1), weights(8)))
    b.output("y", b.conv2d(b.mul(y, gate), weights(3, 8, 1, 1), weights(3)))
    counts = check(b.build(), images(), 25)
    assert counts == {**ENDS, "qconv2d": 4, "qmean": 1, "qlut": 1, "qmul": 1}


def test_convolutions_of_sequences() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 6, 40))
    y = b.relu(b.conv1d(x, weights(8, 6, 3), weights(8), padding=(1, 1)))
    b.output("y", b.conv_transpose1d(y, weights(8, 4, 4), weights(4), stride=(2,), padding=(1, 1)))
    counts = check(b.build(), RNG.standard_normal((8, 6, 40)).astype(np.float32), 25)
    assert counts["qconv2d"] == 2
    assert not counts.keys() & {"conv1d", "conv2d", "conv_transpose1d"}
