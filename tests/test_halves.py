"""Weights of 16 bits: widened exactly, multiplied in float32, kept in 16 bits in files and in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

import rushlight as rl
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.execution import CpuEngine
from rushlight.runtime.format import read_program
from rushlight.runtime.ir import HALVES, Computed, Graph, GraphBuilder, Half, Value, halve, verify
from rushlight.runtime.method import Method
from rushlight.runtime.packing import pack
from rushlight.runtime.passes import canonicalize
from rushlight.runtime.passes.halves import widen_halves
from rushlight.runtime.plan import KernelStep, ReferenceStep
from rushlight.runtime.program import Program

Array = Any
ISAS = _core.available_isas()


def weights(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / np.float32(shape[-1] ** 0.5)


def kernels(graph: Graph, isa: str) -> list[str]:
    return [s.row.symbol for s in Method(graph, CpuEngine(1, isa)).plan.steps if isinstance(s, KernelStep)]


# Numbers.


@pytest.mark.parametrize("format", HALVES)
def test_every_half_is_widened_exactly(format: str) -> None:
    bits = np.arange(1 << 16, dtype=np.uint16)
    half = Half(bits.view(np.float16) if format == "float16" else bits)
    expected = torch.from_numpy(bits).view(getattr(torch, format)).float().numpy()
    np.testing.assert_array_equal(half.read(), expected)
    assert (half.format, half.shape, half.dtype, half.nbytes) == (format, bits.shape, np.float32, 4 << 16)
    if format == "float16":
        assert np.abs(half.read()[1:0x400]).min() == 2.0**-24  # denormal halves are normal floats


@pytest.mark.parametrize("format", HALVES)
def test_rounding_is_pytorchs(format: str) -> None:
    rng = np.random.default_rng(1)
    floats = rng.integers(0, 1 << 32, 1 << 18, dtype=np.uint32)
    ties = (np.arange(1 << 16, dtype=np.uint32)[:, None] << 16) + np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], "u4")
    grid = (np.arange(1 << 18, dtype=np.uint32) << 12) + np.uint32(0x33000000)
    array = np.concatenate([floats, ties.reshape(-1), grid]).view(np.float32)
    with np.errstate(all="ignore"):
        given = halve(array, format).read()
        expected = torch.from_numpy(array).to(getattr(torch, format)).float().numpy()
    np.testing.assert_array_equal(given, expected)
    assert np.isnan(given[np.isnan(array)]).all()


def test_what_is_no_half_is_refused() -> None:
    with pytest.raises(TypeError, match="float16 or uint16, not float32"):
        Half(np.zeros(3, np.float32))


# Programs.


def network(make: Callable[[Array], Any]) -> Program:
    """Every operator that has weights: a table, layers, recurrences, convolutions of all kinds, products."""
    b = GraphBuilder()

    def weight(name: str, *shape: int) -> Value:
        return b.constant(make(weights(*shape, seed=len(name))), name)

    ids = b.input("ids", np.int64, ("N", 6))
    y = b.index_select(weight("table", 50, 24), ids, dim=0)
    start = b.expand(np.zeros((1, 1, 16), np.float32), shape=(1, y.shape[0], 16))
    inputs = (weight("lstm_ih", 1, 64, 24), weight("lstm_hhh", 1, 64, 16))
    y = b.add_node("lstm", [y, start, start, *inputs], {"batch_first": True})[0]
    y = b.linear(y, weight("dense", 40, 16), activation="gelu")
    y = b.matmul(y, weight("product", 40, 36))
    b.output("words", y)
    x = b.input("x", np.float32, ("N", 3, 12, 14))
    x = b.conv2d(x, weight("stem", 8, 3, 3, 3), padding=(1, 1, 1, 1), activation="relu")
    x = b.conv2d(x, weight("depthwise", 8, 1, 3, 3), padding=(1, 1, 1, 1), groups=8)
    x = b.conv2d(x, weight("pointwise", 32, 8, 1, 1))
    x = b.conv2d(x, weight("winograd!", 32, 32, 3, 3), padding=(1, 1, 1, 1))
    x = b.conv2d(x, weight("grouped", 24, 8, 3, 3), groups=4, stride=(2, 2))
    b.output("image", b.conv_transpose2d(x, weight("transposed", 24, 5, 2, 2), stride=(2, 2)))
    b.output("moved", b.add(b.mul(x, weight("scale", 1, 24, 1, 1)), weight("map", 24, 5, 6)))
    program: Program = b.build()
    return program


def sample(batch: int) -> dict[str, Array]:
    rng = np.random.default_rng(batch)
    image = rng.standard_normal((batch, 3, 12, 14)).astype(np.float32)
    return {"ids": rng.integers(-50, 50, (batch, 6)), "x": image}


@pytest.mark.parametrize("format", HALVES)
def test_bits_are_those_of_float32_weights(format: str) -> None:
    halved = network(lambda array: halve(array, format))
    widened = network(lambda array: halve(array, format).read())
    expected = {batch: Method(widened.graph, CpuEngine(1, ISAS[0])).run(sample(batch)) for batch in (1, 5)}
    for isa in ISAS:
        method = Method(halved.graph, CpuEngine(2, isa))
        assert not [s for s in method.plan.steps if isinstance(s, ReferenceStep)]
        for batch, outputs in expected.items():
            for name, array in method.run(sample(batch)).items():
                np.testing.assert_array_equal(array.view(np.int32), outputs[name].view(np.int32), f"{isa} {name}")


@pytest.mark.parametrize("format", HALVES)
def test_files_keep_the_bits(format: str, tmp_path: Path) -> None:
    path, again = tmp_path / "m.rush", tmp_path / "again.rush"
    program = network(lambda array: halve(array, format))
    program.save(path)
    opened = rl.open(path)
    for given, wanted in zip(opened.graph.constants(), program.graph.constants(), strict=True):
        assert isinstance(given.stored, Half) == isinstance(wanted.stored, Half)
        if isinstance(given.stored, Half) and isinstance(wanted.stored, Half):
            assert given.stored.format == format
            np.testing.assert_array_equal(given.stored.bits.view(np.uint16), wanted.stored.bits.view(np.uint16))
    read_program(path, verify=True).save(again)
    assert again.read_bytes() == path.read_bytes()
    with safe_open(path, framework="pt") as file:
        tensor = file.get_tensor("dense")
        assert tensor.dtype == getattr(torch, format)
    np.testing.assert_array_equal(tensor.float().numpy(), halve(weights(40, 16, seed=5), format).read())
    assert format in str(opened)


@pytest.mark.parametrize("format", HALVES)
def test_packed_files_hold_16_bits_too(format: str, tmp_path: Path) -> None:
    path = tmp_path / "m.rush"
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 256))
    b.output("y", b.linear(x, b.constant(halve(weights(512, 256), format), "w")))
    program: Program = b.build()
    pack(program, ISAS).save(path)
    assert path.stat().st_size < (1 + len(ISAS)) * 512 * 256 * 2 + 50_000
    data = weights(3, 256, seed=2)
    np.testing.assert_array_equal(rl.load(path)(data), rl.load(program)(data))


@pytest.mark.parametrize("format", HALVES)
def test_loading_makes_no_float32_copy_of_the_program(format: str, tmp_path: Path) -> None:
    path = tmp_path / "m.rush"
    b = GraphBuilder()
    y = b.input("x", np.float32, ("N", 1024))
    for index in range(24):
        y = b.linear(y, b.constant(halve(weights(1024, 1024, seed=index), format), f"w{index}"))
    table = b.constant(halve(weights(16384, 1024), format), "table")
    b.output("y", b.add(y, b.index_select(table, b.input("ids", np.int64, ("N",)), dim=0)))
    program: Program = b.build()
    program.save(path)
    script = (
        "import resource, sys, numpy as np, rushlight as rl\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "rl.load(rl.open(sys.argv[2])); before = peak()\n"
        "model = rl.load(sys.argv[1], threads=1)\n"
        "model(np.zeros((2, 1024), np.float32), np.zeros(2, np.int64)); print(peak() - before)\n"
    )
    small = GraphBuilder()
    small.output("y", small.relu(small.input("x", np.float32, (3,))))
    small.build().save(tmp_path / "small.rush")
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "small.rush")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 24 * 2**20 * 2 * 1.5  # what is packed, with some room; the table stays in the file


# float16 as a type.


def half_graph() -> Graph:
    b = GraphBuilder()
    x = b.input("x", np.float16, ("N", 16))
    w = b.constant(weights(16, 16).astype(np.float16), "w")
    y = b.softmax(b.linear(b.cast(b.cast(x, dtype="float32"), dtype="float16"), w), dim=-1)
    b.output("y", y)
    b.output("positive", b.gt(y, np.float16(0.05)))
    b.output("w", w)
    b.output("x", x)
    return b.graph


def test_float16_graphs_compute_in_float32() -> None:
    graph = half_graph()
    types = [value.type for value in graph.inputs], [(name, value.type) for name, value in graph.outputs]
    before = Program({"forward": graph.clone()})
    assert widen_halves(graph)
    verify(graph)
    assert types == ([value.type for value in graph.inputs], [(name, value.type) for name, value in graph.outputs])
    inner = [node for node in graph.nodes if node.op.name in ("linear", "softmax", "gt")]
    assert len(inner) == 3
    assert all(value.dtype == np.float32 for node in inner for value in node.inputs if value is not None)
    canonicalize(graph)
    assert [node.op.name for node in graph.nodes if node.op.name == "cast"] == ["cast"] * 2
    assert not canonicalize(graph)
    x = weights(5, 16, seed=3).astype(np.float16)
    product = x.astype(np.float64) @ weights(16, 16).astype(np.float16).astype(np.float64).T
    share = np.exp(product) / np.exp(product).sum(-1, keepdims=True)
    for isa in ISAS:
        given = Method(before.graph, CpuEngine(1, isa)).run({"x": x})
        assert given["y"].dtype == np.float16
        np.testing.assert_allclose(given["y"], share, rtol=2**-11)
        np.testing.assert_array_equal(given["x"], x)
        np.testing.assert_array_equal(given["w"], weights(16, 16).astype(np.float16))
        assert not any("cast_f16" in k for k in kernels(before.graph, isa)[1:-2])


def test_bodies_of_control_flow_are_widened() -> None:
    bodies = {}
    for name, op in (("then", "relu"), ("otherwise", "neg")):
        b = GraphBuilder()
        x = b.input("x", np.float16, (2, 3))
        b.output("y", getattr(b, op)(b.add(x, np.full((2, 3), 0.1, np.float16))))
        b.output("c", b.constant(np.ones(2, np.float16)))
        bodies[name] = b.graph
    b = GraphBuilder()
    predicate, x = b.input("p", bool, ()), b.input("x", np.float16, (2, 3))
    for name, value in zip("yc", b.add_node("cond", [predicate, x], bodies), strict=True):
        b.output(name, value)
    program: Program = b.build()
    model = rl.load(program)
    data = np.array([[1, -1, 0.5], [2, 3, -7]], np.float16)
    for choice in (True, False):
        given = model.run({"p": np.array(choice), "x": data})
        wide = data.astype(np.float32) + np.float32(np.float16(0.1))
        expected = (np.maximum(wide, 0) if choice else -wide).astype(np.float16)
        np.testing.assert_array_equal(given["y"], expected)
        np.testing.assert_array_equal(given["c"], np.ones(2, np.float16))


def test_results_do_not_overflow_where_float16_would() -> None:
    b = GraphBuilder()
    x = b.input("x", np.float16, (4,))
    b.output("y", b.div(b.mul(x, np.float16(60000)), np.float16(60000)))
    b.output("z", b.mul(x, np.float16(60000)))
    program: Program = b.build()
    data = np.array([2, -3, 60000, np.inf], np.float16)
    y, z = rl.load(program)(data)
    np.testing.assert_array_equal(y, data)
    np.testing.assert_array_equal(z, np.array([np.inf, -np.inf, np.inf, np.inf], np.float16))


# Channels' factors.


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
@pytest.mark.parametrize("format", HALVES)
def test_batch_norms_are_folded_while_packing(op: str, format: str) -> None:
    """A saved graph keeps 16 bits and the factors apart; a loaded one multiplies layer by layer."""
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 6, 9, 9))
    weight = b.constant(halve(weights(6, 6, 3, 3), format), "w")
    y = getattr(b, op)(x, weight, weights(6, seed=1))
    rng = np.random.default_rng(5)
    parameters = [rng.uniform(0.5, 2, 6).astype(np.float32) for _ in range(4)]
    b.output("y", b.relu(b.batch_norm(y, *parameters)))
    program: Program = b.build()
    canonicalize(program.graph)
    (stored,) = [value.stored for value in program.graph.constants() if isinstance(value.stored, Half)]
    assert stored.format == format
    method = Method(program.graph, CpuEngine(1, ISAS[-1]))
    steps = [s for s in method.plan.steps if isinstance(s, KernelStep) and s.compute]
    assert len(steps) == 1 or op != "conv2d"
    x_data = weights(2, 6, 9, 9, seed=9)
    layer = torch.nn.functional.conv2d if op == "conv2d" else torch.nn.functional.conv_transpose2d
    mean, var, gain, shift = map(torch.from_numpy, parameters)
    y = layer(torch.from_numpy(x_data), torch.from_numpy(stored.read()), torch.from_numpy(weights(6, seed=1)))
    wanted = torch.relu(torch.nn.functional.batch_norm(y, mean, var, gain, shift))
    np.testing.assert_allclose(method.run({"x": x_data})["y"], wanted, rtol=1e-5, atol=1e-5)


def test_computed_constants_keep_nothing() -> None:
    half = halve(weights(3, 4), "float16")
    twice = Computed(half, lambda: half.read() * 2)
    np.testing.assert_array_equal(twice.read(), half.read() * 2)
    assert twice.read() is not twice.read()
    assert (twice.shape, twice.dtype, twice.nbytes, twice.ndim, twice.size) == ((3, 4), np.float32, 48, 2, 12)


def test_halves_that_nothing_is_read_for(tmp_path: Path) -> None:
    """A node without inputs is the first of the graph that gives float16."""
    b = GraphBuilder()
    x = b.input("x", np.float32, ("n", 4))
    filled = b.full(shape=(x.shape[0], 4), value=1.5, dtype="float16")
    b.output("y", b.add(x, b.cast(filled, dtype="float32")))
    Program({"forward": b.graph}).save(tmp_path / "m.rush")
    given = weights(3, 4)
    np.testing.assert_array_equal(rl.load(tmp_path / "m.rush")(given), given + np.float32(1.5))


def test_bodies_within_bodies_take_what_they_are_given() -> None:
    """The inner one reads float16 and gives float32."""

    def branch(factor: float) -> Graph:
        inner = GraphBuilder()
        inner.output("o", inner.mul(inner.cast(inner.input("i", np.float16, (3,)), dtype="float32"), factor))
        return inner.graph

    outer = GraphBuilder()
    i = outer.input("i", np.float16, (3,))
    outer.output("o", outer.cond(outer.input("flag", np.bool_, ()), i, then=branch(2.0), otherwise=branch(0.5)))
    b = GraphBuilder()
    x, flag = b.input("x", np.float16, (3,)), b.input("flag", np.bool_, ())
    doubled = b.add(x, x)
    b.output("y", b.cond(flag, doubled, flag, then=outer.graph, otherwise=outer.graph.clone()))
    assert canonicalize(b.graph)
    verify(b.graph)
    given = np.array([1, 2, 3], np.float16)
    for chosen, factor in ((True, 4), (False, 1)):
        got = Method(b.graph, CpuEngine(1, "generic")).run({"x": given, "flag": np.array(chosen)})["y"]
        np.testing.assert_array_equal(got, given.astype(np.float32) * factor)


def test_bodies_that_compute_in_halves_by_themselves() -> None:
    """Their inputs and outputs are float32; the square of 300 is beyond float16."""
    body = GraphBuilder()
    narrow = body.cast(body.input("i", np.float32, (3,)), dtype="float16")
    body.output("o", body.cast(body.mul(narrow, narrow), dtype="float32"))
    b = GraphBuilder()
    x, flag = b.input("x", np.float32, (3,)), b.input("flag", np.bool_, ())
    b.output("y", b.cond(flag, x, then=body.graph, otherwise=body.graph.clone()))
    assert canonicalize(b.graph)
    verify(b.graph)
    assert not canonicalize(b.graph)
    given = np.array([1, -2, 300], np.float32)
    got = Method(b.graph, CpuEngine(1, "generic")).run({"x": given, "flag": np.array(True)})["y"]
    np.testing.assert_array_equal(got, given * given)
