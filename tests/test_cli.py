"""The `rushlight` command: what it prints, and exit code 2 with one line for everything that is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import rushlight as rl
from rushlight.cli import main
from rushlight.cli.arrays import parse_sizes, random_inputs
from rushlight.cli.compare import compare_arrays
from rushlight.cli.main import COMMANDS
from rushlight.cli.table import format_table
from rushlight.runtime.npz import read_arrays, write_arrays

HOSTILE = Path(__file__).parent / "hostile"


def classifier(scale: float = 1.0) -> rl.Program:
    rng = np.random.default_rng(0)
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, ("N", 4))
    weight = rng.standard_normal((3, 4)).astype(np.float32) * np.float32(scale)
    b.output("logits", b.linear(x, b.constant(weight, "weight"), b.constant(np.ones(3, np.float32), "bias")))
    program: rl.Program = b.build()
    program.provenance["source"] = "a test"
    return program


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.rush"
    classifier().save(path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "in.npz"
    np.savez(path, x=np.random.default_rng(1).standard_normal((40, 4)).astype(np.float32))
    return path


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command line that must fail."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("rushlight: ")
    assert not captured.out
    return line.removeprefix("rushlight: ")


def succeeds(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 0
    captured = capsys.readouterr()
    assert not captured.err
    return captured.out


def test_run_writes_the_outputs(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = succeeds(capsys, "run", model, "--input", data, "-o", tmp_path / "out.npz")
    assert "logits" in text
    assert "[40, 3]" in text
    with np.load(tmp_path / "out.npz") as file:
        np.testing.assert_array_equal(file["logits"], rl.load(model)(np.load(data)["x"]))


def test_run_random_is_repeatable(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = succeeds(capsys, "run", model, "--random", "--dim", "N=7")
    assert "[7, 3]" in first
    assert succeeds(capsys, "run", model, "--random", "--dim", "N=7") == first


def test_inspect(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = succeeds(capsys, "inspect", model, "--verify")
    for part in ("program and tensors verified", "x: float32[N, 4]", "logits: float32[N, 3]", "dimension N: 1 to any"):
        assert part in text
    assert "2 with 15 elements, 60 bytes" in text
    assert '"source": "a test"' in text
    assert "linear" in text
    assert "= linear(%x" in succeeds(capsys, "inspect", model, "--graph")


def test_compare(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "b.rush"
    classifier(1.01).save(other)
    row = succeeds(capsys, "compare", model, other, "--data", data).splitlines()[1]
    expected, found = (rl.load(path)(np.load(data)["x"]).astype(np.float64) for path in (model, other))
    sqnr = 10 * np.log10((expected**2).sum() / ((expected - found) ** 2).sum())
    assert f"{sqnr:.2f}" in row
    assert f"{np.abs(expected - found).max():.3g}" in row
    same = succeeds(capsys, "compare", model, model, "--data", data).splitlines()[1]
    assert same.split() == ["logits", "0", "0", "inf", "1.0000000", "100.00%"]


def test_compare_with_onnx(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weight, bias = (value.data for value in classifier().graph.constants())
    assert weight is not None
    assert bias is not None
    node = onnx.helper.make_node("Gemm", ["x", "w", "b"], ["logits"], transB=1)
    ports = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", size])
        for name, size in (("x", 4), ("logits", 3))
    ]
    tensors = [onnx.numpy_helper.from_array(array, name) for array, name in ((weight, "w"), (bias, "b"))]
    graph = onnx.helper.make_graph([node], "g", ports[:1], ports[1:], tensors)
    path = tmp_path / "m.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    row = succeeds(capsys, "compare", model, path, "--data", data).splitlines()[1]
    assert row.endswith("100.00%")
    path.write_bytes(b"hello")
    assert "m.onnx: " in fails(capsys, "compare", model, path, "--data", data)


def test_bench_reports_every_combination(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--batch", "1,3", "--threads", "1,2", "--blocks", "1", "--block-ms", "1"]
    lines = succeeds(capsys, "bench", model, model, *arguments).splitlines()
    assert len(lines) == 1 + 2 * 2 * 2
    assert [line.split()[1:3] for line in lines[1::2]] == [["1", "1"], ["3", "1"], ["1", "2"], ["3", "2"]]
    assert all(line.endswith("1.00x") for line in lines[1::2])


def test_explain(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = succeeds(capsys, "explain", model, "--batch", 5)
    assert "linear" in text
    assert "5x3" in text
    assert "at N = 5" in text
    assert "GFLOP/s" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"rushlight {command}" in capsys.readouterr().out.split("example:")[1]


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert succeeds(capsys, "--version") == f"rushlight {rl.__version__}\n"
    text = succeeds(capsys)
    for command in COMMANDS:
        assert f"\n    {command}" in text


@pytest.mark.parametrize("name", sorted(json.loads((HOSTILE / "expected.json").read_text())))
def test_hostile_files(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, "inspect", HOSTILE / f"{name}.rush").startswith(str(HOSTILE / f"{name}.rush: "))


def test_bad_input_is_one_line(model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = tmp_path / "absent"
    junk = tmp_path / "junk.npz"
    junk.write_bytes(b"junk")
    single = tmp_path / "single.npy"
    np.save(single, np.zeros(3))
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, x=np.array([object()]))
    names, dtypes, shapes, ragged = (tmp_path / f"{part}.npz" for part in ("names", "dtypes", "shapes", "ragged"))
    np.savez(names, wrong=np.zeros((1, 4), np.float32))
    np.savez(dtypes, x=np.zeros((1, 4)))
    np.savez(shapes, x=np.zeros((1, 5), np.float32))
    np.savez(ragged, x=np.zeros((2, 4), np.float32), y=np.zeros((3, 4), np.float32))
    for arguments, expected in (
        (("run", absent, "--random"), f"{absent}: No such file or directory"),
        (("run", tmp_path, "--random"), "this is not a file"),
        (("run", data, "--random"), "this is not a .rush file"),
        (("run", model, "--input", absent), f"{absent}: No such file or directory"),
        (("run", model, "--input", junk), "junk.npz: not an .npz file"),
        (("run", model, "--input", single), "a single array"),
        (("run", model, "--input", pickled), "pickled.npz: not an .npz file"),
        (("run", model, "--input", names), "unknown wrong"),
        (("run", model, "--input", dtypes), "input 'x' is float64, the model takes float32"),
        (("run", model, "--input", shapes), "input 'x' has shape [1, 5], the model takes [N, 4]"),
        (("run", model, "--random", "--dim", "N"), "write NAME=SIZE"),
        (("run", model, "--random", "--dim", "Q=2"), "no dimension 'Q'"),
        (("run", model, "--random", "--threads", 0), "threads must be at least 1"),
        (("run", model, "--random", "-o", absent / "out.npz"), "No such file or directory"),
        (("run", model, "--random", "--precision", "tf32"), "precision 'tf32' is one of GPUs"),
        (("bench", model, "--precision", "tf32"), "precision 'tf32' is one of GPUs"),
        (("explain", model, "--precision", "tf32"), "precision 'tf32' is one of GPUs"),
        (("serve", model, "--precision", "tf32"), "precision 'tf32' is one of GPUs"),
        (("inspect", absent), "No such file or directory"),
        (("compare", model, absent, "--data", data), "No such file or directory"),
        (("compare", model, model, "--data", ragged), "the arrays hold 2, 3 samples"),
        (("bench", model, "--batch", "0"), "--batch 0: write positive numbers"),
        (("bench", model, "--threads", "x"), "--threads x: write positive numbers"),
        (("bench", model, "--blocks", "0"), "--blocks must be at least 1"),
        (("explain", absent), "No such file or directory"),
        (("serve", absent), "there is no folder or file of models"),
        (("export", f"{absent}.onnx", "-o", tmp_path / "x.rush"), "absent.onnx"),
        (("quantize", absent, "--data", data, "-o", tmp_path / "x.rush"), "No such file or directory"),
    ):
        assert expected in fails(capsys, *arguments)


def test_wrong_arguments_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["fly"], ["run"], ["bench", "m.rush", "--blocks", "many"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "Traceback" not in capsys.readouterr().err


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def without(*modules: str) -> str:
    """Code that runs the command as if `modules` were not installed."""
    return f"import sys; sys.modules.update(dict.fromkeys({modules})); from rushlight.cli import main; sys.exit(main())"


def test_missing_extras_are_named(model: Path) -> None:
    result = python(without("rich"), "run", str(model), "--random")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "rushlight: the command needs an extra: pip install 'rushlight[cli]'\n"
    result = python(without("fastapi"), "serve", str(model))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "rushlight: 'serve' needs the module fastapi: pip install 'rushlight[server]'\n"


def test_other_platforms_fail_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert fails(capsys, "--version") == f"Rushlight runs on Linux x86-64; this is darwin on {os.uname().machine}"


def test_import_is_light() -> None:
    heavy = ("torch", "onnx", "onnxruntime", "fastapi", "rich", "PIL", "skimage", "numpy")
    code = f"import sys, rushlight; print([m for m in {heavy} if m in sys.modules])"
    assert python(code).stdout == "[]\n"
    code = (
        f"import sys, rushlight as rl; rl.load, rl.GraphBuilder; print([m for m in {heavy[:-1]} if m in sys.modules])"
    )
    assert python(code).stdout == "[]\n"


def test_every_public_name_resolves() -> None:
    for name in rl.__all__:
        assert getattr(rl, name) is not None
    assert set(rl.__all__) <= set(dir(rl))
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        _ = rl.fly


def test_a_closed_pipe_is_no_error(model: Path) -> None:
    code = "from rushlight.cli import main; import sys; sys.exit(main())"
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [sys.executable, "-c", code, "inspect", str(model)], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert process.stderr == b""


def test_arrays_of_any_name_are_written(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3), "allow_pickle": np.array(True), "a/b": np.zeros((0, 2), np.float16)}
    write_arrays(tmp_path / "out.npz", arrays)
    found = read_arrays(tmp_path / "out.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    assert os.listdir(tmp_path) == ["out.npz"]


def test_random_inputs_fit_their_use() -> None:
    b = rl.GraphBuilder()
    for name, dtype in (("image", np.uint8), ("ids", np.int64), ("mask", np.bool_), ("x", np.float16)):
        b.output(name, b.input(name, dtype, ("N", 1000)))
    found = random_inputs(b.build().graph, parse_sizes(["N=3"]))
    assert {name: (array.dtype.name, array.shape) for name, array in found.items()} == {
        "image": ("uint8", (3, 1000)),
        "ids": ("int64", (3, 1000)),
        "mask": ("bool", (3, 1000)),
        "x": ("float16", (3, 1000)),
    }
    assert (found["image"].min(), found["image"].max()) == (0, 255)
    assert set(np.unique(found["ids"])) == {0, 1}
    assert abs(float(found["x"].astype(np.float64).mean())) < 0.1


def test_compare_arrays_against_closed_forms() -> None:
    a = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert compare_arrays("y", a, a) == ["y", "0", "0", "inf", "1.0000000", "100.00%"]
    assert compare_arrays("y", a, a * 1.1)[1:4] == ["0.2", "0.1", "20.00"]
    assert compare_arrays("y", a, a[::-1])[4:] == ["0.0000000", "0.00%"]
    assert compare_arrays("y", a * 0, a)[3] == "-inf"
    with pytest.raises(rl.ShapeError, match="shapes"):
        compare_arrays("y", a, a[:1])


def test_table_aligns_numbers_right() -> None:
    text = format_table(["name", "ms"], [["a", "1.5"], ["long", "12.25"]])
    assert text == "name     ms\na       1.5\nlong  12.25"


def test_places_that_cannot_be_written_are_named_before_any_work(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    absent = Path("absent", "out")
    for place, reason in (
        (tmp_path, "Is a directory"),
        (Path(), "Is a directory"),
        (absent, "No such file"),
        (model / "x", "Not a dir"),
    ):
        for arguments in (
            ("run", model, "--random", "-o", place),
            ("quantize", model, "--data", tmp_path / "never read", "-o", place),
            ("export", tmp_path / "never read.onnx", "-o", place),
        ):
            assert f"{place}: {reason}" in fails(capsys, *arguments)
    assert f"{absent}.html: No such" in fails(
        capsys, "quantize", model, "--data", data, "-o", "q.rush", "--report", f"{absent}.html"
    )
    assert sorted(os.listdir(tmp_path)) == ["in.npz", "m.rush"]


def test_impossible_sizes_are_one_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, expected in (
        (("run", model, "--random", "--dim", "N=10000000000000"), "not enough memory"),
        (("run", model, "--random", "--dim", f"N={10**15 - 1}"), "too large"),
        (("run", model, "--random", "--dim", "N=" + "9" * 5000), "write NAME=SIZE"),
        (("explain", model, "--batch", "-1"), "the batch must be at least 1"),
        (("bench", model, "--block-ms", "nan"), "--block-ms must be from 0"),
    ):
        assert expected in fails(capsys, *arguments)


def test_user_code_that_fails_is_one_line(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores_that_fail.py").write_text(
        "def gone(model): raise KeyError('gone')\ndef word(model): return 'good'\n"
    )
    (tmp_path / "scores_unreadable.py").write_text("def (")
    for name, expected in (
        ("scores_that_fail:gone", "raised KeyError: 'gone'"),
        ("scores_that_fail:word", "raised ValueError: could not convert"),
        ("scores_that_fail:absent", "AttributeError"),
        ("scores_unreadable:f", "SyntaxError"),
    ):
        line = fails(capsys, "quantize", model, "--data", data, "-o", "q.rush", "--all-layers", "--eval", name)
        assert line.startswith(f"--eval {name}")
        assert expected in line


def test_damaged_archives_are_one_line(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good.npz"
    np.savez_compressed(good, x=np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32))
    whole = good.read_bytes()
    bad = tmp_path / "bad.npz"
    single = tmp_path / "single.npy"
    np.save(single, np.zeros((3, 4), np.float32))
    for at in range(0, len(whole), 41):
        bad.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        code = main(["run", str(model), "--input", str(bad)])
        captured = capsys.readouterr()
        assert code == 0 or (code == 2 and len(captured.err.splitlines()) == 1)
    bad.write_bytes(whole[:-40])
    for path in (bad, single):
        assert str(path) in fails(capsys, "run", model, "--input", path)
        assert str(path) in fails(capsys, "quantize", model, "--data", path, "-o", tmp_path / "q.rush")


def test_names_cannot_write_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = fails(capsys, "inspect", tmp_path / "a\x1b[2J\nb")
    assert line.endswith("a\\x1b[2J\\nb: No such file or directory")


def test_names_outside_of_the_terminal_s_encoding_are_escaped(tmp_path: Path) -> None:
    b = rl.GraphBuilder()
    b.output("größe", b.relu(b.input("x", np.float32, (3,))))
    b.build().save(tmp_path / "m.rush")
    code = "from rushlight.cli import main; import sys; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", code, "inspect", str(tmp_path / "m.rush")],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"gr\\xf6\\xdfe" in result.stdout
