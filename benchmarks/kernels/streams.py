"""Kernels that compute little for every byte that they move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from benchmarks.kernels.timing import NONE, best_ns, given, result
from rushlight.runtime.cpu.params import families, pack_params, params_dtype

Arrays: TypeAlias = Mapping[str, np.ndarray[Any, Any]]

PLACES: Mapping[str, int] = {"L1": 16 << 10, "L2": 512 << 10, "beyond": 64 << 20}
"""Bytes that a call reads and writes, by where they lie: in the first or second-level cache of any AVX2 CPU, beyond."""

BOUND = "relu"
"""What the others are compared with: one instruction an element."""


@dataclass(frozen=True)
class Stream:
    """A kernel of `family`; `arrays` makes operands for so many elements, `params` the family's parameters. An operand
    named in `written` is the result; the others are read."""

    name: str
    family: str
    op: str
    types: str
    element_bytes: int  # read and written for each element of x
    arrays: Callable[[int], Arrays]
    params: Callable[[int], Mapping[str, Any]]


def floats(n: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(n, np.float32)


def octets(n: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, n, np.uint8)


def unary(op: str) -> Stream:
    return Stream(
        op, "unary", op, "f32f32", 8, lambda n: {"x": floats(n), "out": floats(n)},
        lambda n: {"n": n, "alpha": 0.1, "beta": 1.0},
    )  # fmt: skip


def rows_of(width: int, op: str) -> Stream:
    return Stream(
        f"{op} of {width}", "softmax", op, "f32f32", 8, lambda n: {"x": floats(n // width * width), "out": floats(n)},
        lambda n: {"outer": n // width, "n": width, "inner": 1},
    )  # fmt: skip


def norm(width: int, op: str) -> Stream:
    return Stream(
        f"{op} of {width}", "norm", op, "f32f32", 8,
        lambda n: {"x": floats(n), "weight": floats(width), "bias": floats(width), "out": floats(n)},
        lambda n: {"outer": n // width, "spatial": 1, "groups": 1, "n": width, "eps": 1e-5},
    )  # fmt: skip


def between(op: str, types: str, element_bytes: int) -> Stream:
    source, target = (floats, octets) if types[0] == "f" else (octets, floats)
    return Stream(
        op, "quantize", op, types, element_bytes,
        lambda n: {
            "x": source(n), "scale": np.float32([0.02]), "zero_point": np.uint8([128]), "out": target(n),
        },
        lambda n: {"rank": 1, "shape": [n], "scale_strides": [0]},
    )  # fmt: skip


def pairs(name: str, family: str, types: str, make: Callable[[int], np.ndarray[Any, Any]], **fields: float) -> Stream:
    return Stream(
        name, family, name, types, 3 * make(1).itemsize, lambda n: {"a": make(n), "b": make(n), "out": make(n)},
        lambda n: {"rank": 1, "shape": [n], "a_strides": [1], "b_strides": [1], **fields},
    )  # fmt: skip


def reduction(op: str, width: int) -> Stream:
    return Stream(
        f"{op} of {width}", "reduce", op, "f32f32", 4, lambda n: {"x": floats(n), "out": floats(max(n // width, 1))},
        lambda n: {"outer": max(n // width, 1), "n": width, "inner": 1},
    )  # fmt: skip


STREAMS = [
    *(unary(op) for op in (BOUND, "gelu", "silu", "sigmoid", "hardswish", "tanh", "exp", "erf")),
    *(rows_of(width, "softmax") for width in (128, 1000)),
    norm(768, "layer_norm"),
    norm(768, "rms_norm"),
    pairs("add", "binary", "f32f32f32", floats),
    reduction("mean", 1024),
    between("quantize", "f32f32u8u8", 5),
    between("dequantize", "u8f32u8f32", 5),
    Stream(
        "qlut", "quantize", "qlut", "u8u8u8", 2, lambda n: {"x": octets(n), "scale": octets(256), "out": octets(n)},
        lambda n: {"rank": 1, "shape": [n], "scale_strides": [0]},
    ),
    pairs("qadd", "qbinary", "u8u8u8", octets, a_scale=0.4, b_scale=0.5, offset=10.0, qmin=0, qmax=255),
]  # fmt: skip


def kernel_of(stream: Stream, isa: str | None) -> str | None:
    """The symbol of the best row that may run, of one instruction set if asked; None where there is none."""
    for row in families()[stream.family].rows:
        is_wanted = row.available and isa in (None, row.isa)
        if is_wanted and row.op == stream.op and row.types in (stream.types, stream.types[:3]):
            return row.symbol
    return None


def measure(stream: Stream, symbol: str, moved: int, threads: int, seconds: float) -> float:
    """Bytes a nanosecond that the kernel reads and writes, operands of `moved` bytes together."""
    n = moved // stream.element_bytes
    arrays, params = stream.arrays(n), dict(stream.params(n))
    fields = params_dtype(stream.family)
    for name in fields.names or ():
        params.setdefault(name, [] if fields[name].shape else 0)
    names = [name for name, _ in families()[stream.family].operands]
    sources = [name for name in names if name in arrays and name != "out"]
    operands = [
        result(0) if name == "out" else given(sources.index(name)) if name in arrays else NONE for name in names
    ]
    inputs = [arrays[name] for name in sources]
    steps = max(1, (1 << 20) // moved)  # calls in a run: the clock takes tens of nanoseconds
    packed = pack_params(stream.family, **params)
    ns = best_ns(symbol, packed, operands, [], inputs, [arrays["out"]], threads, seconds, steps)
    return moved / ns


def report(isa: str | None, only: str, threads: int, seconds: float) -> Iterator[str]:
    """A line a kernel: gigabytes a second in each place, and the part of what the bound reaches there."""
    bounds: dict[str, float] = {}
    yield f"{'':34}" + "".join(f"{f'{place}, {size >> 10} KiB':>24}" for place, size in PLACES.items())
    for stream in STREAMS:
        symbol = kernel_of(stream, isa)
        if symbol is None or (stream.name != BOUND and only not in symbol):
            continue
        cells = []
        for place, moved in PLACES.items():
            rate = measure(stream, symbol, moved, threads, seconds)
            bounds.setdefault(place, rate)
            cells.append(f"{rate:12.1f} GB/s {rate / bounds[place]:6.0%}")
        yield f"  {stream.name:16} {symbol:>15.15}" + "".join(cells)
