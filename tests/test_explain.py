"""Explanations: a kernel, a tile, a share and a reason for every step."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

import rushlight as rl
from benchmarks.peers import networks
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import best_isa
from rushlight.runtime.cpu.execution import CpuEngine
from rushlight.runtime.cpu.params import families
from rushlight.runtime.explain import IDLE, REFERENCE, Explanation, StepReport, explain
from rushlight.runtime.lower import reasons
from rushlight.runtime.ops import OpDef, registry
from rushlight.runtime.plan import Plan, ReferenceStep
from rushlight.runtime.plan.prepare import prepare


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    """Of a network with a convolution of every kind, a decomposed operator and one without kernel."""
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N", 32, 24, 24))
    for kernel, options in (
        ((32, 32, 3, 3), {"padding": (1, 1, 1, 1)}),
        ((32, 32, 3, 3), {"padding": (1, 1, 1, 1), "stride": (2, 2)}),
        ((32, 1, 3, 3), {"padding": (1, 1, 1, 1), "groups": 32}),
        ((32, 32, 1, 1), {}),
        ((32, 2, 3, 3), {"padding": (1, 1, 1, 1), "groups": 16}),
    ):
        x = builder.conv2d(x, weights(*kernel), **options)
    builder.output("means", builder.adaptive_avg_pool2d(x, output_size=(1, 1)))
    flat = builder.reshape(x, shape=(x.shape[0], 32, 144))
    product = builder.matmul(flat, builder.sigmoid(builder.permute(flat, dims=(0, 2, 1))))
    builder.output("linear", builder.linear(product, weights(16, 32)))
    builder.output("lower", builder.tril(product))
    return explain(rl.load(builder.build(), threads=1), {"x": weights(2, 32, 24, 24)})


@pytest.fixture(scope="module")
def steps(explanation: Explanation) -> list[StepReport]:
    return explanation.steps


def test_every_step_has_a_reason(steps: list[StepReport]) -> None:
    expected = [
        ("conv2d", "3x3 convolution, stride 1: Winograd F(4x4) takes 25% of the multiplications"),
        ("conv2d", "3x3 convolution by its taps, direct: Winograd's method needs stride and dilation 1"),
        ("conv2d", "a filter for every channel: no product to make of it"),
        ("conv2d", "1x1 convolution: one product over all pixels"),
        ("conv2d", "3x3 convolution by its taps, 16 groups, direct: Winograd's transforms and weights would cost more"),
        ("mean", "part of adaptive_avg_pool2d, which has no kernel; "),
        ("matmul", "the right matrix is made in this run: packed for the product that follows"),
        ("matmul", "product of matrices, the right one packed in every run"),
        ("linear", "product with weights packed at load"),
        ("tril", "no kernel (float32, float32), nothing to decompose it into"),
    ]
    for operator, beginning in expected:
        assert [step for step in steps if step.operator == operator and step.reason.startswith(beginning)], beginning
    assert all(step.reason for step in steps)


@pytest.mark.parametrize("op", registry().values(), ids=list(registry()))
def test_every_operator_has_reasons(op: OpDef) -> None:
    """With its first input given and the others constant, and with all given."""
    engine = CpuEngine(1, best_isa())
    for case in list(op.cases())[:8]:
        for given in {1, len(case.inputs)}:
            builder = rl.GraphBuilder()
            values = [
                builder.input(f"x{index}", array.dtype, array.shape) if array is not None and index < given else array
                for index, array in enumerate(case.inputs)
            ]
            for index, value in enumerate(builder.add_node(op.name, values, case.attrs)):
                builder.output(f"y{index}", value)
            for step in Plan(prepare(builder.graph, engine.backend), engine.backend).steps:
                assert step.reason if isinstance(step, ReferenceStep) else engine.reason(step)


def check(found: Explanation) -> None:
    """Every node has a kernel, a tile where its family has some, a share of a bound, and a reason."""
    kernels = {row.symbol: (name, row) for name, family in families().items() for row in family.rows}
    for step in found.steps:
        assert step.reason
        if step.kernel == REFERENCE:
            assert (step.tile, step.share, step.bound) == ("", 0, "")
            continue
        family, row = kernels[step.kernel]
        assert f"{row.isa} has the best {row.types} row" in step.reason
        assert step.share > 0
        if family in CHOOSING:
            height, width = map(int, step.tile.split("x"))
            assert 0 < height <= max(row.mr, 12)
            assert 0 < width <= row.nr + 16
        else:
            assert step.tile == (f"{row.mr}x{row.nr}" if row.mr * row.nr > 1 else "")
        is_bound_by_peak = family in ("gemm", "winograd", "depthwise", "attention", "rnn")
        assert step.bound in (("f32 peak", "int8 peak") if is_bound_by_peak else ("cache", "memory"))
    for node in found.idle:
        assert (node.kernel, node.tile, node.nanoseconds) == (IDLE, "", 0)
        assert node.reason


CHOOSING = ("gemm", "winograd", "depthwise")
"""Families with tiles that depend on the call."""

NETWORKS: dict[str, tuple[Callable[[], torch.nn.Module], str, tuple[int, ...]]] = {
    "unet": (lambda: networks.UNet((32, 64), 5), "image", (3, 44, 36)),
    "detector": (lambda: networks.Detector(8, 11), "image", (3, 64, 96)),
    "recurrent": (lambda: networks.Recurrent(24, 40, 7), "sequence", (19, 24)),
}


@pytest.mark.parametrize("precision", ["float", "int8"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_node_of_a_network_is_explained(network: str, precision: str) -> None:
    make, name, shape = NETWORKS[network]
    torch.manual_seed(0)
    program = rl.export(make().eval(), (torch.zeros(1, *shape),), dynamic={name: {0: "N"}})
    x = weights(2, *shape)
    if precision == "int8":
        program = rl.quantize(program, {name: x})
    model = rl.load(program, threads=1)
    found = explain(model, {name: x})
    check(found)
    computed = {id(step.node) for step in model.main.plan.steps}
    assert len(found.idle) == sum(id(node) not in computed for node in model.main.plan.graph.nodes)


def test_kernels_tell_tile_and_share(explanation: Explanation) -> None:
    check(explanation)
    tiles = {step.tile for step in explanation.steps}
    assert len(tiles) > 3


def test_the_tile_is_that_of_the_sizes() -> None:
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N", 64))
    builder.output("y", builder.linear(x, weights(32, 64)))
    model = rl.load(builder.build(), threads=1)
    tiles = [explain(model, {"x": weights(rows, 64)}).steps[0].tile for rows in (1, 2, 240)]
    heights = [int(tile.split("x")[0]) for tile in tiles]
    assert heights[:2] == [1, 2] or best_isa() == "generic"
    assert heights[2] >= 2


def test_reasons_are_of_families_that_there_are() -> None:
    assert set(reasons._FAMILIES) == set(families())


def test_bytes_beyond_the_cache_are_held_against_memory() -> None:
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N",))
    builder.output("y", builder.exp(x))
    model = rl.load(builder.build(), threads=1)
    bounds = [explain(model, {"x": weights(size)}).steps[0].bound for size in (1000, 1 << 24)]
    assert bounds == ["cache", "memory"]


def test_peaks_are_of_the_instruction_sets_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them differ much: no noise hides that."""
    builder = rl.GraphBuilder()
    builder.output("y", builder.exp(builder.input("x", np.float32, (8,))))
    monkeypatch.setenv("RUSHLIGHT_FORCE_ISA", "generic")
    found = explain(rl.load(builder.build(), threads=1), {"x": weights(8)})
    flops, ops, _, cache = _core.measure_peaks(1)
    assert flops > 1.5 * found.peaks.f32_flops
    assert ops > 1.5 * found.peaks.int8_ops
    assert cache > 1.2 * found.peaks.cache_bytes


def test_peaks_need_instruction_sets_that_there_are() -> None:
    with pytest.raises(ValueError, match="this CPU lacks sse9"):
        _core.measure_peaks(1, ["generic", "sse9"])


def test_a_concatenation_counts_every_part_once() -> None:
    builder = rl.GraphBuilder()
    parts = [builder.input(name, np.float32, ("N", 4096)) for name in ("a", "b", "c")]
    builder.output("y", builder.concat(*(builder.exp(part) for part in parts), dim=1))
    found = explain(rl.load(builder.build(), threads=1), {name: weights(8, 4096) for name in ("a", "b", "c")})
    moved = sum(step.share * step.nanoseconds * found.peaks.cache_bytes / 1e9 for step in found.steps)
    copies = sum(step.operator == "concat" for step in found.steps)
    assert moved == pytest.approx((6 + 2 * copies) * 8 * 4096 * 4)
