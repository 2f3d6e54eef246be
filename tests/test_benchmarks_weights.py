"""The comparison of weights of 16 bits with those that a model has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rushlight as rl
from benchmarks import weights


def test_every_format_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    builder = rl.GraphBuilder()
    x = builder.input("x", np.float32, ("N", "T", 1000))
    builder.output("y", builder.linear(x, builder.constant(rng.standard_normal((1000, 1000), np.float32), "w")))
    path = tmp_path / "model.rush"
    builder.build().save(path)
    weights.main([str(path), "--dim", "T=3", "--blocks", "1", "--seconds", "0.001"])
    _, *lines = capsys.readouterr().out.splitlines()
    rows = [line.rsplit(maxsplit=4) for line in lines]
    assert [row[0].split(maxsplit=1) for row in rows] == [["model", name] for name in weights.FORMATS]
    assert [float(row[1]) for row in rows] == [4, 2, 2]
    assert all(float(row[2]) > 4 and 0 < float(row[3]) < np.inf for row in rows)
    assert float(rows[0][4]) == 1
