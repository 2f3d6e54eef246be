"""Files of released format versions must be read, and must mean the same, forever. They are never written anew."""

from pathlib import Path

import numpy as np
import pytest

from rushlight.runtime.format import read_program
from rushlight.runtime.ir import SymbolRange
from rushlight.runtime.ops import Array
from rushlight.runtime.program import Program
from rushlight.runtime.reference import run_reference

FOLDER = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def program() -> Program:
    return read_program(FOLDER / "v1.rush", verify=True)


@pytest.fixture(scope="module")
def expected() -> dict[str, Array]:
    with np.load(FOLDER / "v1.npz") as file:
        return dict(file)


def test_signature(program: Program) -> None:
    assert list(program.methods) == ["forward", "accumulate"]
    assert [str(value.type) for value in program.graph.inputs] == ["uint8[N, 8, W, 3]", "bool[]"]
    assert program.graph.symbols == {"N": SymbolRange(1, 16), "W": SymbolRange(4, None)}
    assert program.provenance == {"note": "written by format version 1"}


@pytest.mark.parametrize("flag", [True, False])
def test_forward(program: Program, expected: dict[str, Array], flag: bool) -> None:
    found = run_reference(program.graph, {"image": expected["image"], "flag": np.array(flag)})
    assert list(found) == ["logits", "probabilities"]
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[f"{name}_{flag}"], rtol=1e-5, atol=1e-6)


def test_state(program: Program, expected: dict[str, Array]) -> None:
    states: dict[str, Array] = {}
    graph = program.method("accumulate")
    totals = [run_reference(graph, {"x": x}, states=states)["total"] for x in expected["x"]]
    np.testing.assert_array_equal(np.stack(totals), expected["totals"])
