"""How far kernels count, and where convolutions find their elements: from the parameters of a call."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..errors import UnsupportedError

MOST = 2**31 - 1024
"""Of rows of a matrix, matrices of a batch, and blocks of a grid: kernels count them in 32 bits."""


def checked(number: int, what: str) -> int:
    """Raises UnsupportedError where the kernels cannot count that far."""
    if number > MOST:
        raise UnsupportedError(f"{number} {what} in one call on a GPU")
    return number


def count(fields: Any, *names: str) -> int:
    """The product of these parameters. Raises UnsupportedError where the kernels cannot count that far."""
    return checked(prod(int(size) for name in names for size in np.atleast_1d(fields[name])), " x ".join(names))


def window(fields: Any) -> dict[str, Any]:
    """Window of window.cuh: where a convolution's taps lie."""
    return {
        "height": fields["ih"],
        "width": fields["iw"],
        "out_height": fields["oh"],
        "out_width": fields["ow"],
        "kernel_height": fields["kh"],
        "kernel_width": fields["kw"],
        "stride_h": fields["sh"],
        "stride_w": fields["sw"],
        "padding_h": fields["ph"],
        "padding_w": fields["pw"],
        "dilation_h": fields["dh"],
        "dilation_w": fields["dw"],
    }


def steps(fields: Any, element: int = 1) -> dict[str, Any]:
    """Steps of window.cuh: what lies between the elements of x that a convolution reads, in elements or, where they
    are of `element` bytes, in bytes."""
    image, row, pixel = (fields[name] * element for name in ("src_image", "src_row", "src_pixel"))
    return {"image": image, "row": row, "pixel": pixel, "tap_h": fields["dh"] * row, "tap_w": fields["dw"] * pixel}
