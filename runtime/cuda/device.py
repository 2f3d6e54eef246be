"""What the host side of the kernels needs of a device, real or emulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .source import Kernel


class Buffer(Protocol):
    """Memory of a device, 256-byte aligned; lives as long as this object."""

    @property
    def address(self) -> int: ...
    @property
    def size(self) -> int: ...


class Device(Protocol):
    """`multiprocessors` and `shared_bytes` (of one block) bound the choice of tiles."""

    @property
    def multiprocessors(self) -> int: ...
    @property
    def shared_bytes(self) -> int: ...
    @property
    def is_hopper(self) -> bool:
        """Whether it runs code for sm_90a."""
        ...

    def upload(self, array: npt.NDArray[Any]) -> Buffer: ...
    def allocate(self, size: int) -> Buffer: ...
    def download(self, buffer: Any, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]: ...
    def tensor_map(self, buffer: Any, columns: int, rows: int, pitch: int, tile_rows: int) -> npt.NDArray[np.uint64]:
        """TensorMap (hopper.cuh) of a matrix of bytes whose rows lie `pitch` bytes apart, in tiles of 128 columns."""
        ...

    def launch(self, launch: Launch) -> None: ...


@dataclass(frozen=True)
class Launch:
    """One kernel call. `params`: the kernel's parameter struct, an array without axes. `scratch`: memory for it."""

    kernel: Kernel
    grid: tuple[int, int, int]
    threads: int
    shared_bytes: int
    params: np.ndarray[Any, Any]
    scratch: Buffer | None = None
