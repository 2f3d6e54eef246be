"""Chains made by hand of any rows of elementwise families, as one kernel and by the CPU's kernels of their steps."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from rushlight.runtime.cpu.params import families as cpu_families
from rushlight.runtime.cpu.params import params_dtype
from rushlight.runtime.cuda.chains import MAX_RESULTS, MAX_SOURCES, MAX_STEPS, ChainRow, ElementKernels
from rushlight.runtime.cuda.device import Device
from rushlight.runtime.cuda.families import chain, families
from rushlight.runtime.cuda.family import Call, Row
from rushlight.runtime.lower.activation import KINDS
from rushlight.runtime.ops import Array
from rushlight.runtime.plan.chains import Program, Source
from rushlight.runtime.plan.lowering import KernelStep
from rushlight.runtime.types import dense_strides
from tests.kernels.harness import available_rows, run
from tests.replay.device import Guarded

DTYPES: Mapping[str, Any] = {
    "f32": np.float32, "f64": np.float64, "f16": np.uint16, "bf16": np.uint16, "s64": np.int64, "s32": np.int32,
    "s16": np.int16, "s8": np.int8, "u8": np.uint8, "b8": np.uint8,
}  # fmt: skip
"""Of arrays with the bits of the kernels' types."""
SPECIAL = (
    0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, math.inf, -math.inf, math.nan, 1e-39, -1e-39, 1.2e-38, 3e38, -3e38, 88.5,
    -88.5, 1e-20, 255.4, -128.6, 3e9, -1e19, 20.0, 1e5,
)  # fmt: skip
DENSE, SINGLE, COLUMNS, ROWS, IMAGES = "dense", "single", "columns", "rows", "images"
"""How a source lies in a shape of three axes: the last three vary along the last, the middle, all but the first."""


def split(types: str) -> list[str]:
    return re.findall(r"[a-z]+\d+", types)


def strides_of(layout: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    layouts = {SINGLE: (0, 0, 0), COLUMNS: (0, 0, 1), ROWS: (0, 1, 0), IMAGES: (0, shape[2], 1)}
    return layouts[layout] if layout != DENSE else tuple(map(int, dense_strides(shape)))


def values(kind: str, count: int, rng: np.random.Generator) -> Array:
    """Elements of a kernel's type, special ones among them."""
    dtype = np.dtype(DTYPES[kind])
    if kind == "b8":
        return rng.choice(np.array([0, 0, 0, 1, 1, 2, 255], np.uint8), count)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        wide = rng.integers(info.min, info.max, count, dtype, endpoint=True)
        small = rng.integers(max(info.min, -5), 6, count).astype(dtype)
        edges = rng.choice(np.array([info.min, info.max, 0, 1], dtype), count)
        return np.where(rng.random(count) < 0.5, wide, np.where(rng.random(count) < 0.5, small, edges))
    usual = rng.standard_normal(count) * rng.choice([0.01, 1.0, 30.0, 1e4], count)
    with np.errstate(over="ignore", under="ignore"):
        return np.where(rng.random(count) < 0.4, rng.choice(SPECIAL, count), usual).astype(dtype)


class HandChain:
    """Steps over a shape of three axes. References are ("in", k) and ("step", k)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.sources: list[tuple[str, str | None]] = []  # type and layout, None: a table that is read whole
        self.steps: list[tuple[Row, dict[str, tuple[str, int]], dict[str, Any]]] = []
        self.results: list[int] = []

    def source(self, kind: str, layout: str | None) -> tuple[str, int]:
        if (kind, layout) not in self.sources:
            self.sources.append((kind, layout))
        return "in", self.sources.index((kind, layout))

    def step(self, row: Row, operands: dict[str, tuple[str, int]], params: dict[str, Any]) -> tuple[str, int]:
        self.steps.append((row, operands, params))
        return "step", len(self.steps) - 1

    def kind(self, reference: tuple[str, int]) -> str:
        where, index = reference
        return self.sources[index][0] if where == "in" else split(self.steps[index][0].types)[-1]

    @property
    def fits(self) -> bool:
        return len(self.sources) <= MAX_SOURCES and len(self.steps) <= MAX_STEPS and len(self.results) <= MAX_RESULTS

    def program(self, shape: tuple[int, ...]) -> Program:
        node: Any = None
        sources = [Source(None, None if layout is None else strides_of(layout, shape)) for _, layout in self.sources]
        steps = [KernelStep(node, row.family, row, {}, params, [], 0, "") for row, _, params in self.steps]
        reads = [
            {name: index + (len(sources) if where == "step" else 0) for name, (where, index) in operands.items()}
            for _, operands, _ in self.steps
        ]
        return Program(shape, sources, steps, reads, self.results)

    def row(self) -> ChainRow:
        row, _ = ElementKernels().row(self.program((2, 3, 5)))
        assert isinstance(row, ChainRow)
        return row

    def arrays(self, shape: tuple[int, ...]) -> list[Array]:
        def count(layout: str | None) -> int:
            sizes = {None: 256, SINGLE: 1, COLUMNS: shape[2], ROWS: shape[1], IMAGES: shape[1] * shape[2]}
            return math.prod(shape) if layout == DENSE else sizes[layout]

        return [values(kind, count(layout), self.rng) for kind, layout in self.sources]

    def together(self, arrays: Sequence[Array], shape: tuple[int, ...], device: Device, shift: int) -> list[bytes]:
        """What the chain's kernel writes."""
        program = self.program(shape)
        assert ElementKernels().fits(program)
        row, params = ElementKernels().row(program)
        assert isinstance(row, ChainRow)
        read = [Guarded(device, array.tobytes(), shift) for array in arrays]
        written = [Guarded(device, bytes(self._bytes(index, shape)), shift) for index in self.results]
        operands = [
            *(held.address for held in read), *[0] * (MAX_SOURCES - len(read)),
            *(held.address for held in written), *[0] * (MAX_RESULTS - len(written)),
        ]  # fmt: skip
        for launch in chain.FAMILY.launches(Call(row, chain.pack_params(params), operands), device):
            device.launch(launch)
        assert [held.content() for held in read] == [array.tobytes() for array in arrays]
        return [held.content() for held in written]

    def apart(self, arrays: Sequence[Array], shape: tuple[int, ...]) -> list[bytes]:
        """What the CPU's kernels of the steps write, one after the other."""
        made: list[Array] = []
        for row, references, params in self.steps:
            fields: dict[str, Any] = dict.fromkeys(params_dtype(row.family).names or (), 0)
            fields |= {"n": math.prod(shape), "rank": 3, "shape": shape, **params}
            out = np.zeros(math.prod(shape), DTYPES[split(row.types)[-1]])
            operands: dict[str, Array | None] = {"out": out}
            for name, (where, at) in references.items():
                layout = self.sources[at][1] if where == "in" else DENSE
                operands[name] = (arrays if where == "in" else made)[at]
                fields[f"{name}_strides"] = strides_of(layout or SINGLE, shape)
            own = {name: fields[name] for name in params_dtype(row.family).names or ()}
            rows = (own for own in available_rows(row.family) if (own.op, own.types) == (row.op, row.types))
            made.append(run(next(rows), operands, own) if out.size else out)
        return [made[index].tobytes() for index in self.results]

    def _bytes(self, step: int, shape: tuple[int, ...]) -> int:
        return math.prod(shape) * np.dtype(DTYPES[self.kind(("step", step))]).itemsize


def params_of(row: Row, rng: np.random.Generator) -> dict[str, Any]:
    """Numbers that a function takes beside elements."""
    if row.family == "unary":
        return {"alpha": -0.75, "beta": 1.5}
    if row.family == "fma":
        return {"activation": int(rng.integers(len(KINDS))), "alpha": -0.25, "beta": 2.0}
    if row.family == "qbinary":
        return {
            "a_zero_point": 7, "b_zero_point": 130, "a_scale": 0.7, "b_scale": -1.3, "scale": 0.013, "offset": 121.5,
            "qmin": 3.0, "qmax": 250.0,
        }  # fmt: skip
    return {}


def operands_of(row: Row) -> list[str]:
    """Names of what the function reads, in the order of its types."""
    return [name for name, is_written in cpu_families()[row.family].operands if not is_written][
        : len(split(row.types)) - 1
    ]


def every_row() -> Iterator[tuple[Row, dict[str, Any]]]:
    """The functions of all elementwise families, of fma one for every activation."""
    rng = np.random.default_rng(0)
    for name in ("unary", "cast", "binary", "where", "quantize", "qbinary"):
        for row in families()[name].rows:
            if row.op != "quantize_planes":
                yield row, params_of(row, rng)
    (row,) = families()["fma"].rows
    for kind in range(len(KINDS)):
        yield row, {**params_of(row, rng), "activation": kind}


def hand_chains() -> list[HandChain]:
    """Few chains of all functions: each writes up to four results, which take elements of several functions each where
    their type can be chosen among by `where`."""
    rng = np.random.default_rng(1)
    waiting = list(every_row())
    made: list[HandChain] = []
    while waiting:
        own = HandChain(rng)
        layouts = [str(layout) for layout in rng.permutation([COLUMNS, ROWS, IMAGES])]
        while waiting and (found := _grown(own, waiting, layouts)):
            own, group = found
            waiting = [entry for entry in waiting if entry not in group]
        assert own.steps
        made.append(own)
    return made


def _grown(
    own: HandChain, waiting: Sequence[tuple[Row, dict[str, Any]]], layouts: Sequence[str]
) -> tuple[HandChain, list[tuple[Row, dict[str, Any]]]] | None:
    """The chain with one more result of the functions that wait, and those that it is of; None where none fits."""
    kind = split(waiting[0][0].types)[-1]
    choices = [row for row in families()["where"].rows if row.types == f"b8{kind}{kind}{kind}"]
    alike = [entry for entry in waiting if split(entry[0].types)[-1] == kind]
    for count in (5, 4, 3, 2, 1) if choices else (1,):
        grown = HandChain(own.rng)
        grown.sources, grown.steps, grown.results = [*own.sources], [*own.steps], [*own.results]
        group = alike[:count]
        result, *others = (_add(grown, row, params, layouts) for row, params in group)
        for number, other in enumerate(others):
            condition = grown.source("b8", (DENSE, *layouts)[number])  # all unlike, or some function would not show
            result = grown.step(choices[0], {"condition": condition, "a": result, "b": other}, {})
        grown.results.append(result[1])
        if grown.fits:
            return grown, group
    return None


def _add(own: HandChain, row: Row, params: dict[str, Any], layouts: Sequence[str]) -> tuple[str, int]:
    names, kinds = operands_of(row), split(row.types)
    operands: dict[str, tuple[str, int]] = {}
    for number, (name, kind) in enumerate(zip(names, kinds[:-1], strict=True)):
        if row.op == "qlut" and name == "scale":
            operands[name] = own.source(kind, None)
        elif name == "x" and row.family != "fma":
            operands[name] = own.source(kind, DENSE)
        elif row.family == "quantize":
            operands[name] = own.source(kind, layouts[0])
        else:
            operands[name] = own.source(kind, DENSE if number == 0 else layouts[number % len(layouts)])
    return own.step(row, operands, params)
