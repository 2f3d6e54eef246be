"""ONNX's own node tests, imported and run by the reference interpreter, operator by operator.

Parameters that decide shapes (axes, pads, sizes, ...) are inputs in these tests; here they become initializers, as
exporters write them.
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from rushlight.exporter.onnx.importer import import_model, plain_operators, rules  # noqa: E402
from rushlight.runtime.errors import UnsupportedError  # noqa: E402
from rushlight.runtime.reference import run_reference  # noqa: E402

_BY_FUNCTION = """
AffineGrid Attention CausalConvWithState Celu CenterCropPad DynamicQuantizeLinear MeanVarianceNormalization
NegativeLogLikelihoodLoss RotaryEmbedding Selu Shrink SoftmaxCrossEntropyLoss Softsign SwiGLU Swish ThresholdedRelu
"""
OPERATORS = sorted({*rules(), *plain_operators(), *_BY_FUNCTION.split()})
"""Those with a rule or an operator of their own, and those that ONNX's own function bodies bring down to these."""

LEFT_OUT = r"empty_set|_zero$"
"""Inputs with an axis of size 0, which these files declare as unknown."""

KNOWN_TYPES = "FLOAT DOUBLE FLOAT16 BFLOAT16 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 BOOL"

_REFUSED = """
averagepool_2d_dilations averagepool_3d_default
averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_False
averagepool_3d_dilations_large_count_include_pad_is_0_ceil_mode_is_True
averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_False
averagepool_3d_dilations_large_count_include_pad_is_1_ceil_mode_is_True averagepool_3d_dilations_small
batchnorm_epsilon_training_mode batchnorm_example_training_mode convtranspose_3d convtranspose_output_shape
dequantizelinear_blocked einsum_batch_diagonal lstm_with_peepholes maxpool_3d_default maxpool_3d_dilations
maxpool_3d_dilations_use_ref_impl maxpool_3d_dilations_use_ref_impl_large
maxpool_with_argmax_2d_precomputed_pads maxpool_with_argmax_2d_precomputed_strides not_2d not_3d not_4d
quantizelinear_blocked_asymmetric quantizelinear_blocked_symmetric quantizelinear_int16 quantizelinear_uint16
resize_downsample_scales_cubic_A_n0p5_exclude_outside resize_downsample_scales_cubic_align_corners
resize_downsample_scales_cubic_antialias resize_downsample_scales_linear_align_corners
resize_downsample_scales_linear_antialias resize_downsample_scales_linear_half_pixel_symmetric
resize_downsample_sizes_cubic_antialias resize_downsample_sizes_linear_antialias
resize_downsample_sizes_nearest_not_larger resize_downsample_sizes_nearest_not_smaller resize_tf_crop_and_resize
resize_tf_crop_and_resize_axes_2_3 resize_tf_crop_and_resize_axes_3_2
resize_tf_crop_and_resize_extrapolation_value resize_upsample_scales_cubic_A_n0p5_exclude_outside
resize_upsample_scales_linear_half_pixel_symmetric resize_upsample_sizes_nearest_not_larger
resize_upsample_sizes_nearest_not_smaller training_dropout training_dropout_default
training_dropout_default_mask training_dropout_mask training_dropout_zero_ratio training_dropout_zero_ratio_mask
wrap_pad
"""
REFUSED = _REFUSED.split()
"""Cases of options or operator sets that are not supported, without the prefix ``test_``."""

FIXED: dict[str, range] = {
    "CastLike": range(1, 2), "CenterCropPad": range(1, 2), "ConstantOfShape": range(1), "CumSum": range(1, 2),
    "Dropout": range(1, 3),
    "Expand": range(1, 2), "GRU": range(4, 5), "LSTM": range(4, 5), "OneHot": range(1, 2), "Pad": range(1, 4),
    "Range": range(3), "Reshape": range(1, 2), "Resize": range(1, 4), "Slice": range(1, 5), "Split": range(1, 2),
    "Squeeze": range(1, 2), "Tile": range(1, 2), "TopK": range(1, 2), "Trilu": range(1, 2), "Unsqueeze": range(1, 2),
    "Upsample": range(1, 2), "AffineGrid": range(1, 2),
}  # fmt: skip
"""Inputs by position that decide shapes, or of which only the type counts."""


BFLOAT16_RTOL = 2.0**-6
"""Programs do not round what ONNX rounds to bfloat16."""


@cache
def cases() -> dict[str, list[Any]]:
    """The cases by operator; those with function bodies spelled out are the same once more."""
    from onnx.backend.test.loader import load_model_tests

    found: dict[str, list[Any]] = defaultdict(list)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for case in load_model_tests(kind="node"):
            nodes = case.model.graph.node
            if len(nodes) == 1 and not nodes[0].domain and "_expanded" not in case.name:
                found[nodes[0].op_type].append(case)
    return found


def as_array(item: Any) -> Any:
    return onnx.numpy_helper.to_array(item) if isinstance(item, onnx.TensorProto) else np.asarray(item)


def widened(array: np.ndarray) -> np.ndarray:
    """Graphs hold bfloat16, which NumPy lacks, in float32."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def run_case(case: Any) -> None:
    inputs, outputs = ([as_array(item) for item in part] for part in case.data_sets[0])
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    node = model.graph.node[0]
    positions = FIXED.get(node.op_type, range(1, 2) if node.op_type.startswith("Reduce") else range(0))
    fixed = {node.input[position] for position in positions if position < len(node.input)}
    kept = []
    feed = {}
    for value, array in zip(case.model.graph.input, inputs, strict=True):
        if value.name in fixed:
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
        else:
            kept.append(value)
            feed[value.name] = widened(array)
    del model.graph.input[:]
    model.graph.input.extend(kept)
    graph, _ = import_model(model)
    with np.errstate(all="ignore"):
        results = run_reference(graph, feed)
    for value, expected in zip(model.graph.output, outputs, strict=True):
        result = results[value.name]
        rtol = case.rtol if widened(expected) is expected else max(case.rtol, BFLOAT16_RTOL)
        assert result.dtype == widened(expected).dtype, case.name
        assert result.shape == expected.shape, case.name
        np.testing.assert_allclose(result, widened(expected), rtol, case.atol, err_msg=case.name)


def has_known_types(model: Any) -> bool:
    """Whether all inputs and outputs are tensors of types that graphs can hold."""
    for value in [*model.graph.input, *model.graph.output]:
        name = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        if value.type.WhichOneof("value") != "tensor_type" or name not in KNOWN_TYPES:
            return False
    return True


passed: dict[str, int] = {}


@pytest.mark.parametrize("op", OPERATORS)
def test_node(op: str) -> None:
    assert cases()[op], f"no test of {op}"
    count = 0
    for case in cases()[op]:
        if re.search(LEFT_OUT, case.name):
            continue
        if case.name.removeprefix("test_") in REFUSED or not has_known_types(case.model):
            with pytest.raises(UnsupportedError):
                run_case(case)
        else:
            run_case(case)
            count += 1
    passed[op] = count


def test_count(record_property: Any) -> None:
    """How many of ONNX's node tests pass, of those with one node; reported with the results of the run."""
    total = sum(map(len, cases().values()))
    for op in OPERATORS:
        if op not in passed:
            pytest.skip("needs the whole file")
    record_property("onnx_node_tests", f"{sum(passed.values())} of {total}")
    assert sum(passed.values()) >= 912
