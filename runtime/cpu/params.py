"""Packs kernel parameters into the family's C struct, whose fields the core describes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from . import _core

_TYPES = {"i": np.dtype(np.int64), "f": np.dtype(np.float32), "d": np.dtype(np.float64)}


@cache
def families() -> Mapping[str, _core.FamilyInfo]:
    """Kernel families by name."""
    return {family.name: family for family in _core.families()}


@cache
def params_dtype(family: str) -> np.dtype[Any]:
    """The structured dtype that has the layout of the family's Params."""
    info = families()[family]
    names, formats, offsets = [], [], []
    for name, kind, offset, count in info.fields:
        names.append(name)
        formats.append(_TYPES[kind] if count == 1 else (_TYPES[kind], (count,)))
        offsets.append(offset)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": info.params_bytes})


def pack_params(family: str, **fields: Any) -> bytes:
    """The bytes of a Params struct; arrays shorter than their field are filled up with zeros.

    Raises KeyError unless exactly the family's fields are given.
    """
    dtype = params_dtype(family)
    expected = set(dtype.names or ())
    if set(fields) != expected:
        raise KeyError(f"{family}: missing {sorted(expected - set(fields))}, unknown {sorted(set(fields) - expected)}")
    record = np.zeros((), dtype)
    for name, value in fields.items():
        shape = dtype[name].shape
        if shape:
            values = np.asarray(value)
            if values.ndim != 1 or len(values) > shape[0]:
                raise KeyError(f"{family}: '{name}' takes at most {shape[0]} numbers")
            record[name][: len(values)] = values
        else:
            record[name] = value
    return record.tobytes()
