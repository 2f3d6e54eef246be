"""`rushlight export` from the command line, and the check that it makes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.cli import main
from rushlight.exporter.check import check, difference, random_inputs, resized, tolerance
from rushlight.exporter.command import parse_dynamic, parse_inputs
from rushlight.runtime.ops import Array

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)
        self.drop = nn.Dropout(0.5)

    def forward(self, image):
        return self.drop(self.head(self.norm(self.conv(image)).relu().mean((2, 3))))

def make():
    return Net()

def make_with_inputs():
    return Net(), (torch.randn(1, 3, 8, 8),)

def fail():
    raise RuntimeError("no weights")

number = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exported_net.py").write_text(NET)
    monkeypatch.delitem(sys.modules, "exported_net", raising=False)
    return tmp_path


def onnx_file(path: Path, weight: Array | None = None) -> Path:
    helper = onnx.helper
    weight = np.eye(4, 2, dtype=np.float32) if weight is None else weight
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Relu", ["m"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4])],
        [helper.make_empty_tensor_value_info("y")],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def test_module_from_a_function(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "exported_net:make", "-o", "m.rush", "--input", "image:float32:N,3,8,8"]) == 0
    output = capsys.readouterr().out
    assert f"PyTorch {torch.__version__}" in output
    assert "image float32[2, 3, 8, 8]" in output
    assert "image float32[3, 3, 8, 8]" in output
    assert "largest error" in output
    program = rl.open("m.rush")
    assert str(program.graph.inputs[0].type) == "float32[N, 3, 8, 8]"
    assert "agrees" in program.provenance["check"]
    x = np.random.default_rng(0).standard_normal((5, 3, 8, 8)).astype(np.float32)
    net = sys.modules["exported_net"].make().eval()
    np.testing.assert_allclose(rl.load(program)(x), net(torch.from_numpy(x)).detach(), 1e-4, 1e-5)


def test_example_inputs_of_the_function(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["export", "exported_net:make_with_inputs", "-o", "m.rush", "--dynamic", "image:0=N"]
    assert main(command) == 0
    assert "image float32[1, 3, 8, 8]" in capsys.readouterr().out


def test_onnx_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    onnx_file(folder / "m.onnx")
    assert main(["export", "m.onnx", "-o", "m.rush"]) == 0
    output = capsys.readouterr().out
    assert "ONNX Runtime" in output
    assert "x float32[1, 4] and on x float32[2, 4]" in output
    assert main(["export", "m.onnx", "-o", "n.rush", "--no-check"]) == 0
    assert "agrees" not in capsys.readouterr().out
    assert "check" not in rl.open("n.rush").provenance


def test_without_onnx_runtime(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx_file(folder / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setenv("PYTHONPATH", str(Path(rl.__file__).parents[1]))
    assert main(["export", "m.onnx", "-o", "m.rush"]) == 0
    assert "ReferenceEvaluator on x float32[1, 4]" in capsys.readouterr().out


def test_slow_judge_is_given_up(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx_file(folder / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("rushlight.exporter.onnx.source.EVALUATOR_SECONDS", 0.01)
    assert main(["export", "m.onnx", "-o", "m.rush"]) == 0
    assert "not compared: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.onnx"], "missing.onnx: no such file"),
        (["model.pt2"], "read are .onnx files"),
        (["model.pt"], "read are .onnx files"),
        (["exported_net:nothing"], "has no 'nothing'"),
        (["exported_net:number"], "is not a function"),
        (["exported_net:fail"], "raised RuntimeError: no weights"),
        (["absent_module:make"], "no Python module 'absent_module'"),
        (["exported_net:make"], "needs example inputs"),
        (["exported_net:make", "--input", "image:float32"], "write NAME:DTYPE:SHAPE"),
        (["exported_net:make", "--input", "image:text:1,3"], "write NAME:DTYPE:SHAPE"),
        (["exported_net:make", "--input", "x:float32:1,3"], "do not fit forward"),
        (["exported_net:make_with_inputs", "--dynamic", "image=N"], "write NAME:AXIS=SYMBOL"),
        (["exported_net:make_with_inputs", "--dynamic", "image:0=a b"], "write NAME:AXIS=SYMBOL"),
    ],
)
def test_errors(folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert main(["export", *arguments, "-o", "m.rush"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not (folder / "m.rush").exists()


def test_missing_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx_file(folder / "m.onnx")
    assert main(["export", "m.onnx", "-o", "nowhere/m.rush"]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_wrong_answers_leave_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    from rushlight.exporter.onnx import source

    onnx_file(folder / "m.onnx")
    import_model = source.import_model

    def wrong(*args: Any) -> Any:
        graph, notes = import_model(*args)
        for value in graph.constants():
            value.stored = value.data * np.float32(1.01)
        return graph, notes

    monkeypatch.setattr(source, "import_model", wrong)
    assert main(["export", "m.onnx", "-o", "m.rush"]) == 2
    assert "differs from ONNX Runtime" in capsys.readouterr().err
    assert not (folder / "m.rush").exists()
    assert main(["export", "m.onnx", "-o", "m.rush", "--no-check"]) == 0


class Shifted:
    """A source whose answers are its program's, changed by `change`."""

    judge_name = "a judge"
    arithmetic = "float32"

    def __init__(self, change: Any, dtype: Any = np.float32) -> None:
        b = rl.GraphBuilder()
        b.output("y", b.relu(b.input("x", dtype, ("N", 4))))
        self._program = b.build()
        self._change = change
        self.notes: list[str] = []

    def program(self) -> rl.Program:
        return self._program

    def examples(self) -> None:
        return None

    def judge(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {"y": self._change(np.maximum(arrays["x"], 0))}


def test_check_reports_the_error() -> None:
    report = check(Shifted(lambda y: y * np.float32(1 + 1e-5)))
    assert 5e-6 < report.error < 2e-5
    assert len(report.inputs) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y * np.float32(1.01),
        lambda y: y + np.where(np.arange(4) == 2, np.nan, 0).astype(np.float32),
        lambda y: y[:, :3],
        lambda y: y.astype(np.float64),
        lambda y: np.full_like(y, np.inf),
    ],
)
def test_check_refuses(change: Any) -> None:
    with pytest.raises(rl.RushlightError, match="differs from a judge"):
        check(Shifted(change))


def test_difference() -> None:
    assert difference(np.float32([1, 2]), np.float32([1, 4])) == 0.5
    assert difference(np.float32([np.inf, 1]), np.float32([np.inf, 1])) == 0
    assert difference(np.float32([np.inf, 1]), np.float32([-np.inf, 1])) == np.inf
    assert difference(np.zeros(0, np.float32), np.zeros(0, np.float32)) == 0
    assert difference(np.int64([1, 2]), np.int64([1, 3])) > tolerance(np.int64([1, 3])) == 0
    assert difference(np.uint8([200, 9]), np.uint8([199, 9])) <= tolerance(np.uint8([199, 9]))
    assert difference(np.uint8([201, 9]), np.uint8([199, 9])) > tolerance(np.uint8([199, 9]))


def test_sizes_of_made_up_and_resized_inputs() -> None:
    b = rl.GraphBuilder()
    b.input("x", np.float32, ("N", 3, "32*H"))
    b.input("ids", np.int64, ("N", "S"))
    graph = b.graph
    graph.symbols["S"] = type(graph.symbols["S"])(1, 40)
    arrays = random_inputs(graph, 64)
    assert {name: array.shape for name, array in arrays.items()} == {"x": (1, 3, 64), "ids": (1, 40)}
    assert {name: a.shape for name, a in resized(graph, arrays).items()} == {"x": (2, 3, 96), "ids": (2, 39)}


def test_parse() -> None:
    arrays, dynamic = parse_inputs(["a:b:float32:N,3", "m:bool:4", "s:int64:"])
    assert {name: (array.dtype.name, array.shape) for name, array in arrays.items()} == {
        "a:b": ("float32", (2, 3)), "m": ("bool", (4,)), "s": ("int64", ())
    }  # fmt: skip
    assert dynamic == {"a:b": {0: "N"}}
    assert parse_dynamic(["x:0=N", "x:-1=48", "a:b:2=W"]) == {"x": {0: "N", -1: 48}, "a:b": {2: "W"}}


def test_modules_that_fail_are_one_line(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "unreadable_net.py").write_text("def (")
    (folder / "needy_net.py").write_text("import not_a_module_anywhere")
    for arguments, expected in (
        (["unreadable_net:make"], "importing 'unreadable_net' raised SyntaxError"),
        (["needy_net:make"], "No module named 'not_a_module_anywhere'"),
        (["exported_net:make", "--input", "image:float32:1,5,8,8"], "PyTorch cannot export the module"),
        (["exported_net:make", "--input", f"image:float32:{10**14},{10**14}"], "the shape is too large"),
    ):
        assert main(["export", *arguments, "-o", "x.rush"]) == 2
        captured = capfd.readouterr()
        (line,) = captured.err.splitlines()
        assert expected in line
    assert not (folder / "x.rush").exists()
