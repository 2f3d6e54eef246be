"""Requests and answers of the protocol, without HTTP."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rushlight.runtime.errors import UnsupportedError
from rushlight.server.datatypes import NUMPY_DTYPES, datatype_name
from rushlight.server.decode import InferRequest, decode
from rushlight.server.encode import encode
from rushlight.server.errors import InvalidRequest
from rushlight.server.signature import Signature

Fakes = Any
FLOAT32 = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}


@pytest.fixture
def affine(fakes: Fakes) -> Signature:
    return Signature(fakes.affine())


def read(signature: Signature, document: Any, tail: bytes = b"", header: str | None = None) -> InferRequest:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    if header is None and tail:
        header = str(len(text))
    return decode(text + tail, None if header is None else header.encode(), signature)


def test_flat_and_nested_data_are_the_same(affine: Signature) -> None:
    flat = read(affine, {"inputs": [{**FLOAT32, "shape": [2, 4], "data": list(range(8))}]})
    nested = read(affine, {"inputs": [{**FLOAT32, "shape": [2, 4], "data": [[0, 1, 2, 3], [4, 5, 6, 7]]}]})
    np.testing.assert_array_equal(flat.inputs["x"], np.arange(8, dtype=np.float32).reshape(2, 4))
    np.testing.assert_array_equal(flat.inputs["x"], nested.inputs["x"])
    assert flat.inputs["x"].dtype == np.float32


@pytest.mark.parametrize("name", NUMPY_DTYPES)
@given(data=st.data())
def test_every_datatype_survives_json_and_binary(name: str, data: st.DataObject) -> None:
    dtype = NUMPY_DTYPES[name]
    array = data.draw(hnp.arrays(dtype, (2, 3)))
    signature = Signature(_identity(dtype))
    head = {"name": "x", "shape": [2, 3], "datatype": name}
    for binary in (False, True):
        if binary:
            tail = array.tobytes()
            entry: dict[str, Any] = {**head, "parameters": {"binary_data_size": len(tail)}}
        else:
            tail = b""
            entry = {**head, "data": array.reshape(-1).tolist()}
        request = read(
            signature, {"inputs": [entry], "outputs": [{"name": "y", "parameters": {"binary_data": binary}}]}, tail
        )
        assert request.inputs["x"].dtype == dtype
        assert request.inputs["x"].flags.aligned
        np.testing.assert_array_equal(request.inputs["x"], array)

        payload = encode("m", "1", "id", request.outputs, {"y": array}, signature)
        document = json.loads(payload.body[: payload.header_length])
        assert document["model_name"] == "m"
        assert document["model_version"] == "1"
        assert document["id"] == "id"
        (output,) = document["outputs"]
        assert (output["name"], output["datatype"], output["shape"]) == ("y", name, [2, 3])
        if binary:
            assert payload.body[payload.header_length :] == array.tobytes()
            assert output["parameters"] == {"binary_data_size": array.nbytes}
        else:
            assert payload.header_length is None
            np.testing.assert_array_equal(np.array(output["data"], dtype).reshape(2, 3), array)


def _identity(dtype: np.dtype[Any]) -> Any:
    class Spec:
        def __init__(self, name: str) -> None:
            self.name, self.dtype, self.shape = name, dtype, ("N", 3)

    class Model:
        inputs, outputs = [Spec("x")], [Spec("y")]

        def run(self, inputs: Any) -> Any:
            return {"y": inputs["x"]}

    return Model()


def test_finite_answers_are_strict_json_and_others_use_bare_words(affine: Signature) -> None:
    def body(values: list[float]) -> bytes:
        array = np.array([values], np.float32)
        return encode("m", "1", None, [("y", False)], {"y": array}, affine).body

    assert orjson.loads(body([1, 2, 3, 0.1]))["outputs"][0]["data"] == [1, 2, 3, 0.1]
    assert b"[NaN,Infinity,-Infinity,1.0]" in body([np.nan, np.inf, -np.inf, 1])


def test_strided_outputs_are_written_in_row_major_order(affine: Signature) -> None:
    array = np.arange(8, dtype=np.float32).reshape(4, 2).T
    text = encode("m", "1", None, [("y", False)], {"y": array}, affine).body
    assert json.loads(text)["outputs"][0]["data"] == array.reshape(-1).tolist()
    raw = encode("m", "1", None, [("y", True)], {"y": array}, affine)
    assert raw.body[raw.header_length :] == np.ascontiguousarray(array).tobytes()


def test_binary_and_json_inputs_mix(fakes: Fakes) -> None:
    signature = Signature(fakes.lengths())
    ids = np.array([[1, 2, 3]], "<i8")
    document = {
        "inputs": [
            {"name": "mask", "shape": [1, 3], "datatype": "INT64", "data": [1, 0, 1]},
            {"name": "ids", "shape": [1, 3], "datatype": "INT64", "parameters": {"binary_data_size": 24}},
        ],
        "outputs": [{"name": "doubled", "parameters": {"binary_data": True}}, {"name": "total"}],
    }
    request = read(signature, document, ids.tobytes())
    np.testing.assert_array_equal(request.inputs["ids"], ids)
    np.testing.assert_array_equal(request.inputs["mask"], [[1, 0, 1]])
    assert request.outputs == (("doubled", True), ("total", False))


def test_raw_binary_request(fakes: Fakes) -> None:
    affine = Signature(fakes.affine())
    x = np.array([[1, 2, 3, 4]], "<f4")
    request = decode(x.tobytes(), b"0", affine)
    np.testing.assert_array_equal(request.inputs["x"], x)
    assert request.outputs == (("y", True),)
    for size in (0, 15, 17, 32):
        with pytest.raises(InvalidRequest):
            decode(bytes(size), b"0", affine)
    with pytest.raises(InvalidRequest, match="one input"):
        decode(bytes(8), b"0", Signature(fakes.lengths()))
    free = fakes.Function([fakes.spec("t", "int16", "N", "L", 2)], [fakes.spec("y", "int16", "N")], lambda t: {})
    assert decode(bytes(12), b"0", Signature(free)).inputs["t"].shape == (1, 3, 2)
    static = Signature(fakes.static())
    assert decode(bytes(24), b"0", static).inputs["x"].shape == (2, 3)


def test_parameters(affine: Signature) -> None:
    request = read(
        affine,
        {
            "id": "é",
            "parameters": {"timeout": 5000, "priority": 2, "binary_data_output": True, "unknown": [1]},
            "inputs": [FLOAT32],
        },
    )
    assert (request.id, request.timeout_us, request.priority) == ("é", 5000, 2)
    assert request.outputs == (("y", True),)


def changed(**values: Any) -> dict[str, Any]:
    return {"inputs": [{**FLOAT32, **values}]}


BAD: list[tuple[str, Any, str]] = [
    ("not an object", [], "must be a JSON object"),
    ("no inputs", {}, "'inputs' must be a list"),
    ("empty inputs", {"inputs": []}, "'inputs' must be a list"),
    ("input is a number", {"inputs": [1]}, "must be a JSON object"),
    ("no name", {"inputs": [{"shape": [1]}]}, "no 'name'"),
    ("unknown name", changed(name="z"), "no input 'z'"),
    ("numeric id", {"id": 1, "inputs": [FLOAT32]}, "'id'"),
    ("half a surrogate in id", b'{"id": "\\ud800", "inputs": [NaN]}', "'id'"),
    ("twice the same", {"inputs": [FLOAT32, FLOAT32]}, "given twice"),
    ("other datatype", changed(datatype="FP64"), "datatype FP64"),
    ("unknown datatype", changed(datatype="BYTES", data=["a"]), "datatype BYTES"),
    ("no datatype", changed(datatype=None), "datatype None"),
    ("no shape", changed(shape=None), "'shape'"),
    ("shape of strings", changed(shape=["1", 4]), "'shape'"),
    ("shape of bools", changed(shape=[True, 4]), "'shape'"),
    ("fractional shape", changed(shape=[1.0, 4]), "'shape'"),
    ("negative size", changed(shape=[-1, 4]), "'shape'"),
    ("size of 2^63", changed(shape=[1 << 63, 4]), "'shape'"),
    ("rank 33", changed(shape=[1] * 33), "'shape'"),
    ("wrong rank", changed(shape=[4]), "has shape"),
    ("wrong static size", changed(shape=[1, 3], data=[1, 2, 3]), "has shape"),
    ("huge size for little data", changed(shape=[1 << 40, 4]), "asks 4398046511104 elements"),
    ("size whose bytes overflow", changed(shape=[(1 << 62) + 1, 4]), "elements"),
    ("too few elements", changed(data=[1, 2, 3]), "3 elements"),
    ("too many elements", changed(data=[1, 2, 3, 4, 5]), "5 elements"),
    ("other nesting", changed(data=[[1, 2], [3, 4]]), "shape"),
    ("ragged", changed(data=[[1, 2, 3], [4]]), "regular array"),
    ("data is a string", changed(data="1234"), "must be a list"),
    ("strings", changed(data=["1", "2", "3", "4"]), "not FP32"),
    ("a null", changed(data=[1, 2, 3, None]), "not FP32"),
    ("an object", changed(data=[1, 2, 3, {}]), "not FP32"),
    ("bools for floats", changed(data=[True] * 4), "not FP32"),
    ("float overflow", changed(data=[1e39, 0, 0, 0]), "out of the range"),
    ("no data", {"inputs": [{k: v for k, v in FLOAT32.items() if k != "data"}]}, "neither"),
    ("data and binary", changed(parameters={"binary_data_size": 16}), "both"),
    ("parameters are a list", changed(parameters=[]), "must be a JSON object"),
    ("shared memory", changed(parameters={"shared_memory_region": "r"}), "not supported"),
    ("sequence", {"parameters": {"sequence_id": 1}, "inputs": [FLOAT32]}, "not supported"),
    ("reserved prefix", {"parameters": {"triton_x": 1}, "inputs": [FLOAT32]}, "not supported"),
    ("negative timeout", {"parameters": {"timeout": -1}, "inputs": [FLOAT32]}, "timeout"),
    ("timeout of text", {"parameters": {"timeout": "1"}, "inputs": [FLOAT32]}, "timeout"),
    ("priority of bool", {"parameters": {"priority": True}, "inputs": [FLOAT32]}, "priority"),
    ("binary_data_output of 1", {"parameters": {"binary_data_output": 1}, "inputs": [FLOAT32]}, "true or false"),
    ("unknown output", {"inputs": [FLOAT32], "outputs": [{"name": "z"}]}, "no output 'z'"),
    ("output twice", {"inputs": [FLOAT32], "outputs": [{"name": "y"}, {"name": "y"}]}, "given twice"),
    ("outputs are an object", {"inputs": [FLOAT32], "outputs": {"name": "y"}}, "must be a list"),
    (
        "classification",
        {"inputs": [FLOAT32], "outputs": [{"name": "y", "parameters": {"classification": 1}}]},
        "not sup",
    ),
]


@pytest.mark.parametrize(("document", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_requests_name_their_fault(affine: Signature, document: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        read(affine, document)
    assert caught.value.status == 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "data"),
    [
        ("int8", [128, 0, 0]),
        ("uint8", [-1, 0, 0]),
        ("uint8", [1.5, 0, 0]),
        ("int64", [1 << 63, 0, 0]),
        ("int64", [1e18, 0, 0]),
        ("uint64", [-1, 0, 0]),
        ("uint64", [1 << 64, 0, 0]),
        ("uint64", [1.0, 0, 0]),
        ("uint64", [True, 0, 0]),
        ("bool", [0, 1, 1]),
        ("float16", [1e5, 0, 0]),
    ],
)
def test_numbers_that_do_not_fit(fakes: Fakes, dtype: str, data: list[Any]) -> None:
    entry = {"name": "x", "shape": [1, 3], "datatype": datatype_name(np.dtype(dtype)), "data": data}
    with pytest.raises(InvalidRequest):
        read(Signature(fakes.identity(dtype)), {"inputs": [entry]})


@pytest.mark.parametrize(
    ("size", "tail", "header", "message"),
    [
        (16, 12, None, "expecting 4 additional bytes"),
        (16, 20, None, "additional input data: 4"),
        (12, 12, None, "binary_data_size is 12"),
        (1 << 40, 16, None, "binary_data_size is"),
        (-16, 16, None, "binary_data_size"),
        (16, 16, "-1", "Content-Length"),
        (16, 16, "100000", "Content-Length"),
        (16, 16, "ten", "Content-Length"),
        (16, 16, "9" * 5000, "Content-Length"),
        (16, 16, "7", "not valid JSON"),
        (16, 16, "0", "bytes"),
    ],
)
def test_binary_sizes(affine: Signature, size: int, tail: int, header: str | None, message: str) -> None:
    entry = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    with pytest.raises(InvalidRequest, match=message):
        read(affine, {"inputs": [entry]}, bytes(tail), header)


@given(st.binary(max_size=300), st.none() | st.binary(max_size=4) | st.integers(0, 300).map(lambda n: str(n).encode()))
def test_any_bytes_are_either_read_or_refused(body: bytes, header: bytes | None) -> None:
    signature = Signature(_identity(np.dtype("float32")))
    with contextlib.suppress(InvalidRequest):
        assert decode(body, header, signature).inputs["x"].shape[1:] == (3,)


def test_signature_finds_the_batch_axis(fakes: Fakes) -> None:
    spec, function = fakes.spec, fakes.Function

    def batchable(inputs: list[tuple[Any, ...]], outputs: list[tuple[Any, ...]]) -> bool:
        def specs(shapes: list[tuple[Any, ...]]) -> list[Any]:
            return [spec(f"t{i}", "float32", *shape) for i, shape in enumerate(shapes)]

        return Signature(function(specs(inputs), specs(outputs), dict)).batchable

    assert batchable([("N", 3)], [("N",)])
    assert batchable([("N", "L")], [("N", "L//2"), ("N", "N2")])
    assert not batchable([(1, 3)], [(1, 3)])
    assert not batchable([("N", 3)], [(3,)])
    assert not batchable([("N", 3)], [("2*N", 3)])
    assert not batchable([("N", 3), ("M", 3)], [("N", 3)])
    assert not batchable([("N", "N")], [("N",)])
    assert not batchable([("N", 3)], [("N", "N*3")])
    assert not batchable([("N", 3)], [()])
    assert not batchable([], [("N",)])


def test_signature_checks_requests(fakes: Fakes) -> None:
    signature = Signature(fakes.lengths())
    ids = np.zeros((2, 5), np.int64)
    assert signature.check({"mask": ids, "ids": ids}) == (2, ((5,), (5,)))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"ids": ids}, "missing input 'mask'"),
        ({"ids": ids, "mask": ids, "z": ids}, "no input 'z'"),
        ({"ids": ids, "mask": ids[:1]}, "of 'B' differs"),
        ({"ids": ids, "mask": ids[:, :4]}, "of 'L' differs"),
        ({"ids": ids, "mask": ids.astype(np.int32)}, "datatype int32"),
        ({"ids": ids[:0], "mask": ids[:0]}, "no rows"),
    ]
    for inputs, message in wrong:
        with pytest.raises(InvalidRequest, match=message):
            signature.check(inputs)
    with pytest.raises(UnsupportedError, match="complex64"):
        Signature(fakes.identity("complex64"))
