"""Rushlight: export a trained network into one safe file, quantize it, run it anywhere, serve it.

``import rushlight as rl``; everything below is loaded at its first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .runtime.errors import DeviceError, FormatError, QuantizationError, RushlightError, ShapeError, UnsupportedError

if TYPE_CHECKING:
    from .exporter import export as export
    from .quant import quantize as quantize
    from .runtime.format import read_program as open
    from .runtime.ir import GraphBuilder as GraphBuilder
    from .runtime.method import TensorSpec as TensorSpec
    from .runtime.model import Model as Model
    from .runtime.model import backends as backends
    from .runtime.model import load as load
    from .runtime.program import Program as Program

_HOMES = {
    "GraphBuilder": ("runtime.ir", "GraphBuilder"),
    "Model": ("runtime.model", "Model"),
    "Program": ("runtime.program", "Program"),
    "TensorSpec": ("runtime.method", "TensorSpec"),
    "backends": ("runtime.model", "backends"),
    "export": ("exporter", "export"),
    "load": ("runtime.model", "load"),
    "open": ("runtime.format", "read_program"),
    "quantize": ("quant", "quantize"),
}

__all__ = [
    "DeviceError",
    "FormatError",
    "GraphBuilder",
    "Model",
    "Program",
    "QuantizationError",
    "RushlightError",
    "ShapeError",
    "TensorSpec",
    "UnsupportedError",
    "__version__",
    "backends",
    "export",
    "load",
    "open",
    "quantize",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rushlight' has no attribute '{name}'")
    from .platform import check_platform

    check_platform()
    module, attribute = _HOMES[name]
    value = getattr(import_module(f"rushlight.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
