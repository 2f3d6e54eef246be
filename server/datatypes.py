"""Names of element types in the Open Inference Protocol and their NumPy dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rushlight.runtime.errors import UnsupportedError

NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("bool"),
    "UINT8": np.dtype("uint8"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("int8"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}

_NAMES = {dtype: name for name, dtype in NUMPY_DTYPES.items()}


def datatype_name(dtype: np.dtype[Any]) -> str:
    """The protocol's name of a dtype; `UnsupportedError` where it has none."""
    try:
        return _NAMES[dtype.newbyteorder("<")]
    except KeyError:
        raise UnsupportedError(f"the Open Inference Protocol has no name for dtype {dtype}") from None
