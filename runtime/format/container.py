"""The safetensors container: eight bytes of header length, a JSON header, tensor data without holes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..errors import FormatError
from .limits import (
    ALIGNMENT,
    MAX_BYTES,
    MAX_DIM,
    MAX_HEADER_BYTES,
    MAX_HEADER_DEPTH,
    MAX_NAME,
    MAX_RANK,
    MAX_TENSORS,
    PAD_PREFIX,
    SAFETENSORS_DTYPES,
)
from .strict_json import parse_json, take_int, take_list, take_record, take_text

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""What arrays of bfloat16 are here, where all others have NumPy's own dtypes: the upper halves of float32."""

_LENGTH = struct.Struct("<Q")
_ENTRY_KEYS = frozenset({"dtype", "shape", "data_offsets"})


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: `begin` and `end` count bytes from the start of the data."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """A checked header: the entries lie in the file, one after the other, with no byte between or after them."""

    entries: dict[str, Entry]
    metadata: dict[str, str]
    data_start: int


def dtype_name(dtype: np.dtype[Any]) -> str:
    """NumPy's name of a dtype, or bfloat16."""
    return "bfloat16" if dtype == BFLOAT16 else dtype.name


def parse_header(file: memoryview) -> Header:
    """The header of a safetensors file. Raises FormatError."""
    if len(file) < _LENGTH.size:
        raise FormatError(f"{len(file)} bytes are too few for a .rush file")
    (length,) = _LENGTH.unpack(file[: _LENGTH.size])
    if length > MAX_HEADER_BYTES or bytes(file[_LENGTH.size : _LENGTH.size + 1]) != b"{":
        raise FormatError("this is not a .rush file")
    data_start = _LENGTH.size + length
    if data_start > len(file):
        raise FormatError(f"truncated: the header needs {data_start} bytes, the file has {len(file)}")
    document = parse_json(bytes(file[_LENGTH.size : data_start]), "header", MAX_HEADER_DEPTH)
    if not isinstance(document, dict):
        raise FormatError("header must be an object")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FormatError("header: __metadata__ must map text to text")
    if len(document) > MAX_TENSORS:
        raise FormatError(f"header: {len(document)} tensors (at most {MAX_TENSORS})")
    entries = {name: _entry(name, value) for name, value in document.items()}
    _check_layout(entries, len(file) - data_start)
    return Header(entries, metadata, data_start)


def _entry(name: str, value: Any) -> Entry:
    what = f"tensor '{name[:80]}'"
    if len(name) > MAX_NAME:
        raise FormatError(f"{what}: name of {len(name)} characters (at most {MAX_NAME})")
    record = take_record(value, what, _ENTRY_KEYS)
    code = take_text(record["dtype"], f"{what}: dtype", 16)
    if code not in SAFETENSORS_DTYPES:
        raise FormatError(f"{what}: dtype {code} is not supported")
    dtype = BFLOAT16 if code == "BF16" else np.dtype(SAFETENSORS_DTYPES[code])
    shape = tuple(
        take_int(dim, f"{what}: dimension", 0, MAX_DIM)
        for dim in take_list(record["shape"], f"{what}: shape", MAX_RANK)
    )
    nbytes = prod(shape) * dtype.itemsize
    if nbytes > MAX_BYTES:
        raise FormatError(f"{what}: {nbytes} bytes (at most {MAX_BYTES})")
    offsets = take_list(record["data_offsets"], f"{what}: data_offsets", 2)
    if len(offsets) != 2:
        raise FormatError(f"{what}: data_offsets must be two numbers")
    begin, end = (take_int(offset, f"{what}: offset", 0, MAX_BYTES) for offset in offsets)
    if end - begin != nbytes:
        raise FormatError(f"{what}: {code}{list(shape)} takes {nbytes} bytes, its offsets span {end - begin}")
    return Entry(dtype, shape, begin, end)


def _check_layout(entries: Mapping[str, Entry], available: int) -> None:
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin < at:
            raise FormatError(f"tensor '{name[:80]}' overlaps the one before it")
        if entry.begin > at:
            raise FormatError(f"hole of {entry.begin - at} bytes before tensor '{name[:80]}'")
        at = entry.end
        if at > available:
            raise FormatError(
                f"truncated: tensor '{name[:80]}' ends at byte {at} of the data, the file has {available}"
            )
    if at != available:
        raise FormatError(f"{available - at} bytes after the last tensor")


def layout(tensors: Mapping[str, np.ndarray[Any, Any]]) -> tuple[dict[str, Entry], int]:
    """Entries for `tensors` in their order, each at a multiple of ALIGNMENT, with pads between; and the total size."""
    entries: dict[str, Entry] = {}
    at = pads = 0
    for name, array in tensors.items():
        if gap := -at % ALIGNMENT:
            entries[f"{PAD_PREFIX}{pads}"] = Entry(np.dtype(np.uint8), (gap,), at, at + gap)
            pads += 1
            at += gap
        entries[name] = Entry(array.dtype, array.shape, at, at + array.nbytes)
        at += array.nbytes
    return entries, at


def format_header(entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> bytes:
    """Header bytes, length included, padded with spaces so that the data starts at a multiple of ALIGNMENT."""
    codes = {name: code for code, name in SAFETENSORS_DTYPES.items()}
    document: dict[str, Any] = {"__metadata__": dict(metadata)}
    for name, entry in entries.items():
        document[name] = {
            "dtype": codes[dtype_name(entry.dtype)],
            "shape": list(entry.shape),
            "data_offsets": [entry.begin, entry.end],
        }
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    text += b" " * (-(_LENGTH.size + len(text)) % ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise FormatError(f"header of {len(text)} bytes (at most {MAX_HEADER_BYTES})")
    return _LENGTH.pack(len(text)) + text
