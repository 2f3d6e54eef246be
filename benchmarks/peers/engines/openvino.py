"""OpenVINO on the CPU, float32 inference; int8 by NNCF's post-training quantization."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.engines.engine import Engine, Feeds
from benchmarks.peers.feeds import Input, calibration


class OpenVino(Engine):
    name = "openvino"
    packages = ("openvino", "nncf")
    avx2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}  # noqa: RUF012 the base declares it as a ClassVar

    def prepare(self, model: Path, precision: str, inputs: Sequence[Input], folder: Path) -> None:
        import openvino

        network = openvino.Core().read_model(model)
        if precision == "int8":
            import nncf

            operators = {node.get_type_name() for node in network.get_ops()}
            is_transformer = "ScaledDotProductAttention" in operators or operators >= {"Softmax", "MVN"}
            kind = nncf.ModelType.TRANSFORMER if is_transformer else None
            samples = calibration(inputs)
            network = nncf.quantize(network, nncf.Dataset(samples), subset_size=len(samples), model_type=kind)
        openvino.save_model(network, folder / "model.xml", compress_to_fp16=False)

    def start(self) -> None:
        import openvino

        self.core = openvino.Core()

    def load(self, model: Path, folder: Path, threads: int) -> None:
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self.compiled = self.core.compile_model(self.core.read_model(folder / "model.xml"), "CPU", options)
        self.request = self.compiled.create_infer_request()

    def run(self, feeds: Feeds) -> list[np.ndarray[Any, Any]]:
        return [np.array(output) for output in self.request.infer(feeds).values()]

    def instructions(self) -> str:
        """The kinds of kernels that carry an instruction set in their name, most frequent first."""
        kinds: dict[str, int] = {}
        for node in self.compiled.get_runtime_model().get_ops():
            info = node.get_rt_info()
            kind = str(info["primitiveType"].astype(str) if "primitiveType" in info else "")
            if "avx" in kind or "amx" in kind:
                kinds[kind] = kinds.get(kind, 0) + 1
        return ", ".join(sorted(kinds, key=lambda kind: -kinds[kind])[:4])
