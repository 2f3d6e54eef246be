"""PyTorch, eager and compiled by Inductor, on the module that the ONNX file was made from, with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.engines.engine import Engine, Feeds
from benchmarks.peers.feeds import Input


class Torch(Engine):
    name = "torch"
    packages = ("torch",)
    quantizes = False
    avx2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}  # noqa: RUF012 a ClassVar of the base

    @classmethod
    def refuses(cls, model: Path, precision: str) -> str | None:
        if not model.with_suffix(".safetensors").exists():
            return "the model has no PyTorch module"
        return super().refuses(model, precision)

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        return {"OMP_NUM_THREADS": str(threads)}

    def prepare(self, model: Path, precision: str, inputs: Sequence[Input], folder: Path) -> None:
        """Nothing to convert."""

    def start(self) -> None:
        import torch

        from benchmarks.peers import models

        self.library, self.models = torch, models

    def load(self, model: Path, folder: Path, threads: int) -> None:
        self.library.set_num_threads(threads)
        self.module: Any = self.models.load_module(model.stem, model.with_suffix(".safetensors"))

    def run(self, feeds: Feeds) -> list[np.ndarray[Any, Any]]:
        with self.library.inference_mode():
            found = self.module(*(self.library.from_numpy(array) for array in feeds.values()))
        return [found.numpy()]

    def instructions(self) -> str:
        return str(self.library.backends.cpu.get_cpu_capability())


class TorchCompile(Torch):
    """A first run with a new batch compiles, with a C++ compiler; Inductor keeps what it made in its cache folder."""

    name = "torch.compile"

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        return super().environment(threads) | {"TORCHINDUCTOR_FREEZING": "1"}

    def load(self, model: Path, folder: Path, threads: int) -> None:
        super().load(model, folder, threads)
        self.module = self.library.compile(self.module, dynamic=False)

    def run(self, feeds: Feeds) -> list[np.ndarray[Any, Any]]:
        with self.library.no_grad():
            found = self.module(*(self.library.from_numpy(array) for array in feeds.values()))
        return [found.numpy()]

    def instructions(self) -> str:
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        return f"Inductor {pick_vec_isa()}"
