"""The `.rush` file: what is written comes back, in place and unchanged."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from rushlight.runtime.errors import FormatError
from rushlight.runtime.format import read_program, write_program
from rushlight.runtime.ir import Graph, GraphBuilder, State, SymbolRange
from rushlight.runtime.program import Program
from rushlight.runtime.types import DTYPES, tensor_type


def conv_program() -> Program:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 2, 4, "W"))
    b.graph.symbols["W"] = SymbolRange(2, 512)
    weight = np.arange(12, dtype=np.float32).reshape(3, 2, 1, 2)
    b.output("y", b.conv2d(x, b.constant(weight, "weight"), b.constant(np.ones(3, np.float32), "bias"), name="stem"))
    program: Program = b.build()
    return program


def constants_program(arrays: dict[str, np.ndarray]) -> Program:
    b = GraphBuilder()
    for name, array in arrays.items():
        b.output(name, b.constant(array, name))
    program: Program = b.build()
    return program


def branching_program() -> Program:
    """Sub-graphs, a state, two methods that share a constant, and attributes of every kind."""

    def branch(scale: float) -> Graph:
        inner = GraphBuilder()
        x = inner.input("x", np.float32, ("N", 4))
        inner.output("y", inner.mul(x, inner.constant(np.full((1, 4), scale, np.float32), "scale")))
        return inner.graph

    shared = np.linspace(0, 1, 4, dtype=np.float32).reshape(1, 4)
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", 4))
    flag = b.input("flag", np.bool_, ())
    y = b.cond(flag, x, then=branch(2.0), otherwise=branch(0.5))
    y = b.clamp(b.add(y, b.constant(shared, "shared")), min=float("-inf"), max=6.0)
    b.output("y", b.reshape(y, shape=(x.shape[0] * 2, 2)))
    step = GraphBuilder()
    new = step.input("new", np.float32, (1, 4))
    before = step.state("total", tensor_type(np.float32, (1, 4)), shared)
    total = step.add(before, new)
    step.set_state("total", total)
    step.output("total", total)
    return Program({"forward": b.graph, "decode": step.graph}, {"source": {"sha256": "ab" * 32}, "note": "é"})


def save(program: Program, folder: Path) -> Path:
    path = folder / "m.rush"
    program.save(path)
    return path


def only_state(graph: Graph) -> State:
    (state,) = graph.states
    return state


def test_round_trip_keeps_graph_symbols_and_constants(tmp_path: Path) -> None:
    program = conv_program()
    back = read_program(save(program, tmp_path), verify=True)
    assert str(back) == str(program)
    assert back.graph.symbols == {"N": SymbolRange(), "W": SymbolRange(2, 512)}
    assert back.graph.nodes[0].name == "stem"
    assert back.graph.nodes[0].attrs == program.graph.nodes[0].attrs
    for old, new in zip(program.graph.constants(), back.graph.constants(), strict=True):
        np.testing.assert_array_equal(old.data, new.data)


def test_round_trip_of_methods_sub_graphs_state_and_provenance(tmp_path: Path) -> None:
    program = branching_program()
    path = save(program, tmp_path)
    back = read_program(path, verify=True)
    assert str(back) == str(program)
    assert list(back.methods) == ["forward", "decode"]
    assert back.provenance == program.provenance
    (clamp,) = (node for node in back.graph.nodes if node.op.name == "clamp")
    assert clamp.attrs["min"] == float("-inf")
    state = only_state(back.method("decode"))
    assert state.initial is not None
    np.testing.assert_array_equal(state.initial, np.linspace(0, 1, 4, dtype=np.float32).reshape(1, 4))
    with safe_open(path, "np") as file:
        keys = list(file.keys())
    stored = [key for key in keys if not key.startswith("rushlight.pad.")]
    assert len(stored) == 3, "the constant that both methods and the state share is stored once"


def test_all_dtypes_scalars_and_empty_tensors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for name in DTYPES:
        values = rng.integers(0, 2, (3, 5)) if name == "bool" else rng.integers(0, 100, (3, 5))
        arrays[f"{name}_matrix"] = values.astype(name)
        arrays[f"{name}_scalar"] = np.array(1, name)
        arrays[f"{name}_empty"] = np.zeros((0, 7), name)
    arrays["special"] = np.array([np.nan, -np.inf, -0.0, 5e-324])
    path = save(constants_program(arrays), tmp_path)
    back = {name: value.data for name, value in read_program(path, verify=True).graph.outputs}
    assert list(back) == list(arrays)
    for name, array in arrays.items():
        found = back[name]
        assert found is not None
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_constants_are_aligned_read_only_views_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = save(constants_program({f"c{n}": rng.random(n, np.float32) for n in (1, 3, 16, 17, 1000)}), tmp_path)
    program = read_program(path)
    spans = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(path)):
            low, high = line.split()[0].split("-")
            spans.append((int(low, 16), int(high, 16)))
    for value in program.graph.constants():
        assert value.data is not None
        assert not value.data.flags.writeable
        address = value.data.ctypes.data
        assert address % 64 == 0
        assert any(low <= address < high for low, high in spans)


def test_safetensors_opens_the_file(tmp_path: Path) -> None:
    program = conv_program()
    path = save(program, tmp_path)
    with safe_open(path, "np") as file:
        metadata = file.metadata()
        assert metadata["rushlight.format"] == "1"
        assert "conv2d" in json.loads(metadata["rushlight.program"])["operators"]
        for value in program.graph.constants():
            np.testing.assert_array_equal(file.get_tensor(value.name), value.data)


@pytest.mark.parametrize("make", [conv_program, branching_program])
def test_same_program_gives_the_same_bytes(make: Callable[[], Program], tmp_path: Path) -> None:
    first = save(make(), tmp_path).read_bytes()
    path = save(make(), tmp_path)
    assert path.read_bytes() == first
    read_program(path).save(path)
    assert path.read_bytes() == first


def test_constants_with_awkward_names(tmp_path: Path) -> None:
    b = GraphBuilder()
    names = ["rushlight.pad.0", "__metadata__", "é\u2009'", "", "x" * 300, "x" * 300]
    for index, name in enumerate(names):
        value = b.constant(np.array([index]))
        value.name = name
        b.output(f"y{index}", value)
    path = save(b.build(), tmp_path)
    outputs = read_program(path, verify=True).graph.outputs
    assert [value.name for _, value in outputs] == names
    assert [int(value.data[0]) for _, value in outputs if value.data is not None] == list(range(6))
    with safe_open(path, "np") as file:
        assert len(file.keys()) == 11


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\nb", "\x85", "é\ud800", "\u2028"])
def test_names_that_cannot_be_shown_are_not_written(tmp_path: Path, name: str) -> None:
    b = GraphBuilder()
    b.output("y", b.relu(b.input("x", np.float32, (3,)), name=name))
    with pytest.raises(FormatError, match="holds a character that cannot be shown") as caught:
        save(b.build(), tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/")
    assert ".tmp" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_verify_finds_a_flipped_weight(tmp_path: Path) -> None:
    path = save(conv_program(), tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    read_program(path)
    with pytest.raises(FormatError, match="tensor 'bias' does not match its hash"):
        read_program(path, verify=True)


def test_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(conv_program(), tmp_path)
    before = path.read_bytes()
    spoiled = conv_program()
    spoiled.provenance["sample"] = object()
    with pytest.raises(FormatError, match="provenance cannot be written as JSON"):
        spoiled.save(path)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no space left"):
            constants_program({"c": np.zeros(3)}).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.rush"]


def test_what_cannot_be_stored_is_named(tmp_path: Path) -> None:
    b = GraphBuilder()
    b.output("c", b.constant(np.zeros(2, np.complex64), "phase"))
    with pytest.raises(FormatError, match="constant 'phase': dtype complex64"):
        write_program(b.build(), tmp_path / "m.rush")
    assert not os.listdir(tmp_path)


def test_not_a_regular_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_program(tmp_path / "absent.rush")
    with pytest.raises(FormatError, match="not a file"):
        read_program(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FormatError, match="not a file"):
        read_program(tmp_path / "pipe")
