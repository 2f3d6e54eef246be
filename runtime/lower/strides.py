"""Strided views of dense tensors, with as few axes as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..types import DimLike, dense_strides

MAX_AXES = 6
"""Axes that the kernels' parameters have room for."""


@dataclass
class Loop:
    """One axis of an iteration: its size, and each operand's stride along it in elements (0 broadcasts)."""

    size: DimLike
    strides: list[DimLike]


def broadcast_strides(
    shape: Sequence[DimLike], target: Sequence[DimLike], strides: Sequence[DimLike] | None = None
) -> list[DimLike]:
    """Strides of a tensor of `shape` and `strides`, dense if not given, as it broadcasts to `target`."""
    missing = len(target) - len(shape)
    strides = dense_strides(shape) if strides is None else strides
    return [0] * missing + [
        0 if size == 1 and wanted != 1 else stride
        for size, stride, wanted in zip(shape, strides, target[missing:], strict=True)
    ]


def collapse(loops: Sequence[Loop]) -> list[Loop]:
    """The same iteration with axes of size 1 dropped and neighbours merged where every operand allows it."""
    out: list[Loop] = []
    for loop in loops:
        if loop.size == 1:
            continue
        if out:
            last = out[-1]
            pairs = zip(last.strides, loop.strides, strict=True)
            if all(outer == inner * loop.size for outer, inner in pairs):
                out[-1] = Loop(last.size * loop.size, loop.strides)
                continue
        out.append(loop)
    return out or [Loop(1, [0] * len(loops[0].strides) if loops else [])]


def broadcast_loops(
    operands: Sequence[tuple[Sequence[DimLike], Sequence[DimLike]]], target: Sequence[DimLike]
) -> list[Loop]:
    """The iteration over `target` with one operand for each of `operands`: (shape, strides)."""
    strides = [broadcast_strides(shape, target, own) for shape, own in operands]
    loops = [Loop(size, [s[axis] for s in strides]) for axis, size in enumerate(target)]
    return collapse(loops) if loops else [Loop(1, [0] * len(operands))]
