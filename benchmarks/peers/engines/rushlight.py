"""Rushlight: `rushlight export`, `rushlight quantize`, `rushlight.load`."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.engines.engine import Engine, Feeds
from benchmarks.peers.feeds import Input, calibration


class Rushlight(Engine):
    name = "rushlight"
    packages = ("rushlight",)
    avx2 = {"RUSHLIGHT_FORCE_ISA": "avx2"}  # noqa: RUF012 the base declares it as a ClassVar

    @classmethod
    def version(cls) -> str:
        return f"rushlight build {_build()}"

    def prepare(self, model: Path, precision: str, inputs: Sequence[Input], folder: Path) -> None:
        path = folder / "model.rush"
        if precision == "fp32":
            _command("export", model, "-o", path)
            return
        with tempfile.TemporaryDirectory() as scratch:
            exported, samples = Path(scratch) / "model.rush", Path(scratch) / "samples.npz"
            _command("export", model, "-o", exported)
            feeds = calibration(inputs)
            np.savez(samples, **{name: np.concatenate([each[name] for each in feeds]) for name in feeds[0]})
            _command("quantize", exported, "--data", samples, "-o", path)

    def start(self) -> None:
        import rushlight

        self.library = rushlight
        rushlight.backends()  # what is loaded at first use

    def load(self, model: Path, folder: Path, threads: int) -> None:
        self.model = self.library.load(folder / "model.rush", threads=threads)

    def run(self, feeds: Feeds) -> list[np.ndarray[Any, Any]]:
        return list(self.model.run(feeds).values())

    def instructions(self) -> str:
        return str(self.model.isa)


def _command(*words: str | Path) -> None:
    from rushlight.cli import main

    with redirect_stderr(StringIO()) as said:
        code = main([str(word) for word in words])
    if code != 0:
        raise RuntimeError(f"rushlight {words[0]}: {said.getvalue().strip()}")


@cache
def _build() -> str:
    """A digest of the package's modules and core: the version does not change with every edit."""
    spec = find_spec("rushlight")
    assert spec is not None
    assert spec.origin is not None
    root, digest = Path(spec.origin).parent, hashlib.sha256()
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]  # rglob follows no links
    files = [*root.glob("*.py"), *(path for folder in folders for path in folder.resolve().rglob("*"))]
    for path in sorted(files):
        if path.suffix in (".py", ".so"):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
