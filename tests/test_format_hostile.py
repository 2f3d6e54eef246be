"""Damaged and hostile `.rush` files: always a FormatError of one line, never anything else."""

import hashlib
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rushlight.runtime.errors import FormatError
from rushlight.runtime.format import read_program
from rushlight.runtime.ir import GraphBuilder, verify
from rushlight.runtime.ops import get, registry

FOLDER = Path(__file__).parent / "hostile"
EXPECTED: dict[str, str] = json.loads((FOLDER / "expected.json").read_text())
FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", EXPECTED)
def test_hostile_file_is_refused(name: str) -> None:
    path = FOLDER / f"{name}.rush"
    with pytest.raises(FormatError) as caught:
        read_program(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert EXPECTED[name] in message
    assert "\n" not in message


def test_every_kept_file_has_an_expectation() -> None:
    assert {path.stem for path in FOLDER.glob("*.rush")} == set(EXPECTED)


def sound_file(tmp_path: Path) -> bytes:
    path = tmp_path / "sound.rush"
    if not path.exists():
        b = GraphBuilder()
        x = b.input("x", np.float32, ("N", 2, 4, "W"))
        y = b.conv2d(x, np.ones((3, 2, 1, 2), np.float32), np.ones(3, np.float32))
        b.output("y", b.reshape(y, shape=(x.shape[0], 12 * (x.shape[3] - 1))))
        b.build().save(path)
    return path.read_bytes()


def read_anything(data: bytes, tmp_path: Path) -> None:
    """Reads `data` as a file: a FormatError or a program that the verifier accepts; nothing else may come out."""
    path = tmp_path / "fuzz.rush"
    path.write_bytes(data)
    try:
        program = read_program(path)
    except FormatError:
        return
    for graph in program.methods.values():
        verify(graph)


@FUZZ
@given(cut=st.integers(0, 10_000))
def test_truncated_anywhere(tmp_path: Path, cut: int) -> None:
    data = sound_file(tmp_path)
    read_anything(data[: min(cut, len(data))], tmp_path)


@FUZZ
@given(flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_flipped_bytes(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    data = bytearray(sound_file(tmp_path))
    for at, byte in flips:
        data[at % len(data)] = byte
    read_anything(bytes(data), tmp_path)


LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from([1 << 31, 1 << 47, 1 << 60, -(1 << 62)]),
    st.floats(),
    st.sampled_from(["", "N", "W", "float32", "int8", "bool", "2*N", "N-1", "NHWC", "relu", "inf", "((W)//2)"]),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-1, 3), max_size=4),
)


@FUZZ
@given(picks=st.lists(st.tuples(st.integers(0, 1 << 20), LEAF), min_size=1, max_size=4))
def test_changed_program_with_a_right_hash(tmp_path: Path, picks: list[tuple[int, Any]]) -> None:
    data = sound_file(tmp_path)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header["__metadata__"]
    program = json.loads(metadata["rushlight.program"])
    for pick, leaf in picks:
        places = list(slots(program))
        if places:
            holder, key = places[pick % len(places)]
            holder[key] = leaf
    text = json.dumps(program)
    metadata["rushlight.program"] = text
    metadata["rushlight.hash"] = hashlib.sha256(text.encode()).hexdigest()
    new = json.dumps(header).encode()
    read_anything(struct.pack("<Q", len(new)) + new + data[8 + length :], tmp_path)


def slots(document: Any) -> Any:
    """Every (container, key) in a JSON document."""
    if isinstance(document, (dict, list)):
        for key, value in list(document.items()) if isinstance(document, dict) else list(enumerate(document)):
            yield document, key
            yield from slots(value)


def test_a_shape_rule_that_breaks_is_a_format_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    b = GraphBuilder()
    b.output("y", b.relu(b.input("x", np.float32, (3,))))
    path = tmp_path / "m.rush"
    b.build().save(path)
    broken = replace(get("relu"), infer=lambda x: x.shape[0] // 0)
    monkeypatch.setitem(registry(), "relu", broken)
    with pytest.raises(FormatError, match=r"do not fit its inputs: .*division"):
        read_program(path)
