"""Reads `.rush` files: the program is checked, the tensors stay in the file until they are used."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FormatError
from .container import Entry, Header, parse_header
from .limits import (
    FORMAT_VERSION,
    KEY_FORMAT,
    KEY_HASH,
    KEY_PROGRAM,
    KEY_PROVENANCE,
    MAX_DIM,
    MAX_NAME,
    MAX_PROGRAM_BYTES,
    MAX_PROGRAM_DEPTH,
    MAX_PROVENANCE_BYTES,
    MAX_RANK,
    PAD_PREFIX,
)
from .strict_json import parse_json, take, take_int, take_list, take_text

if TYPE_CHECKING:
    from ..ops import Array
    from ..program import Program


def read_program(path: str | os.PathLike[str], verify: bool = False) -> Program:
    """The program in a `.rush` file; its constants are read-only views of the memory-mapped file.

    The program's hash is always checked, the tensors' hashes where `verify` is true. Raises FormatError, one line that
    begins with the path, for anything that is not a sound file; OSError where it cannot be opened.
    """
    try:
        return _decode(_map(path), verify)
    except FormatError as error:
        raise FormatError(f"{os.fspath(path)}: {error}") from None


def _map(path: str | os.PathLike[str]) -> memoryview:
    # O_NONBLOCK: opening a named pipe must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FormatError("this is not a file")
        if status.st_size == 0:
            raise FormatError("the file is empty")
        return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    finally:
        os.close(descriptor)


def _decode(file: memoryview, verify: bool) -> Program:
    from .decode import Decoder

    header = parse_header(file)
    text = _program_text(header.metadata)
    document = parse_json(text, "program", MAX_PROGRAM_DEPTH)
    take(document, dict, "program")
    arrays = _arrays(file, header, document.get("tensors"), verify)
    return Decoder(document, arrays).program(_provenance(header.metadata))


def _program_text(metadata: dict[str, str]) -> bytes:
    if KEY_FORMAT not in metadata:
        raise FormatError("a safetensors file without a Rushlight program")
    version = metadata[KEY_FORMAT]
    if version != str(FORMAT_VERSION):
        raise FormatError(f"format version {version[:20]}; this Rushlight reads version {FORMAT_VERSION}")
    for key in (KEY_PROGRAM, KEY_HASH):
        if key not in metadata:
            raise FormatError(f"header: {key} is missing")
    text = metadata[KEY_PROGRAM]
    if len(text) > MAX_PROGRAM_BYTES:
        raise FormatError(f"program of {len(text)} bytes (at most {MAX_PROGRAM_BYTES})")
    if not text.isascii():
        raise FormatError("program is not ASCII text")
    data = text.encode("ascii")
    if hashlib.sha256(data).hexdigest() != metadata[KEY_HASH]:
        raise FormatError("the program does not match its hash: the file is damaged")
    return data


def _provenance(metadata: dict[str, str]) -> dict[str, Any]:
    text = metadata.get(KEY_PROVENANCE, "{}")
    if len(text) > MAX_PROVENANCE_BYTES or not text.isascii():
        raise FormatError(f"provenance must be ASCII text of at most {MAX_PROVENANCE_BYTES} bytes")
    provenance: dict[str, Any] = take(
        parse_json(text.encode("ascii"), "provenance", MAX_PROGRAM_DEPTH), dict, "provenance"
    )
    return provenance


def _arrays(file: memoryview, header: Header, table: Any, verify: bool) -> dict[str, Array]:
    """The tensors by key. The program's table and the container must agree on every name, dtype and shape."""
    arrays: dict[str, Array] = {}
    for key, row in take(table, dict, "program: tensors").items():
        what = f"tensor '{key[:80]}'"
        if len(key) > MAX_NAME or key not in header.entries:
            raise FormatError(f"{what} is missing from the file")
        entry = header.entries[key]
        digest = _check_row(row, entry, what)
        arrays[key] = _view(file, header.data_start + entry.begin, entry, what)
        span = file[header.data_start + entry.begin : header.data_start + entry.end]
        if verify and hashlib.sha256(span).hexdigest() != digest:
            raise FormatError(f"{what} does not match its hash: the file is damaged")
    for name in header.entries:
        if name not in arrays and not name.startswith(PAD_PREFIX):
            raise FormatError(f"tensor '{name[:80]}' is not part of the program")
    return arrays


def _check_row(row: Any, entry: Entry, what: str) -> str:
    fields = take_list(row, what, 3)
    if len(fields) != 3:
        raise FormatError(f"{what}: {len(fields)} fields instead of 3")
    dtype = take_text(fields[0], f"{what}: dtype", 16)
    shape = tuple(
        take_int(dim, f"{what}: dimension", 0, MAX_DIM) for dim in take_list(fields[1], f"{what}: shape", MAX_RANK)
    )
    if (dtype, shape) != (entry.dtype.name, entry.shape):
        raise FormatError(
            f"{what} is {dtype}{list(shape)} in the program, {entry.dtype}{list(entry.shape)} in the file"
        )
    return take_text(fields[2], f"{what}: hash", 64)


def _view(file: memoryview, start: int, entry: Entry, what: str) -> Array:
    count = (entry.end - entry.begin) // entry.dtype.itemsize
    if entry.dtype == np.bool_:
        raw = np.frombuffer(file, np.uint8, count, start)
        if raw.size and raw.max() > 1:
            raise FormatError(f"{what} holds a byte that is neither true nor false")
    return np.frombuffer(file, entry.dtype, count, start).reshape(entry.shape)
