"""What the host side of the kernels needs of a device, real or emulated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..execution import Peaks
from .source import Kernel
from .tensor_maps import MatrixMap, PixelMap

ALIGNMENT = 256
"""Bytes, of every buffer's address."""


class Buffer(Protocol):
    """Memory of a device; lives as long as this object."""

    @property
    def address(self) -> int: ...
    @property
    def size(self) -> int: ...


class Device(Protocol):
    """`multiprocessors` and `shared_bytes` (of one block) bound the choice of tiles. `tells_time`: whether what `timed`
    says of launches holds for later ones."""

    @property
    def name(self) -> str: ...
    @property
    def tells_time(self) -> bool: ...

    @property
    def arch(self) -> str:
        """What its kernels are compiled for."""
        ...

    @property
    def multiprocessors(self) -> int: ...
    @property
    def shared_bytes(self) -> int: ...
    @property
    def is_hopper(self) -> bool:
        """Whether it runs code for sm_90a."""
        ...

    def allocate(self, size: int) -> Buffer: ...
    def write(self, address: int, array: npt.NDArray[Any]) -> None:
        """Copies a contiguous array there, after the work that was queued before; it may change once this returns."""
        ...

    def read(self, address: int, out: npt.NDArray[Any]) -> None:
        """Waits for all work that was queued before, and fills a contiguous array."""
        ...

    def synchronize(self) -> None:
        """Waits for all work that was queued."""
        ...

    def mark(self) -> Callable[[], None]:
        """What waits for all work that was queued before this call."""
        ...

    def copy(self, target: int, source: int, size: int) -> None:
        """Between addresses of devices, after the work that was queued before."""
        ...

    def pooled(self, size: int) -> Buffer:
        """Memory for a result that leaves with a caller: often taken and given back."""
        ...

    @property
    def stream(self) -> int | None:
        """On which work is queued, as `__cuda_array_interface__` names it; None where there are no streams."""
        ...

    def wait_for(self, stream: int) -> None:
        """Queued work begins after what this other stream has to do now."""
        ...

    def adopt(self, value: Any) -> Any:
        """An array that comes by DLPack as one with `__cuda_array_interface__`; work that is queued from now on begins
        after what makes it."""
        ...

    def foreign(self, array: Any) -> Any:
        """An array with `__cuda_array_interface__` as one that gives DLPack."""
        ...

    def tensor_map(self, layout: MatrixMap | PixelMap) -> npt.NDArray[np.uint64]:
        """TensorMap (hopper.cuh) of an encodable layout of bytes on the device."""
        ...

    def peaks(self) -> Peaks: ...
    def launch(self, launch: Launch) -> None: ...
    def prepare(self, launches: Sequence[Launch]) -> Callable[[], None]:
        """What queues these launches, in order, as often as it is called. Everything that can fail or take long at a
        first launch happens here."""
        ...

    def timed(self, launches: Sequence[Launch], repeats: int = 0) -> int:
        """Runs them once; the nanoseconds that they took. With `repeats`, after a first time so often, one behind the
        other; the mean."""
        ...


@dataclass(frozen=True)
class Launch:
    """One kernel call. `params`: the kernel's parameter struct, an array without axes. `tile`: rows and columns of the
    result that a block computes, 0 where it computes no product."""

    kernel: Kernel
    grid: tuple[int, int, int]
    threads: int
    shared_bytes: int
    params: np.ndarray[Any, Any]
    tile: tuple[int, int] = (0, 0)


def upload(device: Device, array: npt.NDArray[Any]) -> Buffer:
    """A copy of the array in memory of its own."""
    buffer = device.allocate(array.nbytes)
    device.write(buffer.address, np.ascontiguousarray(array))
    return buffer


def download(device: Device, buffer: Buffer, shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """What the buffer holds once all work that was queued has ended."""
    out = np.empty(shape, dtype)
    device.read(buffer.address, out)
    return out
