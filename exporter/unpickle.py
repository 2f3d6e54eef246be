"""Reads the tensors of files that `torch.save` wrote, without PyTorch and without running what they contain.

Both forms are read: the zip archive of today, and the sequence of pickles of PyTorch before 1.6.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rushlight.runtime.errors import FormatError

from .pickle_machine import Global, run_pickle

Array: TypeAlias = npt.NDArray[Any]

MAX_EXPANDED = 1 << 20
"""Elements that a tensor may have beyond its storage's size (views with stride 0 are written out)."""
MAX_RANK = 32

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_COUNT = struct.Struct("<q")
_BFLOAT16 = "bfloat16"
_STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    count: int

    @property
    def nbytes(self) -> int:
        return self.count * _raw(self.dtype).itemsize


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Arrays by name, in the file's order; bfloat16 becomes float32 (every value exact).

    Raises FormatError for anything but a dictionary of tensors, naming the first global that has no place in one.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return _read_zip(data) if data[:4] == b"PK\x03\x04" else _read_legacy(data)
    except FormatError as error:
        raise FormatError(f"{os.fspath(path)}: {error}") from None


def _read_zip(data: bytes) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise FormatError("a compressed archive; torch.save compresses nothing")
            roots = [name.removesuffix("/data.pkl") for name in sizes if name.count("/") == 1 and "/data.pkl" in name]
            if len(roots) != 1:
                raise FormatError("an archive that torch.save did not write")
            root = roots[0]
            if f"{root}/byteorder" in sizes and archive.read(f"{root}/byteorder") != b"little":
                raise FormatError("big-endian tensors are not supported")
            if f"{root}/constants.pkl" in sizes:
                raise FormatError("a TorchScript program, not a file of tensors")
            pickle = io.BytesIO(archive.read(f"{root}/data.pkl"))
            value, storages = _run(pickle, fields=5)
            budget = len(data)
            raw: dict[str, bytes] = {}
            for storage in storages.values():
                name = f"{root}/data/{storage.key}"
                if sizes.get(name) != storage.nbytes:
                    raise FormatError(
                        f"storage '{storage.key}' of {storage.nbytes} bytes is missing or of another size"
                    )
                budget -= storage.nbytes
                if budget < 0:
                    raise FormatError("storages overlap")
                raw[storage.key] = archive.read(name)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, struct.error) as error:
        raise FormatError(f"damaged archive: {str(error)[:120]}") from None
    return _resolve(value, lambda storage: np.frombuffer(raw[storage.key], _raw(storage.dtype)))


def _read_legacy(data: bytes) -> dict[str, Array]:
    file = io.BytesIO(data)
    try:
        magic = _run(file, fields=0)[0]
    except FormatError:
        magic = None
    if magic != _LEGACY_MAGIC:
        raise FormatError("not a file that torch.save wrote")
    if _run(file, fields=0)[0] != _LEGACY_PROTOCOL:
        raise FormatError("an unknown version of torch.save's old format")
    system = _run(file, fields=0)[0]
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise FormatError("big-endian tensors are not supported")
    value, storages = _run(file, fields=6)
    keys = _run(file, fields=0)[0]
    if not isinstance(keys, list) or set(map(str, keys)) != storages.keys() or len(keys) != len(storages):
        raise FormatError("the list of storages does not match the tensors")
    raw: dict[str, Array] = {}
    at = file.tell()
    for key in map(str, keys):
        storage = storages[key]
        end = at + _COUNT.size + storage.nbytes
        if end > len(data):
            raise FormatError(f"truncated: storage '{key}' ends at byte {end}, the file has {len(data)}")
        if _COUNT.unpack_from(data, at) != (storage.count,):
            raise FormatError(f"storage '{key}' is not of the size that its tensors expect")
        raw[key] = np.frombuffer(data, _raw(storage.dtype), storage.count, at + _COUNT.size)
        at = end
    return _resolve(value, lambda storage: raw[storage.key])


def _run(file: io.BytesIO, fields: int) -> tuple[Any, dict[str, _Storage]]:
    """A pickle's value and the storages it names; persistent ids have `fields` fields, or are refused where it is 0."""
    storages: dict[str, _Storage] = {}

    def load(identity: Any) -> _Storage:
        if type(identity) is not tuple or len(identity) != fields or identity[0] != "storage":
            raise FormatError("a persistent id that is no storage")
        kind, key, count = identity[1], identity[2], identity[4]
        if not isinstance(kind, Global) or kind.name not in _STORAGES or type(key) is not str:
            raise FormatError("a storage of unknown type")
        if any(field is not None for field in identity[5:]):
            raise FormatError("storages that are views of others are not supported")
        storage = _Storage(key, _STORAGES[kind.name], _size(count))
        if storages.setdefault(key, storage) != storage:
            raise FormatError(f"storage '{key[:80]}' is described in two ways")
        return storage

    return run_pickle(file, _ALLOWED, load), storages


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    return dict(pairs)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or type(shape) is not tuple or type(strides) is not tuple:
        raise FormatError("a tensor without storage, shape or strides")
    if len(shape) != len(strides) or len(shape) > MAX_RANK:
        raise FormatError(f"a tensor of {len(shape)} sizes and {len(strides)} strides")
    return _Tensor(storage, _size(offset), tuple(map(_size, shape)), tuple(map(_size, strides)))


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data


_ALLOWED: Mapping[str, Global] = {
    "collections OrderedDict": Global("OrderedDict", _ordered_dict),
    "torch._utils _rebuild_tensor_v2": Global("_rebuild_tensor_v2", _rebuild_tensor),
    "torch._utils _rebuild_parameter": Global("_rebuild_parameter", _rebuild_parameter),
    **{f"torch {name}": Global(name) for name in _STORAGES},
}


def _size(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise FormatError(f"{value!r:.40} is not a size")
    return value


def _raw(dtype: str) -> np.dtype[Any]:
    return np.dtype("uint16" if dtype == _BFLOAT16 else dtype)


def _resolve(value: Any, load: Callable[[_Storage], Array]) -> dict[str, Array]:
    if type(value) is not dict:
        raise FormatError("not a dictionary of tensors: save model.state_dict()")
    out: dict[str, Array] = {}
    for name, tensor in value.items():
        if type(name) is not str or not isinstance(tensor, _Tensor):
            raise FormatError(f"entry {name!r:.80} is not a tensor: save model.state_dict()")
        out[name] = _view(name, tensor, load(tensor.storage))
    return out


def _view(name: str, tensor: _Tensor, storage: Array) -> Array:
    size = math.prod(tensor.shape)
    reach = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True)) + 1
    if size and reach > storage.size:
        raise FormatError(f"tensor '{name[:80]}' reaches beyond its storage")
    if size > storage.size + MAX_EXPANDED:
        raise FormatError(f"tensor '{name[:80]}' of {size} elements expands a storage of {storage.size}")
    if not size:
        array = np.zeros(tensor.shape, storage.dtype)
    else:
        strides = [s * storage.itemsize for s in tensor.strides]
        view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
        array = np.ascontiguousarray(view).reshape(tensor.shape)
    if tensor.storage.dtype == _BFLOAT16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    elif tensor.storage.dtype == "bool" and array.view(np.uint8).max(initial=0) > 1:
        raise FormatError(f"tensor '{name[:80]}' holds a byte that is neither true nor false")
    return array
