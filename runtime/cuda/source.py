"""Kernels as text: one self-contained source a variant, and its parameters as a NumPy dtype, read from that source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from ..errors import UnsupportedError

_INCLUDE = re.compile(r'^#include "(\w+\.cuh|kernels/(?!vec/vec_(?!cuda))[\w/]+\.h)"$', re.MULTILINE)
"""Of kernels/vec/ the instruction sets of CPUs stay where they are, between #if and #endif."""
_KERNEL = re.compile(r"^KERNEL\([^()]*, (\w+)\)", re.MULTILINE)
_STRUCT = re.compile(r"struct (?:alignas\(\d+\) )?(\w+) \{\n(.*?)\n\};", re.DOTALL)
_FIELDS = re.compile(r"^ +(?:const )?(\w+)(\*?) (\w+(?:\[\d+\])?(?:, \w+(?:\[\d+\])?)*);", re.MULTILINE)
_DECLARATOR = re.compile(r"(\w+)(?:\[(\d+)\])?")
_SCALARS = {
    "int32_t": np.int32, "uint32_t": np.uint32, "int64_t": np.int64, "uint64_t": np.uint64, "float": np.float32,
}  # fmt: skip


@dataclass(frozen=True)
class Kernel:
    """A variant of a kernel: `name` is its function and file, `defines` are its compile-time parameters."""

    name: str
    defines: tuple[tuple[str, int | str], ...] = ()

    @property
    def macros(self) -> list[str]:
        return [f"-D{name}={value}" for name, value in self.defines]

    @property
    def source(self) -> str:
        """The source with all of its headers, for the device."""
        return _inline(f"{self.name}.cu")

    @property
    def params(self) -> np.dtype[Any]:
        """The struct that the kernel takes by value, laid out as the compiler does."""
        return _params(self.name)

    def pack(self, **fields: Any) -> np.ndarray[Any, Any]:
        """The parameters as an array without axes; of structs within, a dict or a record. A missing or unknown field is
        an error. Raises UnsupportedError where the kernel has too few bits for a number."""
        try:
            return np.array(_values(self.params, fields), self.params)
        except OverflowError as error:
            raise UnsupportedError(f"{self.name}: {error}") from error


@cache
def read_source(name: str) -> str:
    """A file of this package's kernels, or "kernels/...", which the CPU's share with them."""
    folder = (
        files(f"{__package__.rsplit('.', 1)[0]}.cpu") if name.startswith("kernels/") else files(__package__) / "kernels"
    )
    return folder.joinpath(name).read_text()


@cache
def _inline(name: str) -> str:
    seen: set[str] = set()

    def expand(text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[1] in seen:
                return ""
            seen.add(match[1])
            return expand(read_source(match[1]))

        return _INCLUDE.sub(replace, text).replace("#pragma once\n", "")

    return expand(read_source(name))


@cache
def _params(name: str) -> np.dtype[Any]:
    source = _inline(f"{name}.cu")
    kernel = _KERNEL.search(source)
    if kernel is None:
        raise LookupError(f"{name}.cu has no kernel")
    return _dtype(kernel[1], dict(_STRUCT.findall(source)))


def _dtype(struct: str, bodies: dict[str, str]) -> np.dtype[Any]:
    fields: list[Any] = []
    types = set()
    for type_name, pointer, declarators in _FIELDS.findall(bodies[struct]):
        types.add(type_name)
        kind: Any = np.uint64 if pointer else _SCALARS.get(type_name) or _dtype(type_name, bodies)
        for name, count in _DECLARATOR.findall(declarators):
            fields.append((name, kind, (int(count),)) if count else (name, kind))
    dtype = np.dtype(fields, align=True)
    return _aligned(dtype, 64) if "TensorMap" in types else dtype


def _aligned(dtype: np.dtype[Any], alignment: int) -> np.dtype[Any]:
    """The dtype padded at its end to a multiple of `alignment` bytes."""
    assert dtype.names is not None
    assert dtype.fields is not None
    return np.dtype(
        {
            "names": dtype.names,
            "formats": [dtype[name] for name in dtype.names],
            "offsets": [dtype.fields[name][1] for name in dtype.names],
            "itemsize": -(-dtype.itemsize // alignment) * alignment,
        }
    )


def _values(dtype: np.dtype[Any], fields: dict[str, Any] | np.void) -> tuple[Any, ...]:
    assert dtype.names is not None
    if isinstance(fields, np.void):
        fields = {name: fields[name] for name in fields.dtype.names or ()}
    if set(fields) != set(dtype.names):
        raise TypeError(f"parameters differ: {sorted(set(fields) ^ set(dtype.names))}")
    return tuple(
        _values(dtype[name], fields[name]) if isinstance(fields[name], dict | np.void) else fields[name]
        for name in dtype.names
    )
