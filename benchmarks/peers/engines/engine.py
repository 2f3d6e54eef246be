"""What the comparison asks of an engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.peers.feeds import Input

Feeds = Mapping[str, np.ndarray[Any, Any]]


class Engine(ABC):
    """One engine, in a process of its own. The library is imported by the methods, not by the module."""

    name: ClassVar[str]
    packages: ClassVar[Sequence[str]]
    """What it needs, beside its own tool that quantizes."""
    quantizes: ClassVar[bool] = True
    avx2: ClassVar[Mapping[str, str]] = {}
    """Environment variables that hold it to AVX2, beside the hidden CPUID."""

    @classmethod
    def version(cls) -> str:
        return ", ".join(f"{package} {_version(package)}" for package in cls.packages)

    @classmethod
    def refuses(cls, model: Path, precision: str) -> str | None:
        """Why this engine has nothing to run for a model, None where it has."""
        return "has no tool for int8 here" if precision == "int8" and not cls.quantizes else None

    @classmethod
    def environment(cls, threads: int) -> dict[str, str]:
        """Variables that must stand before the process begins."""
        return {}

    @abstractmethod
    def prepare(self, model: Path, precision: str, inputs: Sequence[Input], folder: Path) -> None:
        """Converts or quantizes an ONNX file into `folder` with the engine's own tool; its time is not measured."""

    @abstractmethod
    def start(self) -> None:
        """Imports the library; its time is not measured."""

    @abstractmethod
    def load(self, model: Path, folder: Path, threads: int) -> None:
        """Makes the model ready from `folder`."""

    @abstractmethod
    def run(self, feeds: Feeds) -> list[np.ndarray[Any, Any]]:
        """The outputs in the order of the ONNX file."""

    @abstractmethod
    def instructions(self) -> str:
        """What the engine itself says of the instruction set that it uses; "" where it says nothing."""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
