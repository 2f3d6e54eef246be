"""The engines of the comparison, by name. Importing this imports none of them."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.peers.engines.engine import Engine
from benchmarks.peers.engines.onnxruntime import OnnxRuntime
from benchmarks.peers.engines.openvino import OpenVino
from benchmarks.peers.engines.rushlight import Rushlight
from benchmarks.peers.engines.torch import Torch, TorchCompile

ENGINES: Mapping[str, type[Engine]] = {
    engine.name: engine for engine in (Rushlight, OnnxRuntime, OpenVino, Torch, TorchCompile)
}
OURS = Rushlight.name
REFERENCE = OnnxRuntime.name
"""Whose float32 answers all others are compared with."""
