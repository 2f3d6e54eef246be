"""ONNX models with dynamic sizes against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import rushlight as rl  # noqa: E402
from rushlight.exporter.onnx.importer import import_model  # noqa: E402
from rushlight.runtime.ir import verify  # noqa: E402
from rushlight.runtime.reference import run_reference  # noqa: E402

Model = Any
Array = np.ndarray[Any, np.dtype[Any]]
Shape = Sequence["int | str"]
RNG = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def make_model(
    nodes: Sequence[Any],
    inputs: Mapping[str, tuple[Any, Shape]],
    outputs: Sequence[str],
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
    functions: Sequence[Any] = (),
    domains: Sequence[str] = (),
) -> Model:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), list(shape))
            for name, (dtype, shape) in inputs.items()
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))


def compare(model: Model, *feeds: Mapping[str, Array], tolerance: float = 1e-4) -> Any:
    """Imports `model` once and compares with ONNX Runtime on every feed; the graph."""
    graph, _ = import_model(model)
    verify(graph)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for feed in feeds:
        results = run_reference(graph, feed)
        for output, expected in zip(session.get_outputs(), session.run(None, dict(feed)), strict=True):
            result = results[output.name]
            assert result.dtype == expected.dtype
            assert result.shape == expected.shape
            np.testing.assert_allclose(result, expected, tolerance, tolerance)
    return graph


node: Callable[..., Any] = helper.make_node


def test_reshape_keeps_batch_and_merges_the_rest() -> None:
    nodes = [node("Reshape", ["x", "s"], ["y"])]
    model = make_model(nodes, {"x": (np.float32, ["N", 3, "H", 4])}, ["y"], {"s": np.array([0, -1, 6])})
    compare(model, {"x": floats(2, 3, 5, 4)}, {"x": floats(1, 3, 1, 4)})


def test_shape_arithmetic_is_computed_at_import() -> None:
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "zero"], ["n"], axis=0),
        node("Gather", ["shape", "one"], ["s"], axis=0),
        node("Mul", ["s", "two"], ["s2"]),
        node("Unsqueeze", ["n", "zeros"], ["nu"]),
        node("Unsqueeze", ["s2", "zeros"], ["su"]),
        node("Concat", ["nu", "su", "minus"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {"zero": np.array(0), "one": np.array(1), "two": np.array(2), "zeros": np.array([0])}
    constants["minus"] = np.array([-1])
    model = make_model(nodes, {"x": (np.float32, ["N", "S", 8])}, ["y"], constants)
    graph = compare(model, {"x": floats(2, 3, 8)}, {"x": floats(1, 7, 8)})
    assert [n.op.name for n in graph.nodes] == ["reshape"]


def test_sizes_in_floats_are_floored() -> None:
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Slice", ["shape", "two", "four"], ["hw"]),
        node("Cast", ["hw"], ["hwf"], to=TensorProto.FLOAT),
        node("Mul", ["hwf", "scale"], ["scaled"]),
        node("Floor", ["scaled"], ["floored"]),
        node("Cast", ["floored"], ["size"], to=TensorProto.INT64),
        node("Slice", ["shape", "zero", "two"], ["nc"]),
        node("Concat", ["nc", "size"], ["sizes"], axis=0),
        node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
    ]  # fmt: skip
    constants = {"zero": np.array([0]), "two": np.array([2]), "four": np.array([4]), "scale": np.float32([1.5, 0.5])}
    model = make_model(nodes, {"x": (np.float32, ["N", 2, "H", "W"])}, ["y"], constants)
    compare(model, {"x": floats(1, 2, 4, 6)}, {"x": floats(3, 2, 5, 9)})


def test_expand_with_where_on_its_shape() -> None:
    """The idiom that torch.onnx writes for expand: -1 is replaced by 1 and broadcast."""
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Equal", ["shape", "minus"], ["is_minus"]),
        node("Where", ["is_minus", "ones", "shape"], ["target"]),
        node("Expand", ["y", "target"], ["z"]),
    ]
    constants = {"minus": np.array([-1, -1]), "ones": np.array([1, 1]), "y": floats(1, 5)}
    compare(make_model(nodes, {"x": (np.float32, ["N", 5])}, ["z"], constants), {"x": floats(4, 5)})


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ([1], [np.iinfo(np.int64).max], [1], [1]),
        ([0], [-1], [1], [1]),
        ([-3], [np.iinfo(np.int64).max], [1], [1]),
        ([0, 1], [2, -1], [0, 1], [1, 2]),
        ([-1], [np.iinfo(np.int64).min], [1], [-1]),
    ],
)
def test_slice_of_dynamic_axis(starts: list[int], ends: list[int], axes: list[int], steps: list[int]) -> None:
    constants = {k: np.array(v) for k, v in {"s": starts, "e": ends, "a": axes, "t": steps}.items()}
    nodes = [node("Slice", ["x", "s", "e", "a", "t"], ["y"])]
    model = make_model(nodes, {"x": (np.float32, [2, "S"])}, ["y"], constants)
    compare(model, {"x": floats(2, 7)}, {"x": floats(2, 4)})


def test_convolution_network() -> None:
    constants = {
        "w": floats(8, 3, 3, 3), "b": floats(8), "g": floats(8), "h": floats(8), "m": floats(8),
        "v": np.abs(floats(8)) + 1, "d": floats(8, 1, 3, 3), "f": floats(5, 8), "fb": floats(5),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w", "b"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["a", "g", "h", "m", "v"], ["n"]),
        node("Clip", ["n", "low", "high"], ["c"]),
        node("Conv", ["c", "d"], ["k"], group=8, auto_pad="SAME_UPPER"),
        node("HardSigmoid", ["k"], ["q"]),
        node("Mul", ["k", "q"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=0),
        node("GlobalAveragePool", ["p"], ["e"]),
        node("Flatten", ["e"], ["l"]),
        node("Gemm", ["l", "f", "fb"], ["z"], transB=1),
        node("Softmax", ["z"], ["y"]),
    ]
    constants |= {"low": np.float32(0), "high": np.float32(6)}
    model = make_model(nodes, {"x": (np.float32, ["N", 3, "H", "W"])}, ["y"], constants)
    compare(model, {"x": floats(1, 3, 32, 32)}, {"x": floats(2, 3, 17, 23)})


def test_pyramid_declares_multiples() -> None:
    """Halving and doubling again fits even sizes only: the input says so."""
    nodes = [
        node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Resize", ["p", "", "scales"], ["u"], mode="nearest", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
        node("Add", ["x", "u"], ["y"]),
    ]  # fmt: skip
    model = make_model(nodes, {"x": (np.float32, [1, 2, "H", "W"])}, ["y"], {"scales": np.float32([1, 1, 2, 2])})
    graph = compare(model, {"x": floats(1, 2, 6, 8)})
    assert [str(dim) for dim in graph.inputs[0].shape] == ["1", "2", "2*H", "2*W"]
    with pytest.raises(rl.ShapeError):
        run_reference(graph, {"x": floats(1, 2, 5, 8)})


def test_squeezed_axis_narrows_the_size() -> None:
    """Text recognition counts on a height that comes out as 1: the range of the input's height says so."""
    nodes = [
        node("AveragePool", ["x"], ["p"], kernel_shape=[4, 1], strides=[4, 1]),
        node("Squeeze", ["p", "axes"], ["s"]),
        node("Transpose", ["s"], ["y"], perm=[0, 2, 1]),
    ]
    model = make_model(nodes, {"x": (np.float32, ["N", 2, "H", "W"])}, ["y"], {"axes": np.array([2])})
    graph = compare(model, {"x": floats(2, 2, 4, 9)}, {"x": floats(1, 2, 7, 3)})
    assert (graph.symbols["H"].low, graph.symbols["H"].high) == (4, 7)
    with pytest.raises(rl.ShapeError):
        run_reference(graph, {"x": floats(1, 2, 8, 3)})


def test_unnamed_axes_that_must_agree_become_one_symbol() -> None:
    model = make_model(
        [node("Concat", ["x", "y"], ["z"], axis=1)], {"x": (np.float32, [None, 3]), "y": (np.float32, [None, 4])}, ["z"]
    )
    graph = compare(model, {"x": floats(3, 3), "y": floats(3, 4)})
    assert graph.inputs[0].shape[0] == graph.inputs[1].shape[0]


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_recurrent(op: str, direction: str) -> None:
    gates, directions, hidden, size = (4 if op == "LSTM" else 3), (2 if direction == "bidirectional" else 1), 5, 6
    constants = {
        "w": floats(directions, gates * hidden, size),
        "r": floats(directions, gates * hidden, hidden),
        "b": floats(directions, 2 * gates * hidden),
    }
    extra = ["c0"] if op == "LSTM" else []
    outputs = ["y", "yh"] + (["yc"] if op == "LSTM" else [])
    nodes = [node(op, ["x", "w", "r", "b", "", "h0", *extra], outputs, hidden_size=hidden, direction=direction)]
    inputs: dict[str, tuple[Any, Shape]] = {"x": (np.float32, ["T", "N", size])}
    for name in ["h0", *extra]:
        inputs[name] = (np.float32, [directions, "N", hidden])
    feed = {"x": floats(7, 3, size)} | {name: floats(directions, 3, hidden) for name in ["h0", *extra]}
    compare(make_model(nodes, inputs, outputs, constants), feed)


@pytest.mark.parametrize("opset", [11, 13])
def test_softmax_of_both_meanings(opset: int) -> None:
    model = make_model([node("Softmax", ["x"], ["y"], axis=1)], {"x": (np.float32, ["N", "S", 4])}, ["y"], opset=opset)
    compare(model, {"x": floats(2, 3, 4)})


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]),
        ("ij,jk", [(3, 4), (4, 5)]),
        ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
        ("bij->bj", [(2, 3, 4)]),
        ("i,j->ij", [(3,), (4,)]),
        ("abc,cd,bd->ad", [(2, 3, 4), (4, 5), (3, 5)]),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    names = [f"x{index}" for index in range(len(shapes))]
    inputs = {name: (np.float32, list(shape)) for name, shape in zip(names, shapes, strict=True)}
    model = make_model([node("Einsum", names, ["y"], equation=equation)], inputs, ["y"])
    compare(model, {name: floats(*shape) for name, shape in zip(names, shapes, strict=True)})


def test_quantized_convolution_keeps_integer_weights() -> None:
    constants = {
        "xs": np.float32(0.05), "xz": np.uint8(120), "ws": np.abs(floats(4)) / 50 + 0.01, "wz": np.zeros(4, np.int8),
        "w": RNG.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8), "ys": np.float32(0.2), "yz": np.uint8(100),
    }  # fmt: skip
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        node("Conv", ["xd", "wd"], ["c"]),
        node("QuantizeLinear", ["c", "ys", "yz"], ["cq"]),
        node("DequantizeLinear", ["cq", "ys", "yz"], ["y"]),
    ]
    model = make_model(nodes, {"x": (np.float32, ["N", 3, 8, 8])}, ["y"], constants)
    graph = compare(model, {"x": floats(2, 3, 8, 8)}, tolerance=0.21)
    assert sum(n.op.name == "dequantize" for n in graph.nodes) == 3


def branch(name: str, op: str) -> Any:
    return helper.make_graph([node(op, ["x"], [name])], name, [], [helper.make_empty_tensor_value_info(name)])


def test_if_with_a_constant_condition_is_inlined() -> None:
    nodes = [node("If", ["c"], ["y"], then_branch=branch("t", "Relu"), else_branch=branch("e", "Unique"))]
    model = make_model(nodes, {"x": (np.float32, ["N", 3])}, ["y"], {"c": np.array(True)})
    graph = compare(model, {"x": floats(2, 3)})
    assert [n.op.name for n in graph.nodes] == ["relu"]


def test_if_that_depends_on_data() -> None:
    nodes = [
        node("ReduceSum", ["x"], ["s"], keepdims=0),
        node("Greater", ["s", "zero"], ["c"]),
        node("If", ["c"], ["y"], then_branch=branch("t", "Exp"), else_branch=branch("e", "Neg")),
    ]
    model = make_model(nodes, {"x": (np.float32, ["N", 3])}, ["y"], {"zero": np.float32(0)})
    compare(model, {"x": np.abs(floats(2, 3))}, {"x": -np.abs(floats(2, 3))})


def test_local_function_with_attribute() -> None:
    body = [node("LeakyRelu", ["a"], ["b"]), node("Add", ["b", "a"], ["c"])]
    attribute = helper.make_attribute("alpha", 0.0)
    attribute.ref_attr_name, attribute.name = "slope", "alpha"
    attribute.ClearField("f")
    body[0].attribute.append(attribute)
    function = helper.make_function("my", "Double", ["a"], ["c"], body, [helper.make_opsetid("", 17)], ["slope"])
    nodes = [node("Double", ["x"], ["y"], domain="my", slope=0.3)]
    model = make_model(nodes, {"x": (np.float32, ["N"])}, ["y"], functions=[function], domains=["my"])
    compare(model, {"x": floats(5)})


def test_external_data(tmp_path: Path) -> None:
    model = make_model(
        [node("MatMul", ["x", "w"], ["y"])], {"x": (np.float32, ["N", 64])}, ["y"], {"w": floats(64, 32)}
    )
    path = tmp_path / "m.onnx"
    onnx.save_model(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size >= 64 * 32 * 4
    program = rl.export(path)
    x = floats(3, 64)
    np.testing.assert_allclose(run_reference(program.graph, {"x": x})["y"], x @ numpy_helper.to_array(
        onnx.load(str(path)).graph.initializer[0]), 1e-5, 1e-5)  # fmt: skip


def test_all_unsupported_operators_are_named_at_once() -> None:
    nodes = [
        node("NonZero", ["x"], ["a"], name="first"),
        node("NonZero", ["x"], ["b"], name="second"),
        node("Foo", ["x"], ["c"], name="foo", domain="com.example"),
        node("MaxPool", ["p"], ["d"], kernel_shape=[2, 2, 2], name="pool"),
        node("Reshape", ["x", "s"], ["e"], name="shaped"),
    ]
    inputs: dict[str, tuple[Any, Shape]] = {
        "x": (np.float32, ["N", 3]), "p": (np.float32, [1, 1, 4, 4, 4]), "s": (np.int64, [2])
    }  # fmt: skip
    model = make_model(nodes, inputs, ["a", "b", "c", "d", "e"], domains=["com.example"])
    with pytest.raises(rl.UnsupportedError) as error:
        import_model(model)
    assert "NonZero (2x, first 'first')" in str(error.value)
    assert "com.example.Foo ('foo')" in str(error.value)
    model = make_model(nodes[3:], inputs, ["d", "e"])
    with pytest.raises(rl.UnsupportedError) as error:
        import_model(model)
    assert "MaxPool: over 3 spatial axes ('pool')" in str(error.value)
    assert "Reshape: the shape depends on data ('shaped')" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09\x12\xff\xff\xff\xff\x0f"])
def test_damaged_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(rl.RushlightError) as error:
        rl.export(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Relu", ["nowhere"], ["y"])],
        [node("Conv", ["x", "x"], ["y"])],
        [node("Transpose", ["x"], ["y"], perm=[5, 7])],
        [node("Concat", ["x", "x"], ["y"], axis=9)],
        [node("Add", ["x"], ["y"])],
        [node("Reshape", ["x", "bad"], ["y"])],
        [node("Gather", ["x", "far"], ["y"], axis=1)],
    ],
    ids=lambda nodes: nodes[0].op_type,
)
def test_malformed_model_is_one_line(nodes: list[Any]) -> None:
    constants = {"bad": np.array([7, 11]), "far": np.array(99)}
    model = make_model(nodes, {"x": (np.float32, [2, 3])}, ["y"], constants)
    with pytest.raises(rl.RushlightError) as error:
        import_model(model)
    assert "\n" not in str(error.value)


def test_dynamic_names_and_fixes_axes(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(make_model([node("Relu", ["x"], ["y"])], {"x": (np.float32, ["a", 3, "b"])}, ["y"]), str(path))
    program = rl.export(path, dynamic={"x": {0: "N", 2: 48}})
    assert str(program.graph.inputs[0].type) == "float32[N, 3, 48]"
    with pytest.raises(rl.ShapeError, match="no input 'z'"):
        rl.export(path, dynamic={"z": {0: "N"}})
    assert set(program.provenance["source"]) == {"kind", "sha256", "producer"}
    assert str(tmp_path) not in str(program.provenance)
