"""ONNX Runtime on its CPU provider; int8 by its static quantization, QDQ, per channel."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.engines.engine import Engine, Feeds
from benchmarks.peers.feeds import Input, calibration


class OnnxRuntime(Engine):
    name = "onnxruntime"
    packages = ("onnxruntime",)

    def prepare(self, model: Path, precision: str, inputs: Sequence[Input], folder: Path) -> None:
        if precision == "fp32":
            (folder / "model.onnx").symlink_to(model.resolve())
            return
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.samples = iter(calibration(inputs))

            def get_next(self) -> Feeds | None:
                return next(self.samples, None)

        with tempfile.TemporaryDirectory() as scratch:
            clean = Path(scratch) / "clean.onnx"
            quant_pre_process(model, clean, skip_symbolic_shape=True)
            quantize_static(
                clean, folder / "model.onnx", Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )  # fmt: skip

    def start(self) -> None:
        import onnxruntime

        self.library = onnxruntime

    def load(self, model: Path, folder: Path, threads: int) -> None:
        options = self.library.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = str(folder / "model.onnx")
        self.session = self.library.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, feeds: Feeds) -> list[np.ndarray[Any, Any]]:
        return list(self.session.run(None, feeds))

    def instructions(self) -> str:
        return ""
