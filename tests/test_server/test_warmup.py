"""Models run once before they are served, where their sizes are known."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import rushlight as rl
from rushlight.server.repository import Repository
from rushlight.server.settings import load_settings
from rushlight.server.warmup import warm_up


def model(*shape: int | str) -> rl.Model:
    b = rl.GraphBuilder()
    b.output("y", b.neg(b.input("x", np.float32, shape)))
    return rl.load(b.build())


@pytest.mark.parametrize(
    ("shape", "shapes"), [(("N", 3), [(1, 3)]), ((2, 3), [(2, 3)]), (("N", "S"), []), ((3, "S"), [])]
)
def test_what_is_run(
    shape: tuple[int | str, ...], shapes: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[int, ...]] = []
    tested = model(*shape)
    monkeypatch.setattr(tested, "run", lambda inputs: ran.append(inputs["x"].shape))
    warm_up("m", tested)
    assert ran == shapes


def test_a_model_that_fails_on_zeros_is_served_all_the_same(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested = model("N", 3)
    monkeypatch.setattr(tested, "run", lambda inputs: 1 / 0)
    with caplog.at_level(logging.WARNING):
        warm_up("m", tested)
    assert "model m does not run on zeros" in caplog.text


def test_the_repository_warms_what_it_loads(tmp_path: Path) -> None:
    model("N", 3).program.save(tmp_path / "m.rush")
    loaded = Repository.load(tmp_path, load_settings()).models["m"]["1"]
    assert isinstance(loaded, rl.Model)
    assert len(loaded.main._executions) == 1
