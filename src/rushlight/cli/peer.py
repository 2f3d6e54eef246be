"""Runs `.onnx` files in ONNX Runtime, for comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

import numpy as np

from rushlight.runtime.errors import FormatError, RushlightError
from rushlight.runtime.ops import Array


def onnx_runner(path: Path) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """A function from arrays by name to arrays by name. Raises RushlightError."""
    try:
        onnxruntime = import_module("onnxruntime")
    except ModuleNotFoundError:
        raise RushlightError(f"{path}: running an .onnx file needs ONNX Runtime: pip install onnxruntime") from None
    data = path.read_bytes()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base but this one
        raise FormatError(f"{path}: {_first_line(error)}") from None
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            outputs = session.run(names, dict(inputs))
        except Exception as error:
            raise RushlightError(f"{path}: {_first_line(error)}") from None
        return {name: np.asarray(array) for name, array in zip(names, outputs, strict=True)}

    return run


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
