"""Runs onnx's ReferenceEvaluator as a process: ``evaluate MODEL INPUTS.npz OUTPUTS.npz NAME...``."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator


def main() -> None:
    model, given, answer, *names = sys.argv[1:]
    with np.load(given) as loaded:
        inputs = {name: loaded[f"i{index}"] for index, name in enumerate(names)}
    results = ReferenceEvaluator(model).run(None, inputs)
    arrays = [np.asarray(result) for result in results]
    arrays = [array.astype(np.float32) if array.dtype.name == "bfloat16" else array for array in arrays]
    numbered: dict[str, Any] = {f"o{index}": array for index, array in enumerate(arrays)}
    np.savez(answer, **numbered)


if __name__ == "__main__":
    main()
