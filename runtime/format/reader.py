"""Reads `.rush` files: the program is checked, the tensors stay in the file until they are used."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FormatError
from ..mapping import map_file, release
from .container import Entry, Header, dtype_name, parse_header
from .limits import (
    FORMAT_VERSION,
    KEY_FORMAT,
    KEY_HASH,
    KEY_PACKING,
    KEY_PACKING_HASH,
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
        return _decode(map_file(path), verify)
    except FormatError as error:
        raise FormatError(f"{os.fspath(path)}: {error}") from None


def _decode(file: memoryview, verify: bool) -> Program:
    from .decode import decode_program
    from .packing import decode_packing

    header = parse_header(file)
    if KEY_FORMAT not in header.metadata:
        raise FormatError("a safetensors file without a Rushlight program")
    version = header.metadata[KEY_FORMAT]
    if version != str(FORMAT_VERSION):
        raise FormatError(f"format version {version[:20]}; this Rushlight reads version {FORMAT_VERSION}")
    tensors = _Tensors(file, header, verify)
    document = _document(header.metadata, KEY_PROGRAM, KEY_HASH, "program")
    arrays = tensors.read(document.get("tensors"), "program")
    packing: dict[str, Any] = {}
    if KEY_PACKING in header.metadata:
        packing = _document(header.metadata, KEY_PACKING, KEY_PACKING_HASH, "packing")
    packed = tensors.read(packing.get("tensors", {}), "packing")
    tensors.check_all_read()
    program = decode_program(document, arrays, _provenance(header.metadata))
    if packing:
        program.packing = decode_packing(packing, program, {**arrays, **packed})
    return program


def _document(metadata: dict[str, str], key: str, key_hash: str, what: str) -> dict[str, Any]:
    for name in (key, key_hash):
        if name not in metadata:
            raise FormatError(f"header: {name} is missing")
    text = metadata[key]
    if len(text) > MAX_PROGRAM_BYTES:
        raise FormatError(f"{what} of {len(text)} bytes (at most {MAX_PROGRAM_BYTES})")
    if not text.isascii():
        raise FormatError(f"{what} is not ASCII text")
    data = text.encode("ascii")
    if hashlib.sha256(data).hexdigest() != metadata[key_hash]:
        raise FormatError(f"the {what} does not match its hash: the file is damaged")
    document: dict[str, Any] = take(parse_json(data, what, MAX_PROGRAM_DEPTH), dict, what)
    return document


def _provenance(metadata: dict[str, str]) -> dict[str, Any]:
    text = metadata.get(KEY_PROVENANCE, "{}")
    if len(text) > MAX_PROVENANCE_BYTES or not text.isascii():
        raise FormatError(f"provenance must be ASCII text of at most {MAX_PROVENANCE_BYTES} bytes")
    provenance: dict[str, Any] = take(
        parse_json(text.encode("ascii"), "provenance", MAX_PROGRAM_DEPTH), dict, "provenance"
    )
    return provenance


class _Tensors:
    """The arrays of a file, by the tables of names, dtypes, shapes and hashes that its documents hold."""

    def __init__(self, file: memoryview, header: Header, verify: bool) -> None:
        self._file = file
        self._header = header
        self._verify = verify
        self._read: set[str] = set()

    def read(self, table: Any, where: str) -> dict[str, Array]:
        """The tensors of a table, which must agree with the container on every name, dtype and shape."""
        arrays: dict[str, Array] = {}
        for key, row in take(table, dict, f"{where}: tensors").items():
            what = f"tensor '{key[:80]}'"
            if len(key) > MAX_NAME or key not in self._header.entries:
                raise FormatError(f"{what} is missing from the file")
            entry = self._header.entries[key]
            digest = _check_row(row, entry, what)
            begin = self._header.data_start + entry.begin
            arrays[key] = _view(self._file, begin, entry, what)
            if self._verify:
                if hashlib.sha256(self._file[begin : begin + entry.end - entry.begin]).hexdigest() != digest:
                    raise FormatError(f"{what} does not match its hash: the file is damaged")
                release(arrays[key])
        self._read |= arrays.keys()
        return arrays

    def check_all_read(self) -> None:
        for name in self._header.entries:
            if name not in self._read and not name.startswith(PAD_PREFIX):
                raise FormatError(f"tensor '{name[:80]}' is not part of the program")


def _check_row(row: Any, entry: Entry, what: str) -> str:
    fields = take_list(row, what, 3)
    if len(fields) != 3:
        raise FormatError(f"{what}: {len(fields)} fields instead of 3")
    dtype = take_text(fields[0], f"{what}: dtype", 16)
    shape = tuple(
        take_int(dim, f"{what}: dimension", 0, MAX_DIM) for dim in take_list(fields[1], f"{what}: shape", MAX_RANK)
    )
    if (dtype, shape) != (dtype_name(entry.dtype), entry.shape):
        raise FormatError(
            f"{what} is {dtype}{list(shape)} in the program, {dtype_name(entry.dtype)}{list(entry.shape)} in the file"
        )
    return take_text(fields[2], f"{what}: hash", 64)


def _view(file: memoryview, start: int, entry: Entry, what: str) -> Array:
    count = (entry.end - entry.begin) // entry.dtype.itemsize
    if entry.dtype == np.bool_:
        raw = np.frombuffer(file, np.uint8, count, start)
        if raw.size and raw.max() > 1:
            raise FormatError(f"{what} holds a byte that is neither true nor false")
    return np.frombuffer(file, entry.dtype, count, start).reshape(entry.shape)
