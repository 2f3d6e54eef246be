"""Models with weights of 16 bits, from PyTorch and ONNX: they export, stay small, and answer as their source does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import rushlight as rl
from rushlight.cli.main import main
from rushlight.exporter.check import TOLERANCES, check, difference
from rushlight.exporter.onnx.model import to_array
from rushlight.exporter.source import as_array, open_source
from rushlight.runtime.ir import Half
from rushlight.runtime.plan import ReferenceStep
from rushlight.runtime.program import Program

HALVES = (torch.float16, torch.bfloat16)
short = {"ids": lambda dtype: str(dtype).removeprefix("torch.")}


class Words(nn.Module):
    """Embeddings, recurrences, attention, a norm, and layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 32)
        self.rnn = nn.LSTM(32, 16, bidirectional=True, batch_first=True)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.head = nn.Linear(32, 7)

    def forward(self, ids: Any) -> Any:
        return self.head(self.block(self.rnn(self.table(ids))[0])).softmax(-1)


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU(),
            nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 24, 1), nn.ConvTranspose2d(24, 8, 2, 2),
        )  # fmt: skip
        for part in self.body:
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.running_var, 0.5, 2)
                nn.init.normal_(part.running_mean)

    def forward(self, x: Any) -> Any:
        return self.body(x)


class Mixed(nn.Module):
    """float32 arithmetic on weights of 16 bits."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 32).to(dtype)
        self.weight = nn.Parameter(torch.randn(64, 32).to(dtype))
        self.kernel = nn.Parameter(torch.randn(8, 1, 3).to(dtype))

    def forward(self, ids: Any) -> Any:
        y = nn.functional.linear(self.table(ids).float(), self.weight.float()).tanh()
        return nn.functional.conv1d(y.flatten(1)[:, None], self.kernel.float())


def exported(module: nn.Module, inputs: Any, path: Path) -> tuple[Program, Any]:
    """The program, checked against PyTorch and saved, and its model."""
    source = open_source(module.eval(), inputs, {})
    check(source)
    program = source.program()
    program.save(path)
    model = rl.load(path, threads=1)
    assert not [step for step in model.main.plan.steps if isinstance(step, ReferenceStep)]
    return program, model


def sizes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


@pytest.mark.parametrize("dtype", HALVES, **short)
@pytest.mark.parametrize("kind", [Words, Images])
def test_whole_modules(kind: type[nn.Module], dtype: torch.dtype, tmp_path: Path) -> None:
    """Every weight stays in 16 bits, and the answers are nearer to float64's than PyTorch's own."""
    torch.manual_seed(1)
    module = kind().to(dtype)
    inputs: Any = torch.arange(24).reshape(2, 12) * 4 if kind is Words else torch.randn(2, 3, 17, 16).to(dtype)
    program, model = exported(module, (inputs,), tmp_path / "m.rush")
    for value in program.graph.constants():
        assert isinstance(value.stored, Half) or value.type.size <= 256, value  # type: ignore[operator]
    given = model(as_array(inputs))
    assert given.dtype == (np.float16 if dtype == torch.float16 else np.float32)
    with torch.no_grad():
        theirs = module(inputs).float().numpy()
        truth = module.double()(inputs if kind is Words else inputs.double()).numpy()
    ours = difference(given.astype(np.float64), truth)
    assert ours < (1e-3 if dtype == torch.float16 else 1e-5)
    assert ours < difference(theirs.astype(np.float64), truth)


@pytest.mark.parametrize("dtype", HALVES, **short)
def test_weights_alone(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.manual_seed(2)
    module = Mixed(dtype)
    ids = torch.arange(20).reshape(4, 5)
    program, model = exported(module, (ids,), tmp_path / "m.rush")
    assert sum(isinstance(value.stored, Half) for value in program.graph.constants()) == 3
    with torch.no_grad():
        np.testing.assert_allclose(model(ids.numpy()), module(ids).numpy(), rtol=1e-4, atol=1e-5)
    assert (tmp_path / "m.rush").stat().st_size < sizes(module) + 6000


def onnx_model(path: Path, elem_type: int, io_type: int, casts: bool) -> np.ndarray:
    """relu(x w) wᵀ: `casts` widens the weights before they are used, else the sums are in 16 bits too."""
    weight = np.random.default_rng(0).standard_normal((48, 64)).astype(np.float32) / 8
    if elem_type == TensorProto.FLOAT16:
        tensor = numpy_helper.from_array(weight.astype(np.float16), "w")
    else:
        tensor = helper.make_tensor("w", elem_type, weight.shape, weight.reshape(-1).tolist())
    compute = TensorProto.FLOAT if casts else elem_type
    nodes = [
        helper.make_node("Cast", ["w"], ["wc"], to=compute),
        helper.make_node("Cast", ["x"], ["xc"], to=compute),
        helper.make_node("MatMul", ["xc", "wc"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Transpose", ["wc"], ["wt"], perm=[1, 0]),
        helper.make_node("MatMul", ["r", "wt"], ["yc"]),
        helper.make_node("Cast", ["yc"], ["y"], to=io_type),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "g", [info("x", io_type, ["N", 48])], [info("y", io_type, ["N", 48])], [tensor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return numpy_helper.to_array(tensor).astype(np.float64)


@pytest.mark.parametrize("casts", [True, False], ids=["casts", "sums"])
@pytest.mark.parametrize("elem_type", [TensorProto.FLOAT16, TensorProto.BFLOAT16], ids=["float16", "bfloat16"])
def test_onnx(elem_type: int, casts: bool, tmp_path: Path) -> None:
    weight = onnx_model(tmp_path / "m.onnx", elem_type, TensorProto.FLOAT, casts)
    source = open_source(tmp_path / "m.onnx", None, {})
    program = source.program()
    assert source.arithmetic == ("float32" if casts else {1: "", 10: "float16", 16: "bfloat16"}[elem_type])
    assert ("ReferenceEvaluator" in check(source).judge) == (source.arithmetic == "bfloat16")
    halves = [value for value in program.graph.constants() if isinstance(value.stored, Half)]
    assert len(halves) == 2
    x = np.random.default_rng(1).standard_normal((5, 48)).astype(np.float32)
    expected = np.maximum(x @ weight, 0) @ weight.T
    np.testing.assert_allclose(rl.load(program)(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("elem_type", [TensorProto.FLOAT16, TensorProto.BFLOAT16], ids=["float16", "bfloat16"])
def test_onnx_from_end_to_end(elem_type: int, tmp_path: Path) -> None:
    """Inputs and outputs of bfloat16 are float32: NumPy has no other dtype that holds them."""
    weight = onnx_model(tmp_path / "m.onnx", elem_type, elem_type, False)
    assert main(["export", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.rush")]) == 0
    model = rl.load(tmp_path / "m.rush")
    dtype = np.float16 if elem_type == TensorProto.FLOAT16 else np.float32
    assert model.inputs[0].dtype == model.outputs[0].dtype == dtype
    x = np.random.default_rng(1).standard_normal((5, 48)).astype(dtype)
    expected = np.maximum(x.astype(np.float64) @ weight, 0) @ weight.T
    np.testing.assert_allclose(model(x), expected, rtol=2**-10, atol=1e-4)


def test_bfloat16_that_onnx_has_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 1.19, onnx gives the bfloat16 of an initializer as float32."""
    tensor = helper.make_tensor("w", TensorProto.BFLOAT16, (2, 3), np.linspace(-2, 2, 6))
    wide = np.asarray(numpy_helper.to_array(tensor)).astype(np.float32)
    expected = to_array(tensor)
    monkeypatch.setattr(numpy_helper, "to_array", lambda _: wide)
    found = to_array(tensor)
    assert isinstance(expected, Half)
    assert isinstance(found, Half)
    np.testing.assert_array_equal(found.bits, expected.bits)


def test_tolerances_follow_the_arithmetic_of_the_source() -> None:
    module = nn.Linear(8, 8).to(torch.bfloat16)
    source = open_source(module, (torch.randn(2, 8).to(torch.bfloat16),), {})
    assert source.arithmetic == "bfloat16"
    assert TOLERANCES["float32"] < TOLERANCES["float16"] < TOLERANCES["bfloat16"]
    assert open_source(nn.Linear(8, 8), (torch.randn(2, 8),), {}).arithmetic == "float32"
