"""Concatenations and slices that copy nothing: same bits as with copies, and no copy where none is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.runtime.cpu.backend import CpuBackend
from rushlight.runtime.ir import GraphBuilder, Value
from rushlight.runtime.plan import KernelStep, lowering
from rushlight.runtime.program import Program
from rushlight.runtime.reference import run_reference

RNG = np.random.default_rng


def conv(b: GraphBuilder, x: Value, channels: int, rng: np.random.Generator, kernel: int = 1, **attrs: Any) -> Value:
    groups = attrs.get("groups", 1)
    weight = rng.standard_normal((channels, int(x.shape[1]) // groups, kernel, kernel)).astype(np.float32) / 4
    pads = (kernel // 2,) * 4
    out: Value = b.conv2d(x, b.constant(weight), None, None, stride=(1, 1), padding=pads, dilation=(1, 1), **attrs)
    return out


def copies(model: rl.Model) -> list[str]:
    """Operators whose steps move elements, layout changes of the model's inputs and outputs left out."""
    steps = [step for step in model.main.plan.steps if isinstance(step, KernelStep)]
    return [step.node.op.name for step in steps if step.family == "move" and step.node.op.name != "permute"]


def check(program: Program, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...] = (1, 3)) -> rl.Model:
    """The model, whose results were compared with those of a plan in which every value is dense."""
    model = rl.load(program, threads=2)
    with monkeypatch.context() as patch:
        patch.setattr(lowering, "place_rows", lambda *_: {})
        dense = rl.load(program, threads=1)
    for n in sizes:
        x = RNG(n).standard_normal((n, *map(int, model.inputs[0].shape[1:]))).astype(np.float32)
        for _ in range(2):
            for left, right in zip(model.run({"x": x}).values(), dense.run({"x": x}).values(), strict=True):
                np.testing.assert_array_equal(left, right)
    return model


def test_dense_block_grows_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    b, rng = GraphBuilder(), RNG(0)
    features = [conv(b, b.input("x", "float32", ["N", 3, 9, 7]), 16, rng)]
    for _ in range(4):
        joined = b.concat(*features, dim=1) if len(features) > 1 else features[0]
        scaled = b.relu(b.mul(joined, b.constant(rng.standard_normal((1, joined.shape[1], 1, 1)).astype(np.float32))))
        features.append(conv(b, conv(b, scaled, 24, rng), 5, rng, 3))
    b.output("y", b.concat(*features, dim=1))
    model = check(b.build(), monkeypatch)
    assert copies(model) == []


def test_split_block_reads_slices_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    b, rng = GraphBuilder(), RNG(1)
    entered = conv(b, b.input("x", "float32", ["N", 4, 6, 5]), 32, rng)
    left, right = (b.slice(entered, axes=(1,), starts=(s,), ends=(s + 16,), steps=(1,)) for s in (0, 16))
    inner = b.relu(conv(b, right, 16, rng, 3))
    deep = b.relu(
        conv(b, b.max_pool2d(inner, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)), 16, rng, 3, groups=16)
    )
    joined = b.concat(left, right, inner, deep, dim=1)
    b.output("y", b.add(conv(b, joined, 16, rng), right))
    model = check(b.build(), monkeypatch)
    assert copies(model) == []


def test_transposed_convolution_moves_apart_into_the_concatenation(monkeypatch: pytest.MonkeyPatch) -> None:
    b, rng = GraphBuilder(), RNG(4)
    skip = conv(b, b.input("x", "float32", ["N", 3, 6, 8]), 12, rng)
    low = b.max_pool2d(skip, kernel_size=(2, 2), stride=(2, 2), padding=(0, 0, 0, 0))
    weight = b.constant(rng.standard_normal((12, 20, 2, 2)).astype(np.float32))
    grown = b.conv_transpose2d(low, weight, None, stride=(2, 2))
    b.output("y", conv(b, b.concat(skip, grown, dim=1), 8, rng, 3))
    model = check(b.build(), monkeypatch)
    assert copies(model) == []


@pytest.mark.parametrize("case", ["output", "twice", "narrow", "input", "unary", "other axis", "two homes"])
def test_what_cannot_lie_inside_is_copied(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    b, rng = GraphBuilder(), RNG(2)
    x = b.input("x", "float32", ["N", 8, 4, 4])
    first, second = conv(b, x, 8, rng), conv(b, x, 1 if case == "narrow" else 8, rng)
    parts = {"twice": [first, first, second], "input": [x, first]}.get(case, [first, second])
    joined = b.concat(*parts, dim=2 if case == "other axis" else 1)
    b.output("y", conv(b, joined, 8, rng))
    if case == "output":
        b.output("first", first)
    if case == "unary":
        b.output("sine", b.sin(first))
    if case == "two homes":
        b.output("z", conv(b, b.concat(second, first, dim=1), 8, rng))
    model = check(b.build(), monkeypatch)
    assert ("concat" in copies(model)) == (case not in ("output", "input")), "their layout changes copy them anyway"


def random_graph(seed: int) -> Program:
    """Convolutions, pools, sums, slices and concatenations of earlier results, some of them outputs."""
    b, rng = GraphBuilder(), RNG(seed)
    values = [conv(b, b.input("x", "float32", ["N", 3, 5, 4]), 12, rng)]
    for _ in range(int(rng.integers(6, 18))):
        x = values[int(rng.integers(len(values)))]
        channels = int(x.shape[1])
        kind = rng.choice(["conv", "depthwise", "pool", "concat", "concat", "slice", "add", "relu", "reshape"])
        if kind == "conv":
            values.append(conv(b, x, int(rng.integers(1, 20)), rng, int(rng.choice([1, 3]))))
        elif kind == "depthwise":
            values.append(conv(b, x, channels, rng, 3, groups=channels))
        elif kind == "pool":
            values.append(b.avg_pool2d(x, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1)))
        elif kind == "concat":
            chosen = [values[int(i)] for i in rng.integers(0, len(values), int(rng.integers(2, 5)))]
            if sum(int(v.shape[1]) for v in chosen) < 200:
                values.append(b.concat(*chosen, dim=1))
        elif kind == "slice" and channels > 2:
            start, stop = sorted(int(i) for i in rng.choice(channels + 1, 2, replace=False))
            values.append(b.slice(x, axes=(1,), starts=(start,), ends=(stop,), steps=(1,)))
        elif kind == "add":
            same = [v for v in values if v.shape == x.shape]
            values.append(b.add(x, same[int(rng.integers(len(same)))]))
        elif kind == "relu":
            values.append(b.relu(x))
        elif kind == "reshape":
            values.append(b.reshape(b.reshape(x, shape=(x.shape[0], channels, 20)), shape=x.shape))
    b.output("last", values[-1])
    b.output("some", values[int(rng.integers(len(values)))])
    return b.build()


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    program = random_graph(seed)
    model = check(program, monkeypatch, (2,))
    x = RNG(2).standard_normal((2, 3, 5, 4)).astype(np.float32)
    expected = run_reference(program.method("forward"), {"x": x})
    for name, value in model.run({"x": x}).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-4)


def test_a_rule_that_ignores_where_values_lie_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    b, rng = GraphBuilder(), RNG(3)
    x = b.input("x", "float32", ["N", 4, 4, 4])
    first = conv(b, x, 4, rng)
    b.output("y", b.concat(first, conv(b, x, 4, rng), dim=1))
    b.output("z", b.sin(first))
    monkeypatch.setattr(CpuBackend, "reads_rows", lambda *_: True)
    with pytest.raises(RuntimeError, match="sin takes dense values only"):
        rl.load(b.build())
