"""The comparison with other engines: figures, tables, what is kept, what is hidden, and processes that fail."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import isa, machine, readme, report
from benchmarks.peers.engines import ENGINES
from benchmarks.peers.feeds import IDS, Input, calibration, make_feeds
from benchmarks.peers.measure import Plan, Subject, compare, measure
from benchmarks.peers.process import EngineError, Process
from benchmarks.peers.results import Outcome, Results, ResultsError, Row, Setting, geometric_mean, merge_peaks

ROOT = Path(__file__).parents[1]
MACHINE = {
    "cpu": "Some CPU (family 6, model 1, stepping 2)",
    "features": ["avx", "avx2"],
    "cores": 2,
    "caches": "L1 48K",
    "memory_gb": 8.0,
    "system": "Linux 6",
    "python": "3.11",
    "peaks": {"1": {"f32_gflops": 100.0, "int8_gops": 400.0, "memory_gb_s": 9.5, "cache_gb_s": 50.0}},
}


def outcome(*rounds: list[float], **fields: object) -> Outcome:
    made = Outcome("1.0", first_mb=9, peak_mb=10, difference=1e-6, sqnr_db=100, load_s=0.5, first_s=0.25)
    if rounds:
        made.add_times(rounds)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def row(setting: Setting, **engines: Outcome) -> Row:
    return Row(setting, "2026-01-02", "the command", {name.replace("_", "."): each for name, each in engines.items()})


FP32 = Setting("lstm", "fp32", 1, 1, "")


def test_the_ratio_is_that_of_the_fastest_peer() -> None:
    made = row(
        FP32,
        rushlight=outcome([1, 1, 4], [2, 2, 2]),
        onnxruntime=outcome([5, 5, 5], [6, 6, 6]),
        openvino=outcome([3, 3, 3], [5, 5, 5]),
        torch=outcome(error="died"),
    )
    assert made.best_peer == "openvino"
    assert made.ratio == 4 / 2
    assert made.ratio_range == (2.5, 3)
    assert row(FP32, rushlight=outcome(error="died"), torch=outcome([1])).ratio is None
    assert row(FP32, rushlight=outcome([1]), torch=outcome(error="died")).ratio is None


def test_outcomes_tell_median_minimum_and_quartiles() -> None:
    made = outcome([1, 2, 3], [4, 5])
    assert (made.runs, made.median_ms, made.min_ms, made.low_ms, made.high_ms) == (5, 3, 1, 2, 4)
    assert made.rounds_ms == [2, 4.5]
    assert (outcome([7]).low_ms, outcome([7]).high_ms) == (7, 7)


def test_geometric_means() -> None:
    assert geometric_mean([2, 8]) == pytest.approx(4)
    assert math.isnan(geometric_mean([]))


def results(path: Path) -> Results:
    made = Results(path, MACHINE)
    for model, ours in (("lstm", 2.0), ("resnet50", 4.0)):
        made.put(row(Setting(model, "fp32", 1, 1, ""), rushlight=outcome([ours]), onnxruntime=outcome([8.0])))
    made.put(
        row(
            Setting("resnet50", "int8", 1, 1, ""),
            rushlight=outcome([8.0], sqnr_db=20.0, first_mb=8, peak_mb=30),
            onnxruntime=outcome([4.0], sqnr_db=21.5),
            openvino=outcome(error="EngineError: no"),
            torch=outcome(refusal="has no tool for int8 here"),
        )
    )
    return made


def test_the_summary_has_a_row_a_model_and_the_means(tmp_path: Path) -> None:
    assert report.summary(results(tmp_path / "r.json")).splitlines() == [
        "| model | fp32 1t b1 | int8 1t b1 |",
        "| --- | ---: | ---: |",
        "| lstm | 4.00 |  |",
        "| resnet50 | 2.00 | 0.50 |",
        "| **geometric mean** | **2.83** | **0.50** |",
    ]


def test_conclusions_name_means_and_shortcomings(tmp_path: Path) -> None:
    assert report.conclusions(results(tmp_path / "r.json")) == [
        "fp32: geometric mean 2.83 over 2 of 2 settings, 4.00 over small models at batch 1; 0 below 1.",
        "int8: geometric mean 0.50 over 1 of 1 settings; 1 below 1.",
        "int8 against our own fp32: geometric mean 0.50, least 0.50 (resnet50 int8, 1 thread, batch 1).",
        "resnet50 int8, 1 thread, batch 1: openvino failed: EngineError: no.",
        "resnet50 int8, 1 thread, batch 1: SQNR 20.0 dB, the better peer 21.5 dB.",
        "resnet50 int8, 1 thread, batch 1: peak memory after all runs 30 MiB, the least peer 10 MiB.",
    ]


def test_gains_of_int8_need_both_precisions(tmp_path: Path) -> None:
    assert report.gains(results(tmp_path / "r.json")).splitlines() == [
        "| model | int8 1t b1 |",
        "| --- | ---: |",
        "| resnet50 | 0.50 |",
        "| **geometric mean** | **0.50** |",
    ]


def test_the_page_shows_failures_and_leaves_out_who_has_nothing_to_run(tmp_path: Path) -> None:
    page = report.full(results(tmp_path / "r.json"))
    assert "`the command`, 2026-01-02." in page
    assert "| resnet50 | 1 | 1 | 8 (8) | 4 (4) | failed | 0.50 [0.50, 0.50] |" in page
    assert (
        "| resnet50 | 1 | 1 | 20.0 dB, 8, 30 MiB, 0.50 + 0.25 s | 21.5 dB, 9, 10 MiB, 0.50 + 0.25 s | failed |" in page
    )
    assert "torch" not in page.split("## Milliseconds, int8")[1]


def test_results_come_back_and_tell_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    first = results(path)
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    again = Results.open(path, MACHINE)
    assert report.full(again) == report.full(first)
    known = {"rushlight": "1.0", "onnxruntime": "1.0"}
    assert not again.lacks(FP32, known)
    assert again.lacks(FP32, known | {"rushlight": "1.1"})
    assert again.lacks(FP32, known | {"torch": "1.0"})
    assert again.lacks(FP32._replace(batch=8), known)
    assert again.lacks(FP32._replace(isa="avx2"), known)


def test_results_of_another_machine_and_broken_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    results(path)
    with pytest.raises(ResultsError, match="another machine"):
        Results.open(path, {**MACHINE, "cpu": "Another"})
    for text in ("", "[]", '{"machine": {}, "rows": [{}]}'):
        path.write_text(text)
        with pytest.raises(ResultsError, match=r"r\.json"):
            Results.read(path)


def test_peaks_are_the_best_of_all_runs() -> None:
    assert merge_peaks({"2": {"a": 1.0, "b": 5.0}}, {"1": {"a": 3.0}, "2": {"a": 2.0, "b": 4.0}}) == {
        "1": {"a": 3.0},
        "2": {"a": 2.0, "b": 5.0},
    }


def test_the_readme_has_one_block_and_only_that_is_replaced(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    new = readme.replace_block(text, r"a \1 block")
    assert rf"{readme.BEGIN}{chr(10) * 2}a \1 block{chr(10) * 2}{readme.END}" in new
    assert readme.replace_block(new, "x").replace("\n\nx\n\n", "") == new.replace("\n\na \\1 block\n\n", "")
    for broken in ("", text + text):
        with pytest.raises(ValueError, match="blocks between"):
            readme.replace_block(broken, "x")


def test_results_are_written_into_a_repository(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(f"before\n{readme.BEGIN}\n{readme.END}\nafter\n")
    made = results(tmp_path / "r.json")
    made.put(row(FP32._replace(isa="avx2"), rushlight=outcome([1.0]), onnxruntime=outcome([1.5], instructions="some")))
    written = readme.write(made, tmp_path)
    assert {path.name for path in written} == {"README.md", "peers.md", "peers.svg", "peers-avx2.svg"}
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| lstm | 4.00 |" in text
    assert "All engines held to AVX2:" in text
    assert "- onnxruntime: some; CPUID: " in (tmp_path / "docs" / "peers.md").read_text()
    assert all(path.read_text().startswith("<?xml") for path in written if path.suffix == ".svg")


def test_feeds_are_the_same_for_all_and_differ_by_sample() -> None:
    inputs = [Input("ids", "int64", (16,)), Input("attention_mask", "int64", (16,)), Input("x", "float32", (2, 3))]
    feeds, again = make_feeds(inputs, 4), make_feeds(inputs, 4)
    assert all(np.array_equal(feeds[name], again[name]) for name in feeds)
    assert {name: (array.shape, array.dtype.name) for name, array in feeds.items()} == {
        "ids": ((4, 16), "int64"),
        "attention_mask": ((4, 16), "int64"),
        "x": ((4, 2, 3), "float32"),
    }
    assert feeds["ids"].min() >= 0
    assert feeds["ids"].max() < IDS
    lengths = feeds["attention_mask"].sum(1)
    assert lengths.min() >= 12
    assert np.array_equal(feeds["attention_mask"], np.arange(16) < lengths[:, None])
    samples = calibration(inputs)
    assert not np.array_equal(samples[0]["x"], samples[1]["x"])


def test_answers_are_compared_output_by_output() -> None:
    want = [np.array([1.0, -10.0]), np.array([[100.0]])]
    assert compare(want, want) == (0.0, 200.0)
    difference, sqnr = compare(want, [np.array([1.0, -9.0]), np.array([[100.0]])])
    assert difference == pytest.approx(0.1)
    assert sqnr == pytest.approx(10 * math.log10(101))
    with pytest.raises(EngineError, match="shapes"):
        compare(want, want[:1])
    with pytest.raises(EngineError, match="finite"):
        compare(want, [np.array([1.0, np.nan]), want[1]])


def test_masks_hold_the_bits_of_the_features() -> None:
    found = isa.masks(isa.BEYOND_AVX2.values())
    assert sum(bits.bit_count() for registers in found.values() for bits in registers) == len(isa.BEYOND_AVX2)
    assert set(found) == {(7, 0), (7, 1)}
    assert found[7, 0][isa.EBX] == 0xDC230000
    for feature in isa.WITHIN_AVX2.values():
        leaf, subleaf, register, bit = feature
        assert not found.get((leaf, subleaf), [0] * 4)[register] >> bit & 1


def test_instruction_sets_are_hidden_or_refused(tmp_path: Path) -> None:
    try:
        hidden = isa.hiding_environment(tmp_path)
    except isa.IsaError as error:
        pytest.skip(f"not on this machine: {error}")
    code = """if True:
        import faulthandler, threading, benchmarks.peers.isa as isa
        faulthandler.enable()
        thread = threading.Thread(target=lambda: print(*isa.visible_features()))
        thread.start(); thread.join()"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **hidden}, capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == list(isa.WITHIN_AVX2)
    for options in ([], ["-X", "faulthandler"]):
        crash = [sys.executable, *options, "-c", "import ctypes; ctypes.string_at(0)"]
        ended = subprocess.run(crash, env={**os.environ, **hidden}, capture_output=True, text=True, check=False)
        assert ended.returncode == -signal.SIGSEGV
        assert ("Fatal Python error" in ended.stderr) == bool(options)


def test_a_machine_that_cannot_hide_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "hide.c"
    source.write_text(isa.SOURCE.read_text().replace("ARCH_SET_CPUID,", "-1,"))
    monkeypatch.setattr(isa, "SOURCE", source)
    with pytest.raises(isa.IsaError, match="CPUID cannot be made to fault"):
        isa.hiding_environment(tmp_path)


def test_the_machine_is_described(tmp_path: Path) -> None:
    text = "processor\t: 0\nmodel name\t: Some   CPU\ncpu family\t: 6\nmodel\t\t: 85\nstepping\t: 7\n"
    assert machine.cpu_name(text) == "Some CPU (family 6, model 85, stepping 7)"
    for index, (kind, level, size) in enumerate((("Data", 1, "48K"), ("Instruction", 1, "32K"), ("Unified", 2, "2M"))):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for name, value in (("type", kind), ("level", level), ("size", size)):
            (folder / name).write_text(f"{value}\n")
    assert machine.caches(tmp_path) == "L1 48K, L2 2M"


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Process]:
    monkeypatch.chdir(ROOT)
    return lambda: Process("rushlight", {}, tmp_path / "log")


def test_processes_name_errors_end_in_time_and_leave_nothing(process: Callable[[], Process]) -> None:
    with process() as worker:
        with pytest.raises(EngineError, match=r"FileNotFoundError.*absent"):
            worker.ask("load", 60, model="m", inputs=[], folder="absent", threads=1)
        assert worker.is_alive
        with pytest.raises(EngineError, match=r"answer took more than 0 s"):
            worker.ask("answer", 0, batch=1, path="x")
        assert not worker.is_alive
        with pytest.raises(EngineError, match="has ended"):
            worker.ask("state", 60)
    with process() as worker:
        os.kill(worker._popen.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="ended during state with signal SIGKILL"):
            worker.ask("state", 60)


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    code = f"""if True:
        import os, signal, sys
        from pathlib import Path
        from benchmarks.peers.process import Process
        process = Process("rushlight", {{}}, Path({str(tmp_path / "log")!r}))
        try:
            process.ask("answer", 60, batch=1, path="x")
        except Exception:
            print(process._popen.pid, flush=True)
        os.kill(process._popen.pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGKILL)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    stat = Path("/proc") / done.stdout.strip() / "stat"
    for _ in range(100):
        if not stat.exists() or stat.read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the worker lives on")


def test_a_comparison_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps on a small network, with one engine that fails."""
    onnx = pytest.importorskip("onnx")
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", real, ["n", 32])],
        [helper.make_tensor_value_info("y", real, ["n", 32])],
        [weight],
    )
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "src")]))
    plan = Plan(("rushlight", "onnxruntime", "torch"), 2, 0.001, 120, tmp_path / "work")
    for precision in ("fp32", "int8"):
        rows = list(measure(plan, Subject(path, precision), 1, [1, 3]))
        assert [each.setting for each in rows] == [Setting("small", precision, 1, batch, "") for batch in (1, 3)]
        for each in rows:
            assert each.engines["torch"].refusal == "the model has no PyTorch module"
            assert each.ratio is not None
            assert 1 < each.engines["rushlight"].first_mb <= each.engines["rushlight"].peak_mb
            assert len(each.engines["rushlight"].rounds_ms) == 2
            assert each.engines["rushlight"].sqnr_db > (100 if precision == "fp32" else 25)
    (tmp_path / "work" / "prepared" / "small" / "rushlight-fp32" / "model.rush").write_bytes(b"no")
    (broken,) = measure(plan, Subject(path, "fp32"), 1, [1])
    assert "FormatError" in broken.engines["rushlight"].error
    assert broken.ratio is None
    assert broken.engines["onnxruntime"].is_measured


def test_a_conversion_that_fails_says_why(tmp_path: Path, process: Callable[[], Process]) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    with process() as worker, pytest.raises(EngineError, match=r"rushlight export: .*broken\.onnx"):
        worker.ask("prepare", 60, model=str(path), precision="fp32", inputs=[], folder=str(tmp_path))


def test_engines_are_named_once() -> None:
    assert [engine.name for engine in ENGINES.values()] == list(ENGINES)
    assert next(iter(ENGINES)) == "rushlight"
