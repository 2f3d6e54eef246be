"""How steps over NHWC images run on some rows of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..ir import Value
from ..plan.bands import ImageRows, Part, Pitch, Window
from ..plan.lowering import Lowering, Param
from ..types import product

PartParams = Callable[[Part], Mapping[str, Param]]


def window_rows(
    source: Value, operands: Mapping[str, Value | None], window: Window, lower: Lowering, params: PartParams
) -> ImageRows:
    """Of a step that makes `operands`["dst"] of `source`, its operand src, read through a window."""
    pitches = {name: _pitch(value, lower) for name, value in operands.items() if value is not None}
    out = operands["dst"]
    assert out is not None
    return ImageRows(out.shape[0], out.shape[1], source.shape[1], window, pitches, params)


def element_rows(
    names: Sequence[str], values: Sequence[Value], out: Value, lower: Lowering, params: PartParams
) -> ImageRows | None:
    """Of a function of single elements of images, its operands `names` and "out": others than the first that is like
    the result are like it too, or the same for all of an image or for all images. None where they are not."""
    if out.type.rank != 4:
        return None
    pitches = {"out": _pitch(out, lower)}
    source = ""
    for name, value in zip(names, values, strict=True):
        if value.shape == out.shape and not value.is_constant:
            pitches[name] = _pitch(value, lower)
            source = source or name
        elif value.type.rank == 4 and value.shape[1:3] == (1, 1) and value.shape[0] == out.shape[0]:
            pitches[name] = Pitch(0, lower.view(value).strides[0] * value.dtype.itemsize)
        elif product(value.shape[:-1]) != 1:
            return None
    if not source:
        return None
    return ImageRows(out.shape[0], out.shape[1], out.shape[1], Window(), pitches, params, source, "out")


def _pitch(value: Value, lower: Lowering) -> Pitch:
    row = value.shape[2] * lower.view(value).row * value.dtype.itemsize
    return Pitch(row, value.shape[1] * row)
