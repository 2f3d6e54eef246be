"""Builds the hostile `.rush` files beside this script, and `expected.json`: the error that each must give.

Run it after an intended change of the format: ``python tests/hostile/build.py``.
"""

from __future__ import annotations

import copy
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.runtime.format.container import layout
from rushlight.runtime.format.encode import Encoder
from rushlight.runtime.ir import GraphBuilder

FOLDER = Path(__file__).parent
CODES = {"float32": "F32", "uint8": "U8"}
CASES: dict[str, tuple[str, bytes]] = {}


class Draft:
    """A sound file in parts, for a case to spoil: the header's JSON, the program's, and the data."""

    def __init__(self) -> None:
        b = GraphBuilder()
        x = b.input("x", np.float32, ("N", 2, 4, "W"))
        weight = np.arange(12, dtype=np.float32).reshape(3, 2, 1, 2)
        y = b.conv2d(x, b.constant(weight, "weight"), b.constant(np.ones(3, np.float32), "bias"))
        b.output("y", b.conv2d(y, b.constant(np.ones((1, 3, 1, 1), np.float32), "head")))
        encoder = Encoder()
        self.program: Any = encoder.document(b.build().methods)
        self.tensors: dict[str, Any] = {}
        entries, size = layout(encoder.tensors)
        data = bytearray(size)
        for name, entry in entries.items():
            self.tensors[name] = {
                "dtype": CODES[entry.dtype.name],
                "shape": list(entry.shape),
                "data_offsets": [entry.begin, entry.end],
            }
            if name in encoder.tensors:
                data[entry.begin : entry.end] = encoder.tensors[name].tobytes()
        self.data = bytes(data)
        self.metadata = {"rushlight.format": "1", "rushlight.provenance": "{}"}
        self.program_text: str | None = None

    @property
    def graph(self) -> Any:
        return self.program["methods"]["forward"]

    @property
    def node(self) -> Any:
        return self.graph["nodes"][0]

    def header(self) -> bytes:
        text = json.dumps(self.program, separators=(",", ":")) if self.program_text is None else self.program_text
        digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        metadata = {"rushlight.program": text, "rushlight.hash": digest, **self.metadata}
        return json.dumps({"__metadata__": metadata, **self.tensors}, separators=(",", ":")).encode("utf-8")

    def file(self, header: bytes | None = None) -> bytes:
        header = self.header() if header is None else header
        return struct.pack("<Q", len(header)) + header + self.data


def case(expected: str) -> Callable[[Callable[[Draft], bytes | None]], None]:
    """Registers a function that spoils a draft (and returns nothing), or returns the whole file."""

    def register(spoil: Callable[[Draft], bytes | None]) -> None:
        draft = Draft()
        whole = spoil(draft)
        CASES[spoil.__name__] = (expected, draft.file() if whole is None else whole)

    return register


@case("the file is empty")
def empty(draft: Draft) -> bytes:
    return b""


@case("5 bytes are too few")
def five_bytes(draft: Draft) -> bytes:
    return draft.file()[:5]


@case("truncated: the header needs")
def truncated_header(draft: Draft) -> bytes:
    return draft.file()[:200]


@case("truncated: tensor")
def truncated_data(draft: Draft) -> None:
    draft.data = draft.data[:-1]


@case("1 bytes after the last tensor")
def trailing_byte(draft: Draft) -> None:
    draft.data += b"\0"


@case("this is not a .rush file")
def huge_header(draft: Draft) -> bytes:
    return struct.pack("<Q", 1 << 62) + draft.header()


@case("this is not a .rush file")
def pickle_file(draft: Draft) -> bytes:
    return b"\x80\x02cos\nsystem\nq\x00X\x04\x00\x00\x00trueq\x01\x85q\x02Rq\x03."


@case("overlaps the one before it")
def overlap(draft: Draft) -> None:
    draft.tensors["bias"]["data_offsets"] = [16, 28]


@case("hole of 8 bytes")
def hole(draft: Draft) -> None:
    del draft.tensors["rushlight.pad.0"]
    draft.tensors["filler"] = {"dtype": "U8", "shape": [8], "data_offsets": [48, 56]}


@case("offsets span 12")
def size_mismatch(draft: Draft) -> None:
    draft.tensors["bias"]["shape"] = [4]


@case("dimension is 1152921504606846976")
def dimension_2_60(draft: Draft) -> None:
    draft.tensors["weight"]["shape"] = [1 << 60]


@case("bytes (at most")
def shape_overflow(draft: Draft) -> None:
    draft.tensors["weight"]["shape"] = [1 << 32, 1 << 32, 0x10, 4]


@case("dimension is -3")
def negative_dimension(draft: Draft) -> None:
    draft.tensors["bias"]["shape"] = [-3]


@case("number of 400 digits")
def endless_number(draft: Draft) -> bytes:
    return draft.file(draft.header().replace(b'"shape":[3]', b'"shape":[' + b"9" * 400 + b"]"))


@case("in the program, uint32[3] in the file")
def dtype_confusion(draft: Draft) -> None:
    draft.tensors["bias"]["dtype"] = "U32"


@case("dtype F8_E4M3 is not supported")
def unknown_dtype(draft: Draft) -> None:
    draft.tensors["bias"]["dtype"] = "F8_E4M3"


@case("a byte that is neither true nor false")
def bool_of_two(draft: Draft) -> None:
    draft.tensors["bias"].update(dtype="BOOL", shape=[12])
    draft.program["tensors"]["bias"][:2] = ["bool", [12]]


@case("tensor 'bias' is missing from the file")
def missing_tensor(draft: Draft) -> None:
    draft.tensors["other"] = draft.tensors.pop("bias")


@case("tensor 'bias' is missing")
def unlisted_tensor(draft: Draft) -> None:
    del draft.program["tensors"]["bias"]
    draft.tensors["rushlight.pad.bias"] = draft.tensors.pop("bias")


@case("tensor 'extra' is not part of the program")
def surplus_tensor(draft: Draft) -> None:
    draft.tensors["extra"] = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}


@case("tensor 'head' belongs to no constant")
def unused_tensor(draft: Draft) -> None:
    draft.graph["nodes"].pop()
    draft.graph["constants"].pop()
    draft.graph["outputs"] = [["y", 3]]


@case("key 'bias' stands twice")
def duplicate_key(draft: Draft) -> bytes:
    return draft.file(draft.header().replace(b'"weight":{', b'"bias":{'))


@case("header: nested 2000 deep")
def deep_header(draft: Draft) -> bytes:
    return draft.file(b'{"a":' + b"[" * 1_999 + b"]" * 1_999 + b"}")


@case("program: nested 5000 deep")
def deep_program(draft: Draft) -> None:
    draft.program_text = "[" * 5000 + "]" * 5000


@case("sub-graphs nested more than 16 deep")
def deep_graphs(draft: Draft) -> None:
    body = copy.deepcopy(draft.graph)
    branch = {"op": "cond", "name": "", "inputs": [0], "attrs": {"then": body}, "outputs": []}
    draft.program["operators"]["cond"] = 1
    for _ in range(18):
        body = {**copy.deepcopy(draft.graph), "nodes": [copy.deepcopy({**branch, "attrs": {"then": body}})]}
    draft.program["methods"]["forward"] = body


@case("NaN is not JSON")
def not_a_number(draft: Draft) -> None:
    draft.program["version"] = float("nan")


@case("is not finite")
def infinite_number(draft: Draft) -> None:
    draft.program_text = '{"version":1e999}'


@case("a string does not end")
def open_string(draft: Draft) -> None:
    draft.program_text = '{"version'


@case("header is not JSON")
def wrong_encoding(draft: Draft) -> bytes:
    return draft.file(draft.header().replace(b'"bias"', b'"b\xff\xfes"'))


@case("does not match its hash")
def wrong_hash(draft: Draft) -> None:
    draft.metadata["rushlight.hash"] = "0" * 64


@case("a safetensors file without a Rushlight program")
def plain_safetensors(draft: Draft) -> bytes:
    return draft.file(json.dumps(draft.tensors).encode())


@case("format version 2; this Rushlight reads version 1")
def future_format(draft: Draft) -> None:
    draft.metadata["rushlight.format"] = "2"


@case("unknown operator 'run_python'")
def unknown_operator(draft: Draft) -> None:
    draft.program["operators"]["run_python"] = 1


@case("operator conv2d of version 99")
def future_operator(draft: Draft) -> None:
    draft.program["operators"]["conv2d"] = 99


@case("operator 'relu' is not among the program's operators")
def undeclared_operator(draft: Draft) -> None:
    draft.node["op"] = "relu"


@case("value 4 is used before it is assigned")
def cycle(draft: Draft) -> None:
    draft.node["inputs"][0] = draft.graph["nodes"][1]["inputs"][0] = 4


@case("value 9 is used before it is assigned")
def output_of_nothing(draft: Draft) -> None:
    draft.graph["outputs"][0][1] = 9


@case("value is -1")
def negative_reference(draft: Draft) -> None:
    draft.node["inputs"][0] = -1


@case("value must be a whole number, not true or false")
def boolean_reference(draft: Draft) -> None:
    draft.node["inputs"][0] = True


@case("node 0 (conv2d): declares")
def wrong_declared_type(draft: Draft) -> None:
    draft.node["outputs"][0][2][1] = 64


@case("node 0 (conv2d): declares")
def wrong_declared_dtype(draft: Draft) -> None:
    draft.node["outputs"][0][1] = "int32"


@case("unknown attribute 'command'")
def unknown_attribute(draft: Draft) -> None:
    draft.node["attrs"]["command"] = "rm -rf /"


@case("attribute 'groups' must be a whole number, not text")
def attribute_of_wrong_kind(draft: Draft) -> None:
    draft.node["attrs"]["groups"] = "1"


@case("items (at most 4096)")
def endless_attribute(draft: Draft) -> None:
    draft.node["attrs"]["stride"] = [1] * 5_000


@case("conv2d:")
def zero_stride(draft: Draft) -> None:
    draft.node["attrs"]["stride"] = [0, 0]


@case("is 4611686018427387904, not between")
def huge_padding(draft: Draft) -> None:
    draft.node["attrs"]["padding"] = [1 << 62] * 4


@case("symbol 'Q' is not declared")
def undeclared_symbol(draft: Draft) -> None:
    draft.graph["inputs"][0][2][0] = "Q"


@case("is not in its canonical form")
def exploding_dimension(draft: Draft) -> None:
    draft.graph["inputs"][0][2][0] = "*".join(["(N+W)"] * 60)


@case("dimensions of too many terms")
def exploding_shape(draft: Draft) -> None:
    draft.graph["symbols"].update({f"s{i}": [1, None] for i in range(16)})
    draft.graph["inputs"][0][2] = ["+".join(sorted(f"s{i}" for i in range(16)))] * 8


@case("17 items (at most 16)")
def too_many_axes(draft: Draft) -> None:
    draft.graph["inputs"][0][2] = [1] * 17


@case("bytes (at most")
def huge_value(draft: Draft) -> None:
    draft.graph["inputs"][0][2] = [1 << 30, 1 << 30, 4, 4]


@case("holds too large a number")
def huge_coefficient(draft: Draft) -> None:
    draft.graph["inputs"][0][2][0] = "9999999999999999999*N"


@case("symbol 'N' is 0, not between 5 and")
def empty_range(draft: Draft) -> None:
    draft.graph["symbols"]["N"] = [5, 0]


@case("input 'x' is listed twice")
def duplicate_input(draft: Draft) -> None:
    graph = draft.graph
    graph["inputs"].append(graph["inputs"][0])
    for node in graph["nodes"]:
        node["inputs"] = [None if read is None else read + (read > 0) for read in node["inputs"]]
    graph["outputs"][0][1] += 1


@case("output 'y' is listed twice")
def duplicate_output(draft: Draft) -> None:
    draft.graph["outputs"] *= 2


@case("name 'y\\x1b[2J' holds a character that cannot be shown")
def name_that_clears_the_screen(draft: Draft) -> None:
    draft.graph["outputs"][0][0] = "y\x1b[2J"


@case("name 'x\\ud800' holds a character that cannot be shown")
def half_a_character(draft: Draft) -> None:
    draft.graph["inputs"][0][0] = "x\ud800"


@case("a program needs at least one method")
def no_methods(draft: Draft) -> None:
    draft.program["methods"] = {}
    draft.program["tensors"] = {}
    draft.tensors = {}
    draft.data = b""


@case("key 'nodes' is missing")
def graph_without_nodes(draft: Draft) -> None:
    del draft.graph["nodes"]


@case("method 'forward' must be an object, not a list")
def graph_of_wrong_kind(draft: Draft) -> None:
    draft.program["methods"]["forward"] = []


@case("provenance must be an object")
def provenance_of_wrong_kind(draft: Draft) -> None:
    draft.metadata["rushlight.provenance"] = "[]"


def main() -> None:
    for old in FOLDER.glob("*.rush"):
        old.unlink()
    for name, (_, data) in CASES.items():
        (FOLDER / f"{name}.rush").write_bytes(data)
    expected = {name: text for name, (text, _) in sorted(CASES.items())}
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
