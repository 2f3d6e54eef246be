"""Cases of the integer operators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .opdef import Array, Case
from .samples import sample


def _bytes(shape: Sequence[int], seed: int = 0) -> Array:
    return sample(shape, np.uint8, 0, 256, seed)


def _weights(shape: Sequence[int], seed: int = 1) -> Array:
    return sample(shape, np.int8, -128, 128, seed)


def _epilogue(channels: int, depth: int) -> tuple[Array, Array]:
    """Scales that spread sums of `depth` products over the range of uint8, and biases around its middle."""
    width = 1 / (60 * np.sqrt(depth))
    return sample((channels,), low=0.3 * width, high=width, seed=2), sample((channels,), low=110, high=146, seed=3)


def _residual(shape: Sequence[int] | None, attrs: Mapping[str, Any]) -> tuple[Array, ...]:
    """What is added to a result of this shape, if anything."""
    if shape is None:
        return ()
    return (sample(shape, low=-20, high=20, seed=4) if attrs.get("out_dtype") == "float32" else _bytes(shape, 4),)


def qconv2d_cases() -> Iterator[Case]:
    def case(x: Sequence[int], weight: Sequence[int], out: Sequence[int] | None = None, **attrs: Any) -> Case:
        inputs = (_bytes(x), _weights(weight), *_epilogue(weight[0], max(1, int(np.prod(weight[1:])))))
        return Case((*inputs, *_residual(out, attrs)), {"x_zero_point": 117, **attrs})

    yield case((1, 8, 9, 3), (16, 3, 3, 3), stride=(2, 2), padding=(0, 0, 1, 1))
    yield case((2, 7, 5, 4), (5, 4, 1, 1), qmin=20, qmax=200)
    yield case((1, 6, 6, 33), (33, 1, 3, 3), groups=33, padding=(1, 1, 1, 1))
    yield case((1, 9, 7, 6), (4, 3, 3, 2), groups=2, dilation=(2, 1), padding=(2, 1, 0, 1), x_zero_point=0)
    yield case((1, 5, 5, 20), (24, 20, 1, 1), (1, 5, 5, 24), residual_scale=0.7)
    yield case((1, 3, 8, 9), (6, 3, 5, 5), padding=(2, 2, 2, 2), layout="NCHW", x_zero_point=255)
    yield case((1, 4, 4, 8), (3, 8, 1, 1), out_dtype="float32")
    yield case((1, 4, 4, 8), (3, 8, 1, 1), out_dtype="float32", activation="clamp", alpha=120.0, beta=128.0)
    yield case((1, 4, 4, 8), (3, 8, 1, 1), (1, 4, 4, 3), out_dtype="float32", activation="relu")
    yield case((1, 1, 1, 1), (1, 1, 1, 1))
    yield case((0, 4, 4, 2), (3, 2, 3, 3))


def qlinear_cases() -> Iterator[Case]:
    def case(x: Sequence[int], outputs: int, residual: bool = False, **attrs: Any) -> Case:
        inputs = (_bytes(x), _weights((outputs, x[-1])), *_epilogue(outputs, x[-1]))
        added = _residual((*x[:-1], outputs) if residual else None, attrs)
        return Case((*inputs, *added), {"x_zero_point": 128, **attrs})

    yield case((1, 1), 1)
    yield case((7,), 3)
    yield case((5, 65), 33)
    yield case((2, 3, 64), 17, residual=True, residual_scale=1.25, x_zero_point=3)
    yield case((5, 65), 33, residual=True, out_dtype="float32", activation="relu")
    yield case((4, 31), 10, qmin=128)
    yield case((4, 31), 10, out_dtype="float32")
    yield case((4, 31), 10, out_dtype="float32", activation="sigmoid")
    yield case((0, 8), 4)


_BROADCASTS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()),
    ((65,), (65,)),
    ((2, 5, 7, 3), (2, 5, 7, 3)),
    ((2, 5, 7, 3), (2, 1, 1, 3)),
    ((4, 1), (1, 9)),
    ((0, 3), (3,)),
)


def qadd_cases() -> Iterator[Case]:
    for a, b in _BROADCASTS:
        yield Case((_bytes(a), _bytes(b, 1)), {"a_scale": 0.61, "b_scale": 0.33, "offset": 7.25, "qmin": 8})
        yield Case((_bytes(a), _bytes(b, 1)), {"a_scale": 1.5, "b_scale": -0.5, "offset": 0.0})


def qmul_cases() -> Iterator[Case]:
    for a, b in _BROADCASTS:
        attrs = {"a_zero_point": 13, "b_zero_point": 0, "scale": 1 / 255, "offset": 3.0}
        yield Case((_bytes(a), _bytes(b, 1)), attrs)
        yield Case((_bytes(a), _bytes(b, 1)), {**attrs, "a_zero_point": 128, "b_zero_point": 128, "qmax": 100})


def qlut_cases() -> Iterator[Case]:
    for shape in ((), (1,), (257,), (2, 3, 5, 7), (0, 4)):
        yield Case((_bytes(shape), _bytes((256,), 1)))


def qaffine_cases() -> Iterator[Case]:
    for shape, axis in (((65,), 0), ((2, 5, 7, 33), 3), ((2, 5, 3, 4), 1), ((3, 9, 2), -2), ((0, 4), 1)):
        scale, offset = sample((shape[axis],), low=-2, high=2, seed=2), sample((shape[axis],), low=0, high=255, seed=3)
        yield Case((_bytes(shape), scale, offset), {"axis": axis})


def qavg_pool2d_cases() -> Iterator[Case]:
    common = {"x_zero_point": 11, "scale": 0.9, "offset": 20.0}
    for attrs in (
        {"kernel_size": (2, 2), "stride": (2, 2)},
        {"kernel_size": (3, 2), "stride": (1, 3), "padding": (1, 0, 2, 1), "count_include_pad": False},
        {"kernel_size": (3, 3), "stride": (2, 1), "padding": (1, 1, 1, 1), "qmin": 40, "qmax": 90},
    ):
        yield Case((_bytes((2, 7, 9, 5)),), {**attrs, **common})
        yield Case((_bytes((1, 3, 7, 9)),), {**attrs, **common, "layout": "NCHW"})
        yield Case((_bytes((0, 7, 9, 3)),), {**attrs, **common})


def qmean_cases() -> Iterator[Case]:
    common = {"x_zero_point": 11, "scale": 0.9, "offset": 20.0}
    yield Case((_bytes((2, 7, 7, 33)),), {"dim": (1, 2), **common})
    yield Case((_bytes((2, 33, 7, 7)),), {"dim": (-1, -2), "keepdim": True, **common})
    yield Case((_bytes((3, 65)),), {"dim": (1,), **common, "qmin": 50, "qmax": 120})
    yield Case((_bytes((5,)),), {"dim": (), **common})
