"""Every operator of the set, with the attributes of its test cases, survives a file."""

from pathlib import Path

import pytest

from rushlight.runtime.format import read_program
from rushlight.runtime.ir import Graph, GraphBuilder
from rushlight.runtime.ops import Case, OpDef, registry
from rushlight.runtime.program import Program

MAX_CASES = 12


def case_graph(op: OpDef, case: Case) -> Graph:
    b = GraphBuilder()
    inputs = [
        None if array is None else b.input(f"x{index}", array.dtype, array.shape)
        for index, array in enumerate(case.inputs)
    ]
    for index, value in enumerate(b.add_node(op.name, inputs, case.attrs, "node")):
        b.output(f"y{index}", value)
    return b.graph


@pytest.mark.parametrize("op", registry().values(), ids=list(registry()))
def test_operator_survives_a_file(op: OpDef, tmp_path: Path) -> None:
    cases = list(op.cases())[:MAX_CASES]
    program = Program({f"case{index}": case_graph(op, case) for index, case in enumerate(cases)})
    path = tmp_path / "m.rush"
    program.save(path)
    back = read_program(path, verify=True)
    assert str(back) == str(program)
    for name, graph in program.methods.items():
        old, new = graph.nodes[0], back.methods[name].nodes[0]
        assert new.name == "node"
        assert {k: str(v) for k, v in new.attrs.items()} == {k: str(v) for k, v in old.attrs.items()}
