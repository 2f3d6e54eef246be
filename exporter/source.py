"""What is exported: a model of another framework, the program made of it, and the model as the program's judge."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ops import Array
from rushlight.runtime.program import Program

READ = "read are .onnx files, torch.nn.Module and torch.export.ExportedProgram objects (as a command: MODULE:FUNCTION)"


def as_array(value: Any) -> Array:
    """An array of a tensor or of whatever NumPy takes; bfloat16 becomes float32."""
    if hasattr(value, "detach"):
        tensor = value.detach().cpu()
        value = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return np.asarray(value)


class Source(Protocol):
    """`program()` is made once. `judge(arrays)` is what the model itself answers; `judge_name` says who that is."""

    @property
    def notes(self) -> list[str]:
        """What the model demands of the sizes of its inputs."""
        ...

    @property
    def judge_name(self) -> str: ...

    @property
    def arithmetic(self) -> str:
        """The narrowest dtype that the model rounds results to: float32, float16 or bfloat16."""
        ...

    def program(self) -> Program: ...

    def examples(self) -> dict[str, Array] | None:
        """The caller's example inputs by name, if there are any."""
        ...

    def judge(self, arrays: Mapping[str, Array]) -> dict[str, Array]: ...


def open_source(source: Any, inputs: Any, dynamic: Mapping[str, Mapping[int, str | int]]) -> Source:
    """`source` by its kind. Raises UnsupportedError for a kind that is not read."""
    if isinstance(source, (str, PathLike)):
        return _open_file(Path(fspath(source)), inputs, dynamic)
    torch = sys.modules.get("torch")
    if torch is not None:
        from rushlight.exporter.torch.source import ModuleSource, ProgramSource

        if isinstance(source, torch.nn.Module):
            return ModuleSource(source, inputs, dynamic)
        if isinstance(source, torch.export.ExportedProgram):
            return ProgramSource(source, inputs, dynamic)
    raise UnsupportedError(f"cannot export a {type(source).__name__}: {READ}")


def _open_file(path: Path, inputs: Any, dynamic: Mapping[str, Mapping[int, str | int]]) -> Source:
    if path.suffix.lower() != ".onnx":
        raise UnsupportedError(f"{path}: not a format that can be exported; {READ}")
    try:
        from rushlight.exporter.onnx.source import OnnxSource
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"reading {path.name} needs the package {error.name}: pip install rushlight[export]"
        ) from None
    return OnnxSource(path, inputs, dynamic)
