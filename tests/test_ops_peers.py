"""Operators that PyTorch (in float64) or ONNX Runtime have under another signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import pytest

from rushlight.runtime.ops import Array, Case, get, registry

torch = pytest.importorskip("torch")
functional = torch.nn.functional

Tensor = Any


def channels_first(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function` of NCHW data, for both layouts."""

    def run(x: Tensor, *rest: Any, layout: str, **attrs: Any) -> Tensor:
        if layout == "NCHW":
            return function(x, *rest, **attrs)
        return function(x.movedim(-1, 1), *rest, **attrs).movedim(1, -1)

    return run


def div(a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


def prelu(x: Tensor, weight: Tensor) -> Tensor:
    return torch.where(x > 0, x, x * weight)


def reduction(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function` of one dimension, applied to each of `dim` in turn."""

    def run(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
        axes = sorted(d % x.ndim for d in dim or range(x.ndim))
        for axis in reversed(axes):
            x = function(x, dim=axis, keepdim=keepdim)
        return x

    return run


def total(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return torch.sum(x, dim=dim, keepdim=keepdim, dtype=x.dtype)


def logsumexp(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return torch.logsumexp(x, dim=dim or tuple(range(x.ndim)), keepdim=keepdim)


def layer_norm(x: Tensor, weight: Tensor = None, bias: Tensor = None, *, normalized_dims: int, eps: float) -> Tensor:
    return functional.layer_norm(x, x.shape[-normalized_dims:], weight, bias, eps)


def rms_norm(x: Tensor, weight: Tensor = None, *, normalized_dims: int, eps: float) -> Tensor:
    return functional.rms_norm(x, x.shape[-normalized_dims:], weight, eps)


def batch_norm(
    x: Tensor, mean: Tensor, var: Tensor, weight: Tensor = None, bias: Tensor = None, *, eps: float
) -> Tensor:
    return functional.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)


def group_norm(x: Tensor, weight: Tensor = None, bias: Tensor = None, *, num_groups: int, eps: float) -> Tensor:
    return functional.group_norm(x, num_groups, weight, bias, eps)


def quantize(x: Tensor, scale: Tensor, zero_point: Tensor, *, dtype: str, axis: int | None) -> Tensor:
    """ONNX's QuantizeLinear, by ONNX Runtime."""
    arrays = {"x": x.numpy(), "scale": scale.numpy(), "zero_point": zero_point.numpy()}
    inputs = [
        onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in arrays.items()
    ]
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = onnx.helper.make_node("QuantizeLinear", list(arrays), ["q"], axis=0 if axis is None else axis)
    output = onnx.helper.make_tensor_value_info("q", kind, x.shape)
    graph = onnx.helper.make_graph([node], "one", inputs, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, arrays)[0])


def dequantize(x: Tensor, scale: Tensor, zero_point: Tensor, *, axis: int | None) -> Tensor:
    shape = [-1 if axis is not None and i == axis % x.ndim else 1 for i in range(x.ndim)]
    return (x.to(scale.dtype) - zero_point.reshape(shape).to(scale.dtype)) * scale.reshape(shape)


def fma(x: Tensor, scale: Tensor, offset: Tensor, *, activation: str, alpha: float, beta: float) -> Tensor:
    y = torch.addcmul(offset, x, scale)
    if activation == "clamp":
        return y.clamp(alpha, beta)
    return y if activation == "none" else getattr(functional, activation)(y)


PEERS: dict[str, Callable[..., Tensor]] = {
    "all": reduction(torch.all),
    "any": reduction(torch.any),
    "batch_norm": channels_first(batch_norm),
    "cumsum": lambda x, dim: torch.cumsum(x, dim, dtype=x.dtype),
    "dequantize": dequantize,
    "div": div,
    "fma": fma,
    "group_norm": channels_first(group_norm),
    "layer_norm": layer_norm,
    "logsumexp": logsumexp,
    "prelu": prelu,
    "prod": reduction(lambda x, dim, keepdim: torch.prod(x, dim, keepdim=keepdim, dtype=x.dtype)),
    "quantize": quantize,
    "rms_norm": rms_norm,
    "sum": total,
}

UNDEFINED_IN_PEER: dict[str, Callable[[Case], bool]] = {
    "div": lambda case: case.inputs[0].dtype.kind != "f" and not np.all(case.inputs[1]),  # type: ignore[union-attr]
    "quantize": lambda case: not np.all(np.isfinite(case.inputs[0]) & (np.abs(case.inputs[0]) < 1e9)),  # type: ignore[arg-type]
    "prod": lambda case: case.inputs[0].ndim == 0,  # type: ignore[union-attr]
    "batch_norm": lambda case: case.inputs[0].size == 0,  # type: ignore[union-attr]
}

WITH_ANOTHER_TRUTH = {
    "cast": "below",
    "qadd": "tests/test_integer.py",
    "qaffine": "tests/kernels/test_quantize.py",
    "qattention": "tests/test_integer_attention.py",
    "qavg_pool2d": "tests/test_integer.py",
    "qconv2d": "tests/test_integer.py",
    "qgru_scan": "tests/test_integer.py",
    "qlinear": "tests/test_integer.py",
    "qlstm_scan": "tests/test_integer.py",
    "qlut": "tests/test_integer.py",
    "qmean": "tests/test_integer.py",
    "qmul": "tests/test_integer.py",
    "qwindow_attention": "tests/test_integer_attention.py",
}
FAMILIES = {"unary", "cast", "binary", "reduce", "softmax", "norm", "quantize", "integer"}


def widen(array: Array | None) -> Array | None:
    return array.astype(np.float64) if array is not None and array.dtype == np.float32 else array


@pytest.mark.parametrize("name", sorted(PEERS))
def test_agrees_with_the_peer(name: str) -> None:
    op = get(name)
    compared = 0
    for index, case in enumerate(op.cases()):
        if name in UNDEFINED_IN_PEER and UNDEFINED_IN_PEER[name](case):
            continue
        attrs = op.complete_attrs(case.attrs)
        inputs = case.inputs if op.family == "quantize" else [widen(a) for a in case.inputs]
        (expected,) = op.run_reference(inputs, attrs)
        actual = PEERS[name](*(None if a is None else torch.from_numpy(a.copy()) for a in inputs), **attrs).numpy()
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12, err_msg=f"case {index} {dict(case.attrs)}")
        compared += 1
    assert compared > 0


def test_every_operator_has_a_truth_outside() -> None:
    named = {op.name for op in registry().values() if op.onnx or op.aten}
    names = {op.name for op in registry().values() if op.family in FAMILIES}
    assert names == (names & named) | set(PEERS) | set(WITH_ANOTHER_TRUTH)


def test_cast_saturates() -> None:
    wild = np.array([0.9, -0.9, 127.5, 200, -200, 3e9, -3e9, 1e19, -1e19, np.inf, -np.inf, np.nan], np.float32)
    cast = get("cast").reference
    assert cast(wild, "int8").tolist() == [0, 0, 127, 127, -128, 127, -128, 127, -128, 127, -128, 0]
    assert cast(wild, "uint8").tolist() == [0, 0, 127, 200, 0, 255, 0, 255, 0, 255, 0, 0]
    assert cast(wild, "int64")[5:9].tolist() == [3000000000, -3000000000, 2**63 - 1, -(2**63)]
    assert cast(wild, "uint64")[7:9].tolist() == [9999999980506447872, 0]
    assert cast(wild, "bool").all()


@pytest.mark.parametrize("source", ["float32", "int64", "uint8", "int8", "bool"])
@pytest.mark.parametrize("target", ["float32", "float64", "float16", "int8", "int32", "int64", "uint8", "bool"])
def test_cast_agrees_with_torch_inside_the_range(source: str, target: str) -> None:
    low = 0 if "u" in source + target else -100
    x = np.random.default_rng(0).uniform(low, 100, 257).astype(source)
    expected = torch.from_numpy(x).to(getattr(torch, target)).numpy()
    np.testing.assert_array_equal(get("cast").reference(x, target), expected)


def test_layouts_of_a_norm_agree() -> None:
    x = np.random.default_rng(0).standard_normal((2, 6, 3, 5))
    for name, parameters, attrs in (("batch_norm", 4, {}), ("group_norm", 2, {"num_groups": 3})):
        op = get(name)
        given = [np.random.default_rng(i).uniform(0.5, 2, 6) for i in range(parameters)]
        first = op.reference(x, *given, **op.complete_attrs(attrs))
        last = op.reference(np.moveaxis(x, 1, -1), *given, **op.complete_attrs({**attrs, "layout": "NHWC"}))
        np.testing.assert_allclose(np.moveaxis(last, -1, 1), first, rtol=1e-12)
