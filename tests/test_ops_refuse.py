"""What operators refuse: dtypes, shapes and attributes that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from rushlight.runtime.errors import ShapeError
from rushlight.runtime.ops import get
from rushlight.runtime.types import TensorType, tensor_type


def f32(*shape: int | str) -> TensorType:
    return tensor_type("float32", shape)


def of(dtype: str, *shape: int | str) -> TensorType:
    return tensor_type(dtype, shape)


def infer(name: str, *types: TensorType | None, **attrs: Any) -> tuple[TensorType, ...]:
    op = get(name)
    return op.infer_types(types, op.complete_attrs(attrs))


@pytest.mark.parametrize(
    ("name", "types", "attrs", "message"),
    [
        ("exp", [of("int32", 3)], {}, "exp: x is int32, must be floating point"),
        ("relu", [of("bool", 3)], {}, "x is bool, must be numeric"),
        ("logical_not", [of("uint8", 3)], {}, "x is uint8, must be bool"),
        ("clamp", [of("int32", 3)], {"min": 0.5}, "bound 0.5 of integers"),
        ("clamp", [of("bool", 3)], {}, "must be numeric"),
        ("add", [f32(3), of("int32", 3)], {}, "a is float32, but b is int32"),
        ("add", [of("bool", 3), of("bool", 3)], {}, "must be numeric"),
        ("add", [f32("N"), f32(3)], {}, "dimensions N and 3 do not broadcast"),
        ("add", [f32("N"), f32("M")], {}, "dimensions N and M do not broadcast"),
        ("logical_and", [of("int8", 3), of("int8", 3)], {}, "must be bool"),
        ("where", [f32(3), f32(3), f32(3)], {}, "condition is float32"),
        ("where", [of("bool", 3), f32(3), of("int8", 3)], {}, "but b is int8"),
        ("prelu", [f32(3), f32(2, 3)], {}, "does not broadcast to x"),
        ("cast", [f32(3)], {"dtype": "complex64"}, "'dtype' must be dtype"),
        ("cast", [f32(3)], {"dtype": "O"}, "'dtype' must be dtype"),
        ("sum", [f32(3)], {"dim": (1,)}, "dim 1 of a tensor with 1 dimensions"),
        ("sum", [of("bool", 3)], {}, "must be numeric"),
        ("mean", [of("int32", 3)], {}, "must be floating point"),
        ("amax", [f32(0, 3)], {"dim": (0,)}, "dim 0 is empty"),
        ("amax", [f32(2, 3)], {"dim": (0, -2)}, "names an axis twice"),
        ("any", [f32(3)], {}, "must be bool"),
        ("argmax", [f32(0)], {"dim": 0}, "dim 0 is empty"),
        ("argmax", [f32()], {"dim": 0}, "dim 0 of a tensor with 0 dimensions"),
        ("softmax", [f32(2, 3)], {"dim": -3}, "dim -3"),
        ("softmax", [of("int64", 2, 3)], {"dim": 0}, "must be floating point"),
        ("logsumexp", [f32(2, 0)], {"dim": (1,)}, "dim 1 is empty"),
        ("layer_norm", [f32(2, 3), f32(2)], {}, r"weight is float32\[2\], must be float32\[3\]"),
        ("layer_norm", [f32(2, 3), None, of("float64", 3)], {}, r"bias is float64\[3\]"),
        ("layer_norm", [f32(2, 3)], {"normalized_dims": 3}, "cannot normalize 3 dimensions"),
        ("rms_norm", [f32(2, 3)], {"normalized_dims": 0}, "cannot normalize 0 dimensions"),
        ("batch_norm", [f32(2, 3), f32(3), f32(2)], {}, r"var is float32\[2\]"),
        ("batch_norm", [f32(3), f32(3), f32(3)], {}, "no channel dimension"),
        ("batch_norm", [f32(2, 3, 4), f32(3), f32(3)], {"layout": "NHWC"}, r"mean is float32\[3\]"),
        ("group_norm", [f32(2, 5, 4)], {"num_groups": 2}, "5 channels do not split into 2 groups"),
        ("group_norm", [f32(2, "C", 4)], {"num_groups": 2}, "C channels"),
        ("quantize", [f32(3), f32(), of("int8")], {}, "zero point is int8, quantized values are uint8"),
        ("quantize", [f32(3), f32(3), of("uint8", 3)], {}, r"must have shape \[\]"),
        ("quantize", [f32(3, 4), f32(4), of("uint8", 4)], {"axis": 0}, r"must have shape \[3\]"),
        ("quantize", [f32(3), of("float64"), of("uint8")], {}, "scale is float64, x is float32"),
        ("quantize", [of("uint8", 3), f32(), of("uint8")], {}, "x is uint8"),
        ("dequantize", [f32(3), f32(), of("uint8")], {}, "must be integer"),
        ("dequantize", [of("uint8", 3), f32(), of("int8")], {}, "zero point is int8"),
        (
            "qadd",
            [of("uint8", 3), of("int8", 3)],
            {"a_scale": 1, "b_scale": 1, "offset": 0},
            "b is int8, must be uint8",
        ),
    ],
)
def test_refuses(name: str, types: list[TensorType | None], attrs: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        infer(name, *types, **attrs)


@pytest.mark.parametrize(
    ("name", "types", "attrs", "shape"),
    [
        ("add", [f32("N", 1, 3), f32("H", 1)], {}, ("N", "H", 3)),
        ("add", [f32("2*N"), f32("N+N")], {}, ("2*N",)),
        ("where", [of("bool", "N", 1), f32(), f32(1, "H")], {}, ("N", "H")),
        ("sum", [f32("N", "H", 3)], {"dim": (0, -1)}, ("H",)),
        ("mean", [f32("N", "H", 3)], {"dim": (1,), "keepdim": True}, ("N", 1, 3)),
        ("amax", [f32("N", 3)], {}, ()),
        ("argmax", [f32("N", 3)], {"dim": -1, "keepdim": True}, ("N", 1)),
        ("layer_norm", [f32("N", "S", 8), f32(8)], {}, ("N", "S", 8)),
        ("quantize", [f32("N", 4), f32(4), of("uint8", 4)], {"axis": -1}, ("N", 4)),
        (
            "qmean",
            [of("uint8", "N", "H", "W", 3)],
            {"dim": (1, 2), "x_zero_point": 0, "scale": 1, "offset": 0},
            ("N", 3),
        ),
        (
            "qavg_pool2d",
            [of("uint8", "N", "H", 8, 3)],
            {"kernel_size": (2, 2), "stride": (2, 2), "x_zero_point": 0, "scale": 1, "offset": 0},
            ("N", "H//2", 4, 3),
        ),
    ],
)
def test_infers_symbolic_shapes(
    name: str, types: list[TensorType], attrs: dict[str, Any], shape: tuple[int | str, ...]
) -> None:
    (out,) = infer(name, *types, **attrs)
    assert out.shape == tensor_type("float32", shape).shape
