"""Input arrays of commands: read from `.npz` files or made up."""

from __future__ import annotations

import os
import secrets
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from rushlight.runtime.errors import FormatError, RushlightError, ShapeError
from rushlight.runtime.ir import Graph, SymbolRange
from rushlight.runtime.ops import Array
from rushlight.runtime.types import Dim, evaluate

SEED = 0


def read_arrays(path: Path) -> dict[str, Array]:
    """Arrays by name from an `.npz` file. Raises FormatError, and OSError where it cannot be opened."""
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise FormatError(f"{path}: a single array; an .npz file of arrays by name is needed")
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"{path}: not an .npz file of arrays: {str(error)[:120]}") from None


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Writes an `.npz` file, which appears whole or not at all."""
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.tmp")
    try:
        with zipfile.ZipFile(temporary, "x") as archive:
            for name, array in arrays.items():
                # Not np.savez: its own parameters' names ("file") could not be names of arrays.
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def parse_sizes(texts: Iterable[str]) -> dict[str, int]:
    """``["N=4"]`` as ``{"N": 4}``. Raises RushlightError."""
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, size = text.partition("=")
        if not size.isdecimal():
            raise RushlightError(f"--dim {text}: write NAME=SIZE, such as N=4")
        sizes[name] = int(size)
    return sizes


def random_inputs(graph: Graph, sizes: Mapping[str, int]) -> dict[str, Array]:
    """Inputs that any model accepts, always the same: normal floats, bytes of full range, and 0 or 1 for wider
    integers, which may be indices or masks. Dimensions that `sizes` leaves out get their smallest size.
    """
    unknown = sorted(set(sizes) - set(graph.symbols))
    if unknown:
        known = ", ".join(graph.symbols) or "none"
        raise ShapeError(f"no dimension '{unknown[0]}'; the program has {known}")
    binding = {name: sizes.get(name, _smallest(limits)) for name, limits in graph.symbols.items()}
    rng = np.random.default_rng(SEED)
    inputs: dict[str, Array] = {}
    for value in graph.inputs:
        shape = [evaluate(dim, binding) for dim in value.type.shape]
        if value.dtype.kind == "f":
            inputs[value.name] = rng.standard_normal(shape).astype(value.dtype)
        elif value.dtype.itemsize == 1 and value.dtype.kind in "iu":
            limits = np.iinfo(value.dtype)
            inputs[value.name] = rng.integers(limits.min, limits.max, shape, value.dtype, endpoint=True)
        else:
            inputs[value.name] = rng.integers(0, 2, shape).astype(value.dtype)
    return inputs


def batch_size(graph: Graph, batch: int) -> dict[str, int]:
    """The binding that makes the first input's first dimension `batch`. Raises ShapeError for another static size."""
    first = graph.inputs[0].type.shape[0] if graph.inputs and graph.inputs[0].type.shape else 1
    symbol = first.as_symbol() if isinstance(first, Dim) else None
    if symbol is not None:
        return {symbol: batch}
    if first != batch:
        raise ShapeError(f"the program's batch is {first}, not {batch}")
    return {}


def _smallest(limits: SymbolRange) -> int:
    return max(1, limits.low)
