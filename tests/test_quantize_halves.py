"""Schemes that store weights in 16 bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.cli.main import main
from rushlight.quant.halves import SCHEMES
from rushlight.runtime.errors import QuantizationError
from rushlight.runtime.ir import GraphBuilder, Half, halve
from rushlight.runtime.program import Program


def weights(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / np.float32(shape[-1] ** 0.5)


def network(factor: float = 1) -> Program:
    b = GraphBuilder()
    table = b.constant(weights(50, 24), "table")
    y = b.index_select(table, b.input("ids", np.int64, ("N",)), dim=0)
    y = b.relu(b.linear(y, b.constant(weights(40, 24, seed=1) * np.float32(factor), "first"), weights(40)))
    y = b.layer_norm(y, weights(40), weights(40), normalized_dims=1)
    b.output("y", b.linear(y, b.constant(weights(9, 40, seed=2), "second"), weights(9)))
    program: Program = b.build()
    return program


def stored(program: Program) -> dict[str, str]:
    """Formats of the constants of rank 2, by name."""
    values = [value for value in program.graph.constants() if value.type.rank == 2]
    return {v.name: v.stored.format if isinstance(v.stored, Half) else str(v.dtype) for v in values}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_are_rounded_and_nothing_else(scheme: str) -> None:
    program = network()
    halved = rl.quantize(program, scheme=scheme)
    assert stored(halved) == dict.fromkeys(("table", "first", "second"), SCHEMES[scheme])
    assert stored(program) == dict.fromkeys(("table", "first", "second"), "float32")
    for value in halved.graph.constants():
        if value.name == "first":
            np.testing.assert_array_equal(value.data, halve(weights(40, 24, seed=1), SCHEMES[scheme]).read())
    ids = np.arange(50)
    given, expected = rl.load(halved)(ids), rl.load(program)(ids)
    np.testing.assert_allclose(given, expected, atol=5e-2 if scheme == "bf16-weight" else 5e-3)
    recipe = halved.provenance["quantization"]
    assert recipe["scheme"] == scheme
    assert recipe["sqnr_db"] is None
    assert [row["weight"] for row in recipe["layers"]] == ["table", "first", "second"]
    assert all(row["weight_sqnr_db"] > (45 if scheme == "bf16-weight" else 65) for row in recipe["layers"])


def test_some_weights_stay_float() -> None:
    halved = rl.quantize(network(1e6), scheme="fp16-weight", keep_float=["sec*"])
    assert stored(halved) == {"table": "float16", "first": "float32", "second": "float32"}
    why = {row["weight"]: row["why"] for row in halved.provenance["quantization"]["float_layers"]}
    assert why == {"first": "has numbers that float16 cannot hold", "second": "is asked for by 'sec*'"}
    assert stored(rl.quantize(network(1e6), scheme="bf16-weight"))["first"] == "bfloat16"


def test_data_tells_how_close_it_is(tmp_path: Path) -> None:
    data = {"ids": np.arange(32)}
    halved = rl.quantize(network(), data, "bf16-weight", report=tmp_path / "r.html")
    recipe = halved.provenance["quantization"]
    assert 35 < recipe["sqnr_db"] < 70
    assert f"{recipe['sqnr_db']:.1f} dB" in (tmp_path / "r.html").read_text()
    with pytest.raises(QuantizationError, match=r"the outputs reach .* dB, 90 are asked for"):
        rl.quantize(network(), data, "bf16-weight", min_sqnr=90)
    scores = iter([1.0, 0.5])
    with pytest.raises(QuantizationError, match=r"scores 0\.5 lower, allowed is 0\.1"):
        rl.quantize(network(), scheme="bf16-weight", evaluate=lambda _: next(scores), max_drop=0.1)


def test_int8_programs_can_store_the_rest_in_16_bits() -> None:
    ids = {"ids": np.arange(48)}
    integer = rl.quantize(network(), ids, all_layers=True, min_sqnr=None)
    both = rl.quantize(integer, scheme="bf16-weight")
    assert stored(both)["table"] == "bfloat16"
    assert both.provenance["quantization"]["before"]["scheme"] == "int8"
    assert np.abs(rl.load(both)(ids["ids"]) - rl.load(network())(ids["ids"])).max() < 0.2


def test_programs_of_halves_can_become_int8() -> None:
    ids = {"ids": np.arange(48)}
    halved = rl.quantize(network(), scheme="fp16-weight")
    integer = rl.quantize(halved, ids, all_layers=True, min_sqnr=None)
    assert len(integer.provenance["quantization"]["layers"]) == 2
    assert stored(integer)["table"] == "float16"
    assert np.abs(rl.load(integer)(ids["ids"]) - rl.load(halved)(ids["ids"])).max() < 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_sqnr": 40}, "min_sqnr needs data"),
        ({"keep_float": ["nothing*"]}, "no weight is named 'nothing"),
        ({"scheme": "int8"}, "int8 needs data to calibrate on"),
        ({"scheme": "fp8"}, "scheme 'fp8' is not known; there is int8, bf16-weight, fp16-weight"),
        ({"max_drop": 1.0}, "max_drop needs evaluate"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(QuantizationError, match=message):
        rl.quantize(network(), **{"scheme": "bf16-weight", **arguments})


def test_programs_without_weights_are_refused() -> None:
    b = GraphBuilder()
    b.output("y", b.relu(b.input("x", np.float32, (3,))))
    with pytest.raises(QuantizationError, match="no float32 weights"):
        rl.quantize(b.build(), scheme="bf16-weight")
    with pytest.raises(QuantizationError, match="no float32 weights"):
        rl.quantize(rl.quantize(network(), scheme="bf16-weight"), scheme="fp16-weight")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out, report = tmp_path / "m.rush", tmp_path / "half.rush", tmp_path / "r.json"
    network().save(path)
    command = ["quantize", str(path), "--scheme", "bf16-weight", "-o", str(out), "--report", str(report)]
    assert main(command) == 0
    assert f"{out}: 3 weights are bfloat16, {out.stat().st_size:,} bytes" in capsys.readouterr().out
    assert json.loads(report.read_text())["scheme"] == "bf16-weight"
    assert stored(rl.open(out))["first"] == "bfloat16"
    assert main(["inspect", str(out)]) == 0
    assert main(["quantize", str(path), "-o", str(out)]) == 2
    assert capsys.readouterr().err == "rushlight: int8 needs data to calibrate on\n"
