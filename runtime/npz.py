"""Arrays by name in `.npz` files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from .errors import FormatError
from .files import replacing

_ZIP, _ARRAY = b"PK", b"\x93NUMPY"


def read_arrays(path: str | PathLike[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of an `.npz` file. Raises FormatError, and OSError where it cannot be opened."""
    with open(path, "rb") as file:
        start = file.read(len(_ARRAY))
        if start == _ARRAY:
            raise FormatError(f"{path}: a single array; an .npz file of arrays by name is needed")
        if not start.startswith(_ZIP):
            raise FormatError(f"{path}: not an .npz file of arrays")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as loaded:
                arrays = {name: loaded[name] for name in loaded.files}
        except (ValueError, EOFError, OSError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise FormatError(f"{path}: not an .npz file of arrays: {str(error)[:120]}") from None
    strange = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
    if strange:
        raise FormatError(f"{path}: '{strange[0][:80]}' is not an array")
    return arrays


def write_arrays(path: str | PathLike[str], arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Writes an `.npz` file, which appears whole or not at all. Raises OSError."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "x") as archive:
        for name, array in arrays.items():
            # Not np.savez: its own parameters' names ("file") could not be names of arrays.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
