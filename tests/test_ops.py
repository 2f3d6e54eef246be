"""Every operator, by its own record: types, attributes, decompositions, and agreement with ONNX Runtime and PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest

from rushlight.runtime.errors import ShapeError
from rushlight.runtime.ir import Graph, GraphBuilder, Value, verify
from rushlight.runtime.ops import Array, Attr, Case, OpDef, registry
from rushlight.runtime.ops.opdef import REQUIRED
from rushlight.runtime.reference import run_reference
from rushlight.runtime.types import Dim, TensorType, substitute

OPS = sorted(registry().values(), key=lambda op: op.name)
EVERY_OP = pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
SYMBOL = Dim.symbol("N")

Types = list["TensorType | None"]


def types_of(arrays: Sequence[Array | None]) -> Types:
    return [None if a is None else TensorType(a.dtype, a.shape) for a in arrays]


def cases_of(op: OpDef) -> Iterator[tuple[Case, dict[str, Any], str]]:
    for index, case in enumerate(op.cases()):
        shapes = [None if a is None else f"{a.dtype}{list(a.shape)}" for a in case.inputs]
        yield case, op.complete_attrs(case.attrs), f"case {index}: {shapes} {dict(case.attrs)}"


def wide(array: Array | None) -> Array | None:
    return array.astype(np.float64) if array is not None and array.dtype == np.float32 else array


def difference(actual: Array, expected: Array) -> float:
    """Largest difference relative to max(1, |expected|); infinite where one is NaN or infinite and the other is not."""
    assert actual.shape == expected.shape
    if actual.dtype.kind != "f":
        return 0.0 if np.array_equal(actual, expected) else np.inf
    with np.errstate(invalid="ignore"):
        delta = np.abs(actual.astype(np.float64) - expected) / np.maximum(1, np.abs(expected))
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(delta), np.inf, delta)), initial=0.0))


@EVERY_OP
def test_reference_gives_the_inferred_types(op: OpDef) -> None:
    count = 0
    for case, attrs, label in cases_of(op):
        expected = op.infer_types(types_of(case.inputs), attrs)
        results = op.run_reference(case.inputs, attrs)
        assert tuple(TensorType(r.dtype, r.shape) for r in results) == expected, label
        count += 1
    assert count > 0


@EVERY_OP
def test_float64_stays_float64(op: OpDef) -> None:
    for case, attrs, label in cases_of(op):
        inputs = [wide(a) for a in case.inputs]
        if op.family in ("integer", "control") or attrs.get("dtype") == "float32":
            continue
        for type, result in zip(
            op.infer_types(types_of(case.inputs), attrs), op.run_reference(inputs, attrs), strict=True
        ):
            widened = np.dtype(np.float64) if type.dtype == np.float32 else type.dtype
            assert result.dtype == widened, label


@EVERY_OP
def test_references_leave_their_inputs_alone(op: OpDef) -> None:
    for case, attrs, label in cases_of(op):
        copies = [None if a is None else a.copy() for a in case.inputs]
        op.run_reference(case.inputs, attrs)
        for array, copy in zip(case.inputs, copies, strict=True):
            assert array is copy or difference(array, copy) == 0, label  # type: ignore[arg-type]


def symbolic_variants(op: OpDef, case: Case, attrs: Mapping[str, Any]) -> Iterator[tuple[Types, dict[str, Any], int]]:
    """The case with axis 0 of x symbolic, wherever inference takes it: (types, attributes, size of the axis)."""
    first = case.inputs[0] if case.inputs else None
    if first is None or first.ndim == 0 or first.shape[0] < 2:
        return
    size = first.shape[0]
    static = types_of(case.inputs)
    groups = (
        [i for i, t in enumerate(static) if t is not None and t.rank and t.shape[0] == size],
        [i for i, t in enumerate(static) if t is not None and t.shape == first.shape],
        [0],
    )
    renamed = {
        name: (SYMBOL, *value[1:]) if op.attrs[name].kind == "dims" and value[:1] == (size,) else value
        for name, value in attrs.items()
    }
    for group in groups:
        types = [
            t.with_shape((SYMBOL, *t.shape[1:])) if i in group and t is not None else t for i, t in enumerate(static)
        ]
        for chosen in (renamed, dict(attrs)):
            try:
                op.infer_types(types, chosen)
            except ShapeError:
                continue
            yield types, chosen, size
            return


WITHOUT_SYMBOLIC_BATCH = {
    "arange": "has no inputs",
    "dim_values": "has no inputs",
    "full": "has no inputs",
    "cond": "the bodies of its cases are static",
    "while_loop": "the bodies of its cases are static",
}


@EVERY_OP
def test_inference_of_a_symbolic_batch_agrees(op: OpDef) -> None:
    seen = 0
    for case, attrs, label in cases_of(op):
        for types, chosen, size in symbolic_variants(op, case, attrs):
            expected = op.infer_types(types_of(case.inputs), attrs)
            symbolic = op.infer_types(types, chosen)
            bound = tuple(t.with_shape(substitute(d, {"N": size}) for d in t.shape) for t in symbolic)
            assert bound == expected, label
            seen += any(not t.is_static for t in symbolic)
    assert bool(seen) != (op.name in WITHOUT_SYMBOLIC_BATCH)


def decomposed(op: OpDef, types: Types, attrs: Mapping[str, Any]) -> Graph:
    b = GraphBuilder()
    values: list[Value | None] = [
        None if t is None else b.input(f"input{i}", t.dtype, t.shape) for i, t in enumerate(types)
    ]
    assert op.decompose is not None
    out = op.decompose(b, *values, **attrs)
    for name, value in zip(op.outputs, out if isinstance(out, tuple) else (out,), strict=True):
        b.output(name, value)
    verify(b.graph)
    return b.graph


@pytest.mark.parametrize("op", [op for op in OPS if op.decompose], ids=lambda op: op.name)
def test_decomposition_means_the_same(op: OpDef) -> None:
    for case, attrs, label in cases_of(op):
        expected = op.run_reference([wide(a) for a in case.inputs], attrs)
        named = {f"input{i}": a for i, a in enumerate(case.inputs) if a is not None}
        variants = [(types_of(case.inputs), attrs), *((t, a) for t, a, _ in symbolic_variants(op, case, attrs))]
        for types, chosen in variants:
            graph = decomposed(op, types, chosen)
            assert op.name not in {node.op.name for node in graph.nodes}
            assert tuple(value.type for _, value in graph.outputs) == op.infer_types(types, chosen), label
            results = run_reference(graph, named, wide=True)
            for result, wanted in zip(results.values(), expected, strict=True):
                assert difference(result, wanted) <= 1e-6, label  # constants of a decomposition are float32


@pytest.mark.parametrize("op", [op for op in OPS if op.invariant], ids=lambda op: op.name)
def test_invariant(op: OpDef) -> None:
    assert op.invariant is not None
    for case, attrs, label in cases_of(op):
        for inputs in (case.inputs, [wide(a) for a in case.inputs]):
            assert op.invariant(*op.run_reference(inputs, attrs), **attrs), label


@EVERY_OP
def test_unknown_and_missing_attributes_are_errors(op: OpDef) -> None:
    case = next(iter(op.cases()))
    with pytest.raises(ShapeError, match="no attribute nonsense"):
        op.complete_attrs({**case.attrs, "nonsense": 1})
    for name, attr in op.attrs.items():
        if attr.default is REQUIRED:
            rest = {key: value for key, value in case.attrs.items() if key != name}
            with pytest.raises(ShapeError, match=f"'{name}' is missing"):
                op.complete_attrs(rest)
        with pytest.raises(ShapeError, match=name):
            op.complete_attrs({**case.attrs, name: wrong_value(attr)})


def wrong_value(attr: Attr) -> Any:
    if attr.kind in ("str", "dtype"):
        return "no such choice" if attr.choices or attr.kind == "dtype" else 3
    return {"bool": 1, "int": 1.5, "float": "1"}.get(attr.kind, 1.5)


@EVERY_OP
def test_attributes_are_normalized_once(op: OpDef) -> None:
    for _, attrs, label in cases_of(op):
        assert op.complete_attrs(attrs) == attrs, label


@EVERY_OP
def test_wrong_number_of_inputs_is_an_error(op: OpDef) -> None:
    case = next(iter(op.cases()))
    attrs, types = op.complete_attrs(case.attrs), types_of(case.inputs)
    required = sum(not name.endswith("?") for name in op.inputs)
    if required:
        with pytest.raises(ShapeError, match=f"{op.name}: {required - 1} inputs"):
            op.infer_types(types[: required - 1], attrs)
    if not op.is_variadic:
        extra = [*types, *[None] * (len(op.inputs) + 1 - len(types))]
        with pytest.raises(ShapeError, match=f"{op.name}: {len(extra)} inputs"):
            op.infer_types(extra, attrs)


@EVERY_OP
def test_is_documented(op: OpDef) -> None:
    assert len(op.doc) > 5
    assert op.doc.endswith(".")
    assert op.tolerance >= 0
    assert op.name.isidentifier()
    assert op.name == op.name.lower()


ONNX_OPSET = 21
ONNX_OPS = [op for op in OPS if op.onnx]


@pytest.mark.parametrize("op", ONNX_OPS, ids=lambda op: op.name)
def test_agrees_with_onnx(op: OpDef) -> None:
    assert op.onnx is not None
    schema = onnx.defs.get_schema(op.onnx, ONNX_OPSET)
    compared = 0
    for case, attrs, label in cases_of(op):
        if not (
            is_defined("onnx", op, case)
            and has_attributes(op, attrs, set(schema.attributes))
            and has_dtypes(schema, case)
        ):
            continue
        compared += 1
        named = {f"input{i}": a for i, a in enumerate(case.inputs) if a is not None}
        expected = op.run_reference(case.inputs, attrs)
        model = onnx_model(op.onnx, named, expected, {k: v for k, v in attrs.items() if k in schema.attributes})
        for actual, wanted in zip(run_onnx(model, named), expected, strict=True):
            assert actual.dtype == wanted.dtype, label
            assert difference(np.asarray(actual), wanted) <= max(op.tolerance, 2e-6), label
    assert compared > 0


def has_attributes(op: OpDef, attrs: Mapping[str, Any], known: set[str]) -> bool:
    """Whether the other side can say what `attrs` say: attributes that it lacks must have their default."""
    return all(name in known or value == op.attrs[name].default for name, value in attrs.items())


def has_dtypes(schema: Any, case: Case) -> bool:
    """Whether ONNX has the operator for these dtypes."""
    for formal, array in zip(schema.inputs, case.inputs, strict=False):
        number = None if array is None else onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        if number is not None and f"tensor({onnx.TensorProto.DataType.Name(number).lower()})" not in formal.types:
            return False
    return True


def is_defined(side: str, op: OpDef, case: Case) -> bool:
    """False for what the other side leaves undefined or gets wrong, which rushlight defines."""
    a, *rest = case.inputs
    assert a is not None
    if op.name in ("div", "floor_divide", "remainder", "fmod") and a.dtype.kind != "f":
        return rest[0] is not None and bool(np.all(rest[0] != 0))
    if op.name == "sign":  # ONNX says nothing on NaN
        return side == "aten" or not np.any(np.isnan(a))
    if op.name == "gelu":  # PyTorch gives NaN for inf
        return side == "onnx" or not np.any(np.isinf(a))
    if op.name == "one_hot":  # PyTorch takes int64 only
        return a.dtype == np.int64
    return not (op.name == "logsumexp" and case.attrs["dim"] == ())  # PyTorch cannot drop the dimensions then


def onnx_model(op_type: str, inputs: Mapping[str, Array], outputs: Sequence[Array], attrs: Mapping[str, Any]) -> Any:
    def info(name: str, array: Array) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    names = [f"output{i}" for i in range(len(outputs))]
    node = onnx.helper.make_node(op_type, list(inputs), names, **attrs)
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [info(*item) for item in inputs.items()],
        [info(n, o) for n, o in zip(names, outputs, strict=True)],
    )
    opset = onnx.helper.make_opsetid("", ONNX_OPSET)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)


def run_onnx(model: Any, inputs: Mapping[str, Array]) -> list[Array]:
    """By ONNX Runtime; by ONNX's own reference where it has no kernel for the dtype."""
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        from onnx.reference import ReferenceEvaluator

        with np.errstate(all="ignore"):
            return [np.asarray(out) for out in ReferenceEvaluator(model).run(None, dict(inputs))]
    return [np.asarray(out) for out in session.run(None, dict(inputs))]


@pytest.mark.parametrize("op", [op for op in OPS if op.aten], ids=lambda op: op.name)
def test_agrees_with_aten(op: OpDef) -> None:
    torch = pytest.importorskip("torch")
    assert op.aten is not None
    packet, overload = op.aten.split(".")
    function = getattr(getattr(torch.ops.aten, packet), overload)
    arguments = function._schema.arguments
    tensors = [a.name for a in arguments if "Tensor" in str(a.type)]
    names = {a.name for a in arguments}
    assert len(tensors) >= len(op.inputs)
    compared = 0
    for case, attrs, label in cases_of(op):
        if not (is_defined("aten", op, case) and has_attributes(op, attrs, names)):
            continue
        compared += 1
        given = {
            name: None if array is None else torch.from_numpy(array.copy())
            for name, array in zip(tensors, case.inputs, strict=False)
        }
        whole = all(a is None or a.dtype.kind in "iu" for a in case.inputs)
        keywords = {k: int(v) if whole and isinstance(v, float) else v for k, v in attrs.items() if k in names}
        expected = op.run_reference(case.inputs, attrs)
        results = function(**given, **keywords)
        for actual, wanted in zip(results if isinstance(results, tuple) else (results,), expected, strict=True):
            assert str(actual.dtype) == f"torch.{wanted.dtype}", label
            assert difference(actual.numpy(), wanted) <= max(op.tolerance, 2e-6), label
    assert compared > 0
