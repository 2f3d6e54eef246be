"""Calibration data: a path to an `.npz`, a dict of arrays, or any iterable of arrays, tuples or dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from rushlight.runtime.errors import FormatError, QuantizationError
from rushlight.runtime.method import TensorSpec
from rushlight.runtime.npz import read_arrays
from rushlight.runtime.ops import Array

CalibrationData: TypeAlias = "str | PathLike[str] | Mapping[str, Any] | Iterable[Any]"

Progress: TypeAlias = Callable[[int], None]
"""Is told how many samples are done."""

CHUNK = 8
"""Samples a run where the batch is dynamic: enough to be fast, few enough for observed values to fit in memory."""


def batches(data: CalibrationData, specs: list[TensorSpec]) -> Iterator[tuple[str, dict[str, Array]]]:
    """Inputs for one run after another, each with the words that name it in an error ("samples 8 to 15").

    Raises QuantizationError for names, dtypes, shapes or values (NaN, infinity) that cannot be used, naming the input
    and the sample.
    """
    if isinstance(data, (str, PathLike)):
        data = _read_npz(Path(data))
    if isinstance(data, Mapping):
        yield from _chunks(data, specs)
        return
    count = 0
    for count, item in enumerate(data, 1):
        where = f"item {count - 1}"
        arrays = {name: _to_numpy(value) for name, value in _by_name(item, specs, where).items()}
        _check(arrays, specs, 0, where)
        yield where, arrays
    if not count:
        raise QuantizationError("calibration data is empty")


def _read_npz(path: Path) -> Mapping[str, Array]:
    try:
        return read_arrays(path)
    except OSError as error:
        raise QuantizationError(f"{path}: {error.strerror}") from None
    except FormatError as error:
        raise QuantizationError(str(error)) from None


def _chunks(data: Mapping[str, Any], specs: list[TensorSpec]) -> Iterator[tuple[str, dict[str, Array]]]:
    arrays = {name: _to_numpy(value) for name, value in _by_name(data, specs, "calibration data").items()}
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    total = min(lengths.values(), default=0)
    if len(set(lengths.values())) > 1:
        raise QuantizationError(
            "inputs have different numbers of samples: " + ", ".join(f"{k} {v}" for k, v in lengths.items())
        )
    if total == 0:
        raise QuantizationError("calibration data is empty")
    first = specs[0].shape[0] if specs and specs[0].shape else 1
    size = first if isinstance(first, int) else min(CHUNK, total)
    if size < 1 or total < size:
        raise QuantizationError(f"calibration data holds {total} samples, the model takes {size} at a time")
    for start in range(0, total - size + 1, size) if isinstance(first, int) else range(0, total, size):
        part = {name: array[start : start + size] for name, array in arrays.items()}
        _check(part, specs, start, None)
        yield f"samples {start} to {min(start + size, total) - 1}", part


def _by_name(item: Any, specs: list[TensorSpec], where: str) -> dict[str, Any]:
    names = [spec.name for spec in specs]
    if isinstance(item, Mapping):
        missing = [name for name in names if name not in item]
        extra = [str(name) for name in item if name not in names]
        if missing or extra:
            words = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(extra)}"] * bool(extra)
            raise QuantizationError(f"{where} {' and '.join(words)}; the model takes {', '.join(names)}")
        return {name: item[name] for name in names}
    values = list(item) if isinstance(item, (tuple, list)) else [item]
    if len(values) < len(names):
        raise QuantizationError(
            f"{where} holds {len(values)} arrays, the model takes {len(names)} ({', '.join(names)})"
        )
    return dict(zip(names, values, strict=False))  # a DataLoader's labels stand behind the inputs


def _to_numpy(value: Any) -> Array:
    detach = getattr(value, "detach", None)
    return np.asarray(detach().cpu() if detach else value)


def _check(arrays: Mapping[str, Array], specs: list[TensorSpec], start: int, where: str | None) -> None:
    for spec in specs:
        array = arrays[spec.name]
        place = f"input '{spec.name}', {where or f'sample {start}'}"
        if array.dtype != spec.dtype:
            raise QuantizationError(f"{place}: dtype {array.dtype}, the model takes {spec.dtype}")
        fits = array.ndim == len(spec.shape) and all(
            isinstance(want, str) or want == size for want, size in zip(spec.shape, array.shape, strict=False)
        )
        if not fits:
            wanted = ", ".join(map(str, spec.shape))
            raise QuantizationError(f"{place}: shape {list(array.shape)}, the model takes [{wanted}]")
        if array.dtype.kind == "f" and array.size:
            finite = np.isfinite(array)
            if not finite.all():
                bad = tuple(int(i) for i in np.argwhere(~finite)[0])
                sample = where or f"sample {start + bad[0] if bad else start}"
                raise QuantizationError(f"input '{spec.name}', {sample}: {array[bad]} at {list(bad[1:])}")
