"""Turns models of other frameworks into programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rushlight.exporter.source import open_source
from rushlight.runtime.program import Program


def export(source: Any, inputs: Any = None, dynamic: Mapping[str, Mapping[int, str | int]] | None = None) -> Program:
    """A program that computes what `source` computes.

    `source`: a `torch.nn.Module` (taken in evaluation mode, and left in its own), a `torch.export.ExportedProgram`, or
    the path of an `.onnx` file. `inputs`: example arrays or tensors, a tuple in order or a dict by name; names are the
    parameters of ``forward``. `dynamic`: ``{input: {axis: symbol}}``; other axes are static for PyTorch sources, while
    ONNX files keep their own symbols (a number in place of a symbol fixes an axis of an ONNX file). An example batch of
    1 is enough for a dynamic batch. Raises UnsupportedError naming everything that is not supported, FormatError for a
    damaged file, ShapeError for inputs that do not fit.
    """
    return open_source(source, inputs, dynamic or {}).program()


__all__ = ["export"]
