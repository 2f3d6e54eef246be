"""Writes `.rush` files: whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FormatError
from ..files import replacing
from .container import Entry, format_header, layout
from .encode import Encoder, tensor_bytes
from .limits import (
    FORMAT_VERSION,
    KEY_FORMAT,
    KEY_HASH,
    KEY_PACKING,
    KEY_PACKING_HASH,
    KEY_PROGRAM,
    KEY_PROVENANCE,
    MAX_PROGRAM_BYTES,
    MAX_PROVENANCE_BYTES,
)
from .reader import read_program

if TYPE_CHECKING:
    from ..program import Program


def write_program(program: Program, path: str | os.PathLike[str]) -> None:
    """Writes `program` to `path`: to a file beside it, which is read back and renamed, so that nobody sees half a file.

    The same program gives the same bytes. Raises FormatError where it exceeds a limit of the format, and OSError.
    """
    encoder = Encoder()
    text = _compact(encoder.document(program.methods), "program", MAX_PROGRAM_BYTES)
    metadata = {
        KEY_FORMAT: str(FORMAT_VERSION),
        KEY_PROGRAM: text,
        KEY_HASH: hashlib.sha256(text.encode("ascii")).hexdigest(),
        KEY_PROVENANCE: _compact(program.provenance, "provenance", MAX_PROVENANCE_BYTES),
    }
    if program.packing is not None:
        packing = _compact(encoder.packing(program.packing), "packing", MAX_PROGRAM_BYTES)
        metadata |= {KEY_PACKING: packing, KEY_PACKING_HASH: hashlib.sha256(packing.encode("ascii")).hexdigest()}
    entries, _ = layout(encoder.tensors)
    header = format_header(entries, metadata)
    with replacing(path) as temporary:
        _write_file(temporary, header, entries, encoder.tensors)
        try:
            read_program(temporary)
        except FormatError as error:
            raise FormatError(str(error).replace(str(temporary), os.fspath(path), 1)) from None
    _sync_folder(Path(path).parent)


def _compact(document: Any, what: str, most: int) -> str:
    try:
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{what} cannot be written as JSON: {error}") from None
    if len(text) > most:
        raise FormatError(f"{what} takes {len(text)} bytes (at most {most})")
    return text


def _write_file(path: Path, header: bytes, entries: Mapping[str, Entry], tensors: Mapping[str, Any]) -> None:
    with open(path, "xb") as file:
        file.write(header)
        for name, entry in entries.items():
            file.write(tensor_bytes(tensors[name]) if name in tensors else bytes(entry.end - entry.begin))
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
