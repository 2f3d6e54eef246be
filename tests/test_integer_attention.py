"""Attention on integers against PyTorch's attention of the numbers that the bytes stand for, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.errors import ShapeError
from rushlight.runtime.ops import Array, Case, get
from rushlight.runtime.ops.integer_attention import MAX_WIDTH
from rushlight.runtime.types import TensorType

torch = pytest.importorskip("torch")

OPS = ["qattention", "qwindow_attention"]
ZERO_POINTS = {"q_zero_point": 128, "k_zero_point": 128, "v_zero_point": 128}
QUANTIZATION: dict[str, Any] = {**ZERO_POINTS, "score_scale": 1e-4, "scale": 1.0, "offset": 128.0}


def numbers(case: Case, attrs: dict[str, Any]) -> list[Any]:
    """q, k and v in float64, less their zero points."""
    names = ("q_zero_point", "k_zero_point", "v_zero_point")
    pairs = zip(case.inputs[:3], names, strict=True)
    return [torch.from_numpy(x.astype(np.float64) - attrs[name]) for x, name in pairs if x is not None]


def attend(q: Any, k: Any, v: Any, mask: Array | None, attrs: dict[str, Any], **how: Any) -> Array:
    """By PyTorch; rows without a key give 0."""
    given = None if mask is None else torch.from_numpy(mask if mask.dtype == bool else mask.astype(np.float64))
    if given is not None and how.get("is_causal"):
        seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril()
        given, how = (
            given & seen if given.dtype == torch.bool else given.masked_fill(~seen, -np.inf),
            {**how, "is_causal": False},
        )
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, given, scale=attrs["score_scale"], **how)
    return np.asarray(torch.nan_to_num(out).numpy())


def compared(name: str, case: Case) -> Iterator[tuple[Array, Array]]:
    """What the operator gives, before it is limited and rounded, beside the truth."""
    op = get(name)
    attrs = op.complete_attrs(case.attrs)
    (found,) = op.run_reference(case.inputs, attrs)
    q, k, v = numbers(case, attrs)
    if name == "qattention":
        order = (0, 2, 1, 3) if attrs["rows_first"] else (0, 1, 2, 3)
        how = {"is_causal": attrs["is_causal"], "enable_gqa": attrs["enable_gqa"]}
        mask = case.inputs[3] if len(case.inputs) > 3 else None
        pairs = [(found, attend(*(x.permute(order) for x in (q, k, v)), mask, attrs, **how).transpose(order))]
    else:
        _, _, _, rows, bias, mask = (*case.inputs, None, None)[:6]
        assert rows is not None
        pairs = []
        for window, chosen in enumerate(rows):
            total = np.zeros((1, 1, 1)) if bias is None else bias.astype(np.float64)
            if mask is not None:
                total = total + mask[window % len(mask)]
            own = (x[:, chosen].permute(0, 2, 1, 3) for x in (q, k, v))
            pairs.append((found[:, chosen], attend(*own, total, attrs).transpose(0, 2, 1, 3)))
    for got, truth in pairs:
        yield got, np.clip(truth * attrs["scale"] + attrs["offset"], attrs["qmin"], attrs["qmax"])


@pytest.mark.parametrize("name", OPS)
def test_near_pytorch(name: str) -> None:
    """Weights are rounded to 255ths of the largest one: some units of a byte are lost where few keys are seen."""
    differences: list[Array] = []
    for case in get(name).cases():
        if case.attrs["score_scale"] == 0.01:
            continue  # scores far apart: test_weights_far_below_the_largest_count_for_nothing
        differences += [(got - truth).reshape(-1) for got, truth in compared(name, case)]
    every = np.concatenate(differences)
    assert every.size > 1000
    assert np.sqrt(np.mean(every**2)) < 1
    assert np.abs(every).max() < 4


@pytest.mark.parametrize(("distance", "seen"), [(6.0, True), (6.5, False)])
def test_weights_far_below_the_largest_count_for_nothing(distance: float, seen: bool) -> None:
    """One key, and so many others whose weight is around 1/510 of its own: e**-6.23."""
    others, step = 1023, 0.1
    k = np.full((1, 1, others + 1, 1), 100, np.uint8)
    k[0, 0, 0] = 100 + round(distance / step)
    v = np.full((1, 1, others + 1, 1), 255, np.uint8)
    v[0, 0, 0] = 0
    attrs = {
        **QUANTIZATION,
        "q_zero_point": 0,
        "k_zero_point": 100,
        "v_zero_point": 0,
        "score_scale": step,
        "offset": 0.0,
    }
    op = get("qattention")
    (found,) = op.run_reference([np.ones((1, 1, 1, 1), np.uint8), k, v], op.complete_attrs(attrs))
    weight = np.round(255 * np.exp(-distance))
    assert (weight > 0) == seen
    assert abs(float(found.item()) - 255 * others * weight / (255 + others * weight)) <= 0.5


def bytes_of(*shape: int) -> TensorType:
    return TensorType(np.dtype(np.uint8), shape)


@pytest.mark.parametrize(
    ("types", "attrs", "message"),
    [
        ([bytes_of(1, 1, 2, MAX_WIDTH + 1)] * 3, {}, "int32"),
        ([bytes_of(1, 1, 2, 3), bytes_of(1, 1, 2, 3), TensorType(np.dtype(np.int8), (1, 1, 2, 3))], {}, "v is int8"),
        ([bytes_of(1, 1, 2, 3), bytes_of(1, 1, 2, 4), bytes_of(1, 1, 2, 3)], {}, "do not fit"),
        ([bytes_of(1, 1, 2, 3)] * 3, {"k_zero_point": 256}, "k_zero_point 256"),
        ([bytes_of(1, 1, 2, 3)] * 3, {"qmin": 9, "qmax": 8}, "above qmax"),
        ([*[bytes_of(1, 1, 2, 3)] * 3, bytes_of(2, 2)], {}, "mask is"),
    ],
)
def test_what_does_not_fit_is_an_error(types: list[TensorType], attrs: dict[str, Any], message: str) -> None:
    op = get("qattention")
    given = [*types, None][:4]
    with pytest.raises(ShapeError, match=message):
        op.infer_types(given, op.complete_attrs({**QUANTIZATION, **attrs}))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
@pytest.mark.parametrize(("name", "of"), [("qwindow_attention", np.uint8), ("window_attention", np.float32)])
def test_rows_of_windows_are_int64(name: str, of: type, dtype: type) -> None:
    """Kernels read and write where they say."""
    op = get(name)
    types = [*[TensorType(np.dtype(of), (1, 4, 2, 3))] * 3, TensorType(np.dtype(dtype), (2, 2)), None, None]
    with pytest.raises(ShapeError, match="must be int64"):
        op.infer_types(types, op.complete_attrs(QUANTIZATION if of is np.uint8 else {}))
