"""Chains of steps over elements as kernels of their own: programs as the text that chain.cu is compiled with."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ..lower.activation import KINDS
from ..lower.strides import Loop, collapse
from ..plan.chains import FAMILY, Program
from ..plan.lowering import KernelRow, KernelStep, Param
from ..types import DimLike, dense_strides
from .axes import MAX_OPERANDS
from .family import Row
from .source import Kernel

MAX_SOURCES = 8
MAX_RESULTS = 4
MAX_STEPS = 32
MAX_AXES = 8
MAX_NUMBERS = 48
MAX_COLUMNS = MAX_OPERANDS - 1
"""Of axes.cuh, but for that of what lies like the results."""

TYPES: Mapping[str, tuple[str, int]] = {
    "f32": ("float", 4), "f64": ("double", 8), "f16": ("Half", 2), "bf16": ("BHalf", 2), "s64": ("int64_t", 8),
    "s32": ("int32_t", 4), "s16": ("int16_t", 2), "s8": ("int8_t", 1), "u8": ("uint8_t", 1), "b8": ("uint8_t", 1),
}  # fmt: skip
"""Of lanes, and bytes of an element."""
REMAINDERS = ("fmod", "remainder", "floor_divide")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_WITH_NUMBERS = ("clamp", "leaky_relu", "elu")
"""Functions and activations that read alpha or beta."""
_QBINARY = ("a_zero_point", "b_zero_point", "a_scale", "b_scale", "scale", "offset", "qmin", "qmax")

DENSE, SINGLE, WHOLE = -1, -2, -3
"""Places of sources that have no strides of their own: like the results, one element for all, read whole."""


@dataclass(frozen=True)
class ChainRow(Row):
    """The kernel of a program. `sources`: bytes of an element and place of each, a column of strides from 0 on, or one
    of the above. `results`: bytes of an element of each. `widest`: the elements that a thread takes at a time."""

    kernel: Kernel
    sources: tuple[tuple[int, int], ...]
    results: tuple[int, ...]
    widest: int


class ElementKernels:
    """See `ChainKernels`."""

    def fits(self, program: Program) -> bool:
        return (
            len(program.sources) <= MAX_SOURCES
            and 0 < len(program.results) <= MAX_RESULTS
            and len(program.steps) <= MAX_STEPS
            and len(program.shape) <= MAX_AXES
            and len(_columns(program)) <= MAX_COLUMNS
            and _Text(program).count <= MAX_NUMBERS
        )

    def row(self, program: Program) -> tuple[KernelRow, dict[str, Param]]:
        text = _Text(program)
        columns = _columns(program)
        places = [_place(source.strides, program.shape, columns) for source in program.sources]
        reads = [
            _read(f"x{k}", k, TYPES[name][0], place)
            for k, (name, place) in enumerate(zip(text.sources, places, strict=True))
            if place != WHOLE
        ]
        results = [text.types[index] for index in program.results]
        writes = [
            f"WRITE({k},{TYPES[name][0]},v{index})"
            for k, (name, index) in enumerate(zip(results, program.results, strict=True))
        ]
        defines: dict[str, int | str] = {
            "WIDEST": _widest(program, text),
            "COLUMNS": max(len(columns), 1),
            "READS": "".join(reads),
            "STEPS": "".join([*text.numbers_read, *text.steps]),
            "WRITES": "".join(writes),
        }
        name = sha256(repr(defines).encode()).hexdigest()[:12]
        row = ChainRow(
            FAMILY,
            f"chain_{name}",
            "".join(results),
            Kernel("chain", tuple(defines.items())),
            tuple((TYPES[name][1], place) for name, place in zip(text.sources, places, strict=True)),
            tuple(TYPES[name][1] for name in results),
            _widest(program, text),
        )
        dense = dense_strides(program.shape)
        strides = [*columns, dense]
        loops = [Loop(size, [own[axis] for own in strides]) for axis, size in enumerate(program.shape)]
        loops = collapse(loops) if loops else [Loop(1, [0] * len(strides))]
        params: dict[str, Param] = {"rank": len(loops), "shape": [loop.size for loop in loops]}
        for column in range(MAX_COLUMNS):
            params[f"strides{column}"] = [loop.strides[column] for loop in loops] if column < len(columns) else []
        return row, {**params, "numbers": text.numbers}


class _Text:
    """What the steps of a program are in chain.cu, with the floats that they take as parameters. `sources` and `types`
    name the dtypes of sources and results of steps."""

    def __init__(self, program: Program) -> None:
        self.numbers: list[float] = []
        self.numbers_read: list[str] = []
        self.steps: list[str] = []
        self.types: list[str] = []
        self.sources = [""] * len(program.sources)
        for step, reads in zip(program.steps, program.reads, strict=True):
            *types, result = re.findall(r"[a-z]+\d+", step.row.types)
            names = [
                self._operand(read, name, len(program.sources))
                for read, name in zip(reads.values(), types, strict=True)
            ]
            text, numbers = _FAMILIES[step.family](step, f"v{len(self.types)}", names, [*types, result])
            self.steps.append(text.replace("@", str(len(self.numbers))))
            self.numbers += numbers
            self.types.append(result)

    @property
    def count(self) -> int:
        return len(self.numbers)

    def _operand(self, read: int | float, type_name: str, sources: int) -> str:
        if isinstance(read, float):
            name = f"c{len(self.numbers)}"
            self.numbers_read.append(f"NUMBER({name},{len(self.numbers)})")
            self.numbers.append(read)
            return name
        if read >= sources:
            return f"v{read - sources}"
        self.sources[read] = type_name
        return f"x{read}"


def _place(strides: Sequence[DimLike] | None, shape: Sequence[DimLike], columns: Sequence[Sequence[DimLike]]) -> int:
    if strides is None:
        return WHOLE
    if tuple(strides) == dense_strides(shape):
        return DENSE
    return columns.index(strides) if any(stride != 0 for stride in strides) else SINGLE


def _columns(program: Program) -> list[tuple[DimLike, ...]]:
    """The strides of what lies neither like the results nor is the same for all elements, each once."""
    dense = dense_strides(program.shape)
    all_strides = [source.strides for source in program.sources if source.strides is not None]
    own = (strides for strides in all_strides if strides != dense and any(stride != 0 for stride in strides))
    return list(dict.fromkeys(own))


def _read(name: str, index: int, lane: str, place: int) -> str:
    if place == DENSE:
        return f"DENSE({name},{index},{lane})"
    if place == SINGLE:
        return f"SINGLE({name},{index},{lane})"
    return f"STRIDED({name},{index},{lane},{place})"


def _widest(program: Program, text: _Text) -> int:
    """Elements of a thread: 16 bytes of the longest ones. Float remainders, much code each, are taken one by one."""
    if any(step.family == "binary" and step.row.op in REMAINDERS and "f32" in step.row.types for step in program.steps):
        return 1
    return 16 // max(TYPES[name][1] for name in [*text.sources, *text.types])


_Step = Callable[[KernelStep, str, Sequence[str], Sequence[str]], tuple[str, list[float]]]
"""(step, name of its result, names and types of its operands) to the text, with @ for the number of its first float."""


def _unary(step: KernelStep, out: str, names: Sequence[str], types: Sequence[str]) -> tuple[str, list[float]]:
    op, numbers = step.row.op, _floats(step, "alpha", "beta")
    if op in _WITH_NUMBERS:
        return f"UNARY({out},{op},{names[0]},@)", numbers
    return f"UNARY({out},{op},{names[0]},0)", []


def _cast(step: KernelStep, out: str, names: Sequence[str], types: Sequence[str]) -> tuple[str, list[float]]:
    source, target = ("Bool" if name == "b8" else TYPES[name][0] for name in types)
    return f"CAST({out},{step.row.op},{source},{target},{names[0]})", []


def _binary(step: KernelStep, out: str, names: Sequence[str], types: Sequence[str]) -> tuple[str, list[float]]:
    op = step.row.op
    if types[0] == "b8":
        macro = "LOGIC"
    elif types[0] == "f32" and op not in REMAINDERS:
        macro = "COMPARE" if op in _COMPARISONS else "FLOAT"
    else:
        return f"SCALAR({out},{TYPES[types[-1]][0]},{op},{names[0]},{names[1]})", []
    return f"{macro}({out},{op},{names[0]},{names[1]})", []


def _fma(step: KernelStep, out: str, names: Sequence[str], types: Sequence[str]) -> tuple[str, list[float]]:
    kind = step.params["activation"]
    assert isinstance(kind, int)
    numbers = _floats(step, "alpha", "beta") if KINDS[kind] in _WITH_NUMBERS else []
    return f"SCALE({out},{KINDS[kind]},{','.join(names)},{'@' if numbers else 0})", numbers


def _where(step: KernelStep, out: str, names: Sequence[str], types: Sequence[str]) -> tuple[str, list[float]]:
    return f"WHERE({out},{TYPES[types[-1]][0]},{','.join(names)})", []


def _quantize(step: KernelStep, out: str, names: Sequence[str], types: Sequence[str]) -> tuple[str, list[float]]:
    op = step.row.op
    if op == "qlut":
        return f"LOOK_UP({out},{names[0]},{names[1].removeprefix('x')})", []
    byte = TYPES[types[-1] if op == "quantize" else types[0]][0]
    return f"{op.upper()}({out},{byte},{','.join(names)})", []


def _qbinary(step: KernelStep, out: str, names: Sequence[str], types: Sequence[str]) -> tuple[str, list[float]]:
    return f"QBINARY({out},{step.row.op},{names[0]},{names[1]},@)", _floats(step, *_QBINARY)


def _floats(step: KernelStep, *names: str) -> list[float]:
    return [float(number) for number in (step.params[name] for name in names) if isinstance(number, int | float)]


_FAMILIES: Mapping[str, _Step] = {
    "unary": _unary,
    "cast": _cast,
    "binary": _binary,
    "fma": _fma,
    "where": _where,
    "quantize": _quantize,
    "qbinary": _qbinary,
}
