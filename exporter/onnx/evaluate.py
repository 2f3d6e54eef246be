"""Runs onnx's ReferenceEvaluator as a process: ``evaluate MODEL INPUTS.npz OUTPUTS.npz NAME...``."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator


def main() -> None:
    model, given, answer, *names = sys.argv[1:]
    with np.load(given) as arrays:
        inputs = {name: arrays[f"i{index}"] for index, name in enumerate(names)}
    results = ReferenceEvaluator(model).run(None, inputs)
    numbered: dict[str, Any] = {f"o{index}": np.asarray(result) for index, result in enumerate(results)}
    np.savez(answer, **numbered)


if __name__ == "__main__":
    main()
