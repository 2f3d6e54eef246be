"""ONNX files as sources."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from rushlight._version import __version__
from rushlight.exporter.onnx.importer import import_model
from rushlight.exporter.onnx.model import arithmetic, load
from rushlight.exporter.source import as_array
from rushlight.runtime.errors import RushlightError, ShapeError
from rushlight.runtime.ops import Array
from rushlight.runtime.passes import canonicalize
from rushlight.runtime.program import Program

EVALUATOR_SECONDS = 20
"""How long onnx's ReferenceEvaluator may take."""


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


class OnnxSource:
    """A file. The judge is ONNX Runtime where it is installed, else, and for sums of bfloat16, which that lacks
    kernels for, onnx's ReferenceEvaluator in its own process."""

    def __init__(self, path: Path, inputs: Any, dynamic: Mapping[str, Mapping[int, str | int]]) -> None:
        self._path = path
        self._inputs = inputs
        self._dynamic = dynamic
        self._model: onnx.ModelProto | None = load(path)
        self._outputs = [output.name for output in self._model.graph.output]
        self._program: Program | None = None
        self.notes: list[str] = []

    @cached_property
    def _runtime(self) -> Any:
        if self.arithmetic == "bfloat16":
            return None
        try:
            return import_module("onnxruntime")
        except ModuleNotFoundError:
            return None

    @property
    def judge_name(self) -> str:
        if self._runtime is not None:
            return f"ONNX Runtime {self._runtime.__version__}"
        return f"onnx {onnx.__version__} ReferenceEvaluator"

    def program(self) -> Program:
        if self._program is None:
            assert self._model is not None
            self._arithmetic = arithmetic(self._model)
            with ThreadPoolExecutor(1) as pool:
                digest = pool.submit(_sha256, self._path)
                graph, self.notes = import_model(self._model, self._dynamic)
            origin = {"kind": "onnx", "sha256": digest.result(), "producer": self._model.producer_name[:80]}
            self._model = None  # and its copy of the weights
            canonicalize(graph)
            self._program = Program(
                {"forward": graph}, {"source": origin, "tools": {"rushlight": __version__, "onnx": version("onnx")}}
            )
        return self._program

    @property
    def arithmetic(self) -> str:
        self.program()
        return self._arithmetic

    def examples(self) -> dict[str, Array] | None:
        if self._inputs is None:
            return None
        names = [value.name for value in self.program().graph.inputs]
        if isinstance(self._inputs, Mapping):
            unknown = [name for name in self._inputs if name not in names]
            if unknown:
                raise ShapeError(f"the model has no input '{unknown[0]}'; it takes {', '.join(names)}")
            return {name: as_array(array) for name, array in self._inputs.items()}
        given = self._inputs if isinstance(self._inputs, (tuple, list)) else (self._inputs,)
        if len(given) != len(names):
            raise ShapeError(f"{len(given)} example inputs, the model takes {', '.join(names)}")
        return {name: as_array(array) for name, array in zip(names, given, strict=True)}

    def judge(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        names = self._outputs
        if self._runtime is None:
            return self._evaluate(arrays, names)
        return dict(zip(names, self._session.run(names, dict(arrays)), strict=True))

    @cached_property
    def _session(self) -> Any:
        options = self._runtime.SessionOptions()
        options.log_severity_level = 3
        # What the file says: higher levels replace quantized floats by integer kernels that round elsewhere.
        options.graph_optimization_level = self._runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        return self._runtime.InferenceSession(self._judged, options, providers=["CPUExecutionProvider"])

    @property
    def _judged(self) -> Any:
        """The file, or the model with the declared shapes that the caller has replaced."""
        if not self._dynamic:
            return str(self._path)
        model = load(self._path)
        for value in model.graph.input:
            dims = value.type.tensor_type.shape.dim
            for axis, size in self._dynamic.get(value.name, {}).items():
                if isinstance(size, int):
                    dims[axis].dim_value = size
                else:
                    dims[axis].dim_param = size
        return model.SerializeToString()

    def _evaluate(self, arrays: Mapping[str, Array], names: list[str]) -> dict[str, Array]:
        with tempfile.TemporaryDirectory() as folder:
            given, answer = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
            numbered: dict[str, Any] = {f"i{index}": array for index, array in enumerate(arrays.values())}
            np.savez(given, **numbered)
            command = [
                sys.executable,
                "-m",
                "rushlight.exporter.onnx.evaluate",
                str(self._path),
                str(given),
                str(answer),
            ]
            try:
                done = subprocess.run(
                    [*command, *arrays], capture_output=True, text=True, timeout=EVALUATOR_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                raise TimeoutError(f"{self.judge_name} did not answer within {EVALUATOR_SECONDS} s") from None
            if done.returncode:
                lines = done.stderr.strip().splitlines() or ["no message"]
                raise RushlightError(f"{self.judge_name} failed: {lines[-1][:200]}")
            with np.load(answer) as results:
                return {name: results[f"o{index}"] for index, name in enumerate(names)}
