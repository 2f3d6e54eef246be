"""Attention on integers: where quantization puts it, what it becomes at load, and where it stays float."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rushlight.quant import quantize
from rushlight.quant.trial import ATTENTION_MARGIN
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import cpu_backend
from rushlight.runtime.cpu.execution import CpuExecution
from rushlight.runtime.ir import Graph, GraphBuilder, Value
from rushlight.runtime.model import load
from rushlight.runtime.passes import canonicalize
from rushlight.runtime.passes.early_quantize import quantize_early
from rushlight.runtime.passes.lower_quant import lower_quant
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.lowering import KernelStep
from rushlight.runtime.plan.prepare import prepare
from rushlight.runtime.program import Program
from rushlight.runtime.reference import run_reference

RNG = np.random.default_rng(11)
HEADS, WIDTH, LENGTH = 3, 16, 10
FEATURES = HEADS * WIDTH


def weights(outputs: int, inputs: int = FEATURES, scale: float = 1.0) -> Any:
    return (RNG.standard_normal((outputs, inputs)) * scale / np.sqrt(inputs)).astype(np.float32)


def heads_of(b: GraphBuilder, x: Value) -> Any:
    return b.permute(b.reshape(x, shape=(x.shape[0], LENGTH, HEADS, WIDTH)), dims=(0, 2, 1, 3))


def apart(b: GraphBuilder, x: Value, scales: Sequence[float]) -> list[Any]:
    """q, k and v from a layer each."""
    return [heads_of(b, b.linear(x, weights(FEATURES, scale=scale))) for scale in scales]


def joined(b: GraphBuilder, x: Value, scales: Sequence[float]) -> list[Any]:
    """q, k and v as columns of one layer."""
    product = b.linear(x, np.concatenate([weights(FEATURES, scale=scale) for scale in scales]))
    parts = b.permute(b.reshape(product, shape=(x.shape[0], LENGTH, 3, HEADS, WIDTH)), dims=(2, 0, 3, 1, 4))
    slices = [b.slice(parts, axes=(0,), starts=(i,), ends=(i + 1,), steps=(1,)) for i in range(3)]
    return [b.reshape(part, shape=(x.shape[0], HEADS, LENGTH, WIDTH)) for part in slices]


def sliced(b: GraphBuilder, x: Value, scales: Sequence[float]) -> list[Any]:
    product = b.linear(x, np.concatenate([weights(FEATURES, scale=scale) for scale in scales]))
    ends = range(FEATURES, 4 * FEATURES, FEATURES)
    return [heads_of(b, b.slice(product, axes=(2,), starts=(end - FEATURES,), ends=(end,), steps=(1,))) for end in ends]


def transformer(make: Any = apart, scales: Sequence[float] = (1.0, 1.5, 0.25), masked: bool = False) -> Program:
    """One layer of attention between linear layers."""
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", LENGTH, FEATURES))
    q, k, v = make(b, b.linear(x, weights(FEATURES)), scales)
    mask = b.constant(np.where(np.arange(LENGTH) < 7, np.float32(0), np.finfo(np.float32).min).reshape(1, 1, 1, -1))
    out = b.scaled_dot_product_attention(q, k, v, mask if masked else None)
    out.name = "attention"
    out = b.reshape(b.permute(out, dims=(0, 2, 1, 3)), shape=(x.shape[0], LENGTH, FEATURES))
    b.output("y", b.linear(out, weights(FEATURES)))
    return Program({"forward": b.graph})


def data(count: int = 8) -> Any:
    return RNG.standard_normal((count, LENGTH, FEATURES)).astype(np.float32)


def lowered(program: Program) -> Graph:
    graph = program.graph.clone()
    canonicalize(graph)
    lower_quant(graph)
    return graph


def operators(graph: Graph) -> Counter[str]:
    return Counter(node.op.name for node in graph.nodes)


def ratio(program: Program, quantized: Program, x: Any) -> float:
    expected = run_reference(program.graph, {"x": x})["y"]
    noise = ((expected - load(quantized).run({"x": x})["y"]) ** 2).sum()
    return float(10 * np.log10((expected**2).sum() / noise))


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize(("make", "layers"), [(apart, 5), (joined, 3), (sliced, 3)], ids=["apart", "joined", "sliced"])
def test_attention_becomes_integer(make: Any, layers: int, masked: bool) -> None:
    program = transformer(make, masked=masked)
    x = data()
    quantized = quantize(program, {"x": x}, all_layers=True, min_sqnr=None)
    assert ratio(program, quantized, x) > 28
    found = operators(lowered(quantized))
    assert found["qattention"] == 1
    assert found["qlinear"] == layers
    assert found["quantize"] == 1  # the input: layers write the bytes that attention reads
    assert "dequantize" not in found
    first = None
    for isa in _core.available_isas():
        plan = Plan(prepare(quantized.graph, cpu_backend(isa)), cpu_backend(isa))
        assert all(isinstance(step, KernelStep) for step in plan.steps)
        assert "permute" not in {step.node.op.name for step in plan.steps}  # attention reads columns where they lie
        out = CpuExecution(plan, plan.bind({"N": 8}), _core.Executor(plan.constants, 2)).run([x])[0]
        first = out if first is None else first
        assert out.tobytes() == first.tobytes()
        alone = CpuExecution(plan, plan.bind({"N": 1}), _core.Executor(plan.constants, 1)).run([x[3:4]])[0]
        assert alone.tobytes() == out[3:4].tobytes()


def scales_of(graph: Graph) -> list[float]:
    """Those of q, k and v."""
    (node,) = (node for node in graph.nodes if node.op.name == "scaled_dot_product_attention")
    found: list[float] = []
    for value in node.inputs[:3]:
        assert value is not None
        assert value.producer is not None
        scale = value.producer.inputs[1]
        assert scale is not None
        assert scale.data is not None
        found.append(float(scale.data))
    return found


@pytest.mark.parametrize("make", [apart, joined, sliced], ids=lambda make: make.__name__)
def test_columns_have_ranges_of_their_own(make: Any) -> None:
    quantized = quantize(transformer(make, (1.0, 8.0, 0.01)), {"x": data()}, all_layers=True, min_sqnr=None)
    q, k, v = scales_of(quantized.graph)
    assert 4 < k / q < 16
    assert 50 < q / v < 200


def test_quantizing_early_changes_no_number() -> None:
    program = transformer(joined)
    x = data(2)
    graph = quantize(program, {"x": x}, all_layers=True, min_sqnr=None).graph.clone()
    canonicalize(graph)
    before = run_reference(graph, {"x": x})["y"]
    assert quantize_early(graph)
    (by_column,) = (node for node in graph.nodes if node.op.name == "quantize" and node.attrs["axis"] == -1)
    assert by_column.inputs[0].producer.op.name == "linear"
    np.testing.assert_array_equal(run_reference(graph, {"x": x})["y"], before)
    assert not quantize_early(graph)


def test_attention_that_is_named_stays_float() -> None:
    x = data()
    quantized = quantize(transformer(), {"x": x}, all_layers=True, min_sqnr=None, keep_float=["attention"])
    found = operators(lowered(quantized))
    assert found["scaled_dot_product_attention"] == 1
    assert found["qlinear"] == 5
    (entry,) = quantized.provenance["quantization"]["float_layers"]
    assert (entry["operator"], entry["weight"]) == ("scaled_dot_product_attention", "attention")
    assert entry["why"] == "is asked for by 'attention'"


def test_attention_stays_float_where_others_read_its_keys() -> None:
    """A cache of keys, say: they leave as floats, so that quantizing them would be a step of its own."""
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", LENGTH, FEATURES))
    q, k, v = apart(b, b.linear(x, weights(FEATURES)), (1.0, 1.0, 1.0))
    b.output("keys", k)
    out = b.permute(b.scaled_dot_product_attention(q, k, v), dims=(0, 2, 1, 3))
    b.output("y", b.linear(b.reshape(out, shape=(x.shape[0], LENGTH, FEATURES)), weights(FEATURES)))
    program = Program({"forward": b.graph})
    found = operators(lowered(quantize(program, {"x": data()}, all_layers=True, min_sqnr=None)))
    assert found["scaled_dot_product_attention"] == 1
    assert "qattention" not in found


def test_attention_of_learned_queries_stays_float() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", LENGTH, FEATURES))
    _, k, v = apart(b, b.linear(x, weights(FEATURES)), (1.0, 1.0, 1.0))
    queries = RNG.standard_normal((1, HEADS, LENGTH, WIDTH)).astype(np.float32)
    y = b.scaled_dot_product_attention(queries, b.slice(k, axes=(0,), starts=(0,), ends=(1,), steps=(1,)),
                                       b.slice(v, axes=(0,), starts=(0,), ends=(1,), steps=(1,)))  # fmt: skip
    b.output("y", b.linear(b.reshape(b.permute(y, dims=(0, 2, 1, 3)), shape=(1, LENGTH, FEATURES)), weights(FEATURES)))
    quantized = quantize(Program({"forward": b.graph}), {"x": data()}, all_layers=True, min_sqnr=None)
    found = operators(lowered(quantized))
    assert found["scaled_dot_product_attention"] == 1
    assert found["quantize"] == 2  # the input, and what the last layer reads
    assert "dequantize" not in found


def test_attention_that_costs_too_much_stays_float() -> None:
    """A single layer has little noise of its own for that of attention to hide in."""
    x = data(16)
    program = transformer()
    noisy = quantize(program, {"x": x}, all_layers=True, min_sqnr=None)
    calm = quantize(program, {"x": x}, all_layers=True)
    assert operators(lowered(noisy))["qattention"] == 1
    assert operators(lowered(calm))["scaled_dot_product_attention"] == 1
    assert ratio(program, calm, x) > ratio(program, noisy, x) + ATTENTION_MARGIN
    (entry,) = calm.provenance["quantization"]["float_layers"]
    assert entry["why"] == "with all attention beside it costs the model more than 1 dB"


def test_files_without_quantized_operands_run_as_before() -> None:
    """As they were written when only the result of attention was quantized."""
    b = GraphBuilder()
    x = b.input("x", np.float32, (2, HEADS, LENGTH, WIDTH))
    scale, zero = b.constant(np.float32(0.02)), b.constant(np.uint8(120))
    out = b.dequantize(b.quantize(b.scaled_dot_product_attention(x, x, x), scale, zero), scale, zero)
    b.output("y", out)
    found = operators(lowered(Program({"forward": b.graph})))
    assert found == {"scaled_dot_product_attention": 1, "quantize": 1, "dequantize": 1}
