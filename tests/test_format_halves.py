"""Files whose constants are halves: what they say of themselves is checked like everything else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.errors import FormatError
from rushlight.runtime.format import read_program
from rushlight.runtime.format.container import BFLOAT16, Entry, format_header, parse_header
from rushlight.runtime.format.limits import KEY_HASH, KEY_PROGRAM
from rushlight.runtime.ir import GraphBuilder, halve

Spoil = Callable[[list[Any], dict[str, Any], dict[str, Entry]], None]


def write(path: Path, format: str, spoil: Spoil) -> None:
    """A file with one weight, "w"; `spoil` changes the row of the constant, the program and the container's entries."""
    b = GraphBuilder()
    weight = halve(np.arange(12, dtype=np.float32).reshape(3, 4), format)
    b.output("y", b.linear(b.input("x", np.float32, ("N", 4)), b.constant(weight, "w")))
    b.build().save(path)
    data = path.read_bytes()
    header = parse_header(memoryview(data))
    program = json.loads(header.metadata[KEY_PROGRAM])
    (row,) = program["methods"]["forward"]["constants"]
    assert row == ["w", "w", "float32"]
    entries = dict(header.entries)
    spoil(row, program, entries)
    text = json.dumps(program, separators=(",", ":"))
    metadata = {**header.metadata, KEY_PROGRAM: text, KEY_HASH: hashlib.sha256(text.encode()).hexdigest()}
    path.write_bytes(format_header(entries, metadata) + data[header.data_start :])


def set_dtype(program: dict[str, Any], entries: dict[str, Entry], dtype: Any, name: str) -> None:
    """Declares another dtype of the same size everywhere."""
    program["tensors"]["w"][0] = name
    entries["w"] = replace(entries["w"], dtype=np.dtype(dtype))


CASES: dict[str, tuple[str, str, Spoil]] = {
    "no_dtype": ("bfloat16", "must be read as float32", lambda row, *_: row.pop()),
    "other_dtype": ("float16", "float16 cannot be read as float64", lambda row, *_: row.__setitem__(2, "float64")),
    "no_text": ("float16", "dtype must be text", lambda row, *_: row.__setitem__(2, 32)),
    "long_row": ("float16", "4 items", lambda row, *_: row.append("float32")),
    "of_integers": (
        "float16",
        "int16 cannot be read as float32",
        lambda _, program, entries: set_dtype(program, entries, np.int16, "int16"),
    ),
    "confused": (
        "bfloat16",
        "float16[3, 4] in the program, bfloat16[3, 4] in the file",
        lambda _, program, __: program["tensors"]["w"].__setitem__(0, "float16"),
    ),
    "value": (
        "bfloat16",
        "unknown dtype 'bfloat16'",
        lambda _, program, __: program["methods"]["forward"]["inputs"][0].__setitem__(1, "bfloat16"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_halves_are_refused(name: str, tmp_path: Path) -> None:
    format, expected, spoil = CASES[name]
    path = tmp_path / "m.rush"
    write(path, format, spoil)
    with pytest.raises(FormatError) as caught:
        read_program(path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_float16_tensors_may_stay_float16(tmp_path: Path) -> None:
    """The same bytes without the third field are a float16 value, as in files from before there was one."""
    path = tmp_path / "m.rush"
    b = GraphBuilder()
    b.output("y", b.add(b.input("x", np.float16, (3,)), b.constant(np.ones(3, np.float16), "w")))
    b.build().save(path)
    (value,) = read_program(path).graph.constants()
    assert value.dtype == np.float16
    assert isinstance(value.stored, np.ndarray)


def test_bfloat16_is_one_dtype_to_the_container(tmp_path: Path) -> None:
    path = tmp_path / "m.rush"
    write(path, "bfloat16", lambda *_: None)
    header = parse_header(memoryview(path.read_bytes()))
    assert header.entries["w"].dtype == BFLOAT16
    np.testing.assert_array_equal(
        read_program(path, verify=True).graph.constants()[0].data, np.arange(12).reshape(3, 4)
    )
