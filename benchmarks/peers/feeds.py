"""What the engines are fed with: the same numbers for all of them, from the model's inputs and a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CALIBRATION_SAMPLES = 4
IDS = 1000
"""Token ids stay below this; every vocabulary here is larger."""


@dataclass(frozen=True)
class Input:
    """Name, dtype and shape of one sample, without the batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, dtype: str, shape: Sequence[int]) -> Input:
        return cls(name, dtype, tuple(shape))


def read_inputs(path: Path) -> list[Input]:
    """The inputs of an ONNX file, whose first dimension is the batch."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    found = []
    for value in graph.input:
        if value.name not in constants:
            tensor = value.type.tensor_type
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
            found.append(Input.of(value.name, dtype, [dim.dim_value for dim in tensor.shape.dim[1:]]))
    return found


def make_feeds(inputs: Sequence[Input], batch: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays by name: normal numbers, token ids, and masks that hide up to a quarter at the end of each sample."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for each in inputs:
        shape = (batch, *each.shape)
        if "mask" in each.name:
            lengths = rng.integers(each.shape[-1] * 3 // 4, each.shape[-1] + 1, batch)
            feeds[each.name] = (np.arange(each.shape[-1]) < lengths[:, None]).astype(each.dtype)
        elif each.dtype.startswith("int"):
            feeds[each.name] = rng.integers(0, IDS, shape).astype(each.dtype)
        else:
            feeds[each.name] = rng.standard_normal(shape).astype(each.dtype)
    return feeds


def calibration(inputs: Sequence[Input]) -> list[dict[str, np.ndarray[Any, Any]]]:
    """The single samples from which every engine's own tool quantizes."""
    return [make_feeds(inputs, 1, seed) for seed in range(CALIBRATION_SAMPLES)]
