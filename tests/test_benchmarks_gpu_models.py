"""The comparison of whole models on a GPU, as far as it runs on a CPU."""

from __future__ import annotations

import pytest

from benchmarks import gpu_models


def run(batch: int, engines: str) -> None:
    sizes = ["--batches", str(batch), "--rounds", "1", "--seconds", "0.01"]
    gpu_models.main(["--device", "cpu", "--models", "lstm", *sizes, "--engines", engines])


def test_engines_take_turns(capsys: pytest.CaptureFixture[str]) -> None:
    run(2, "rushlight,torch bf16")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[2:4] for row in rows] == [["rushlight", "int8"], ["rushlight", "float32"], ["torch", "bf16"]]
    decibels = [float(row[6]) for row in rows]
    assert decibels[1] > 100
    assert min(decibels) > 30
    assert all(float(row[4]) > 0 for row in rows)


def test_what_refuses_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("not today")

    monkeypatch.setattr(gpu_models, "eager", refuse)
    run(1, "torch bf16")
    assert "torch bf16 refuses lstm, batch 1: RuntimeError: not today" in capsys.readouterr().out
