"""Arrays on a device, exchanged with other libraries without a copy through the host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DeviceError, ShapeError
from .device import Device

_DLPACK_CUDA = (2, 13)  # kDLCUDA, kDLCUDAManaged
_LEGACY_STREAM = 1  # as __cuda_array_interface__ names the default stream


class DeviceArray:
    """A dense array in a device's memory: what a model returns where it was given arrays of the device.

    Others take it by DLPack (`from_dlpack`), or by `__cuda_array_interface__`, which waits until it is made, since not
    every library heeds streams; `numpy()` and `numpy.asarray` copy it to the host. `owner` is kept alive with it. Work
    that others queue on it has to end before it is dropped, as with any memory of CuPy's pool.
    """

    def __init__(
        self, device: Device, address: int, shape: Sequence[int], dtype: npt.DTypeLike, owner: Any, stream: int | None
    ) -> None:
        self._device, self.address, self._owner, self._stream = device, address, owner, stream
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        self._device.synchronize()
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address if self.nbytes else 0, False),
            "strides": None,
            "version": 3,
            "stream": None,
        }

    def __dlpack__(self, **options: Any) -> Any:
        return self._device.foreign(self).__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, index = self._device.foreign(self).__dlpack_device__()
        return int(kind), int(index)

    def numpy(self) -> npt.NDArray[Any]:
        """A copy on the host, once the work that makes it has ended."""
        out = np.empty(self.shape, self.dtype)
        self._device.read(self.address, out)
        return out

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("an array of a device cannot be viewed on the host")
        return self.numpy().astype(dtype or self.dtype, copy=False)


def find_array(device: Device, value: Any) -> DeviceArray | None:
    """`value` where it lies on a device, None for what NumPy reads. Work of the device waits for the stream that makes
    the value. Raises ShapeError where it is not dense, DeviceError where it is another device's."""
    if isinstance(value, np.ndarray):
        return None
    if isinstance(value, DeviceArray):
        return _from_model(device, value)
    interface: dict[str, Any] | None
    locate = getattr(value, "__dlpack_device__", None)
    if locate is not None and int(locate()[0]) in _DLPACK_CUDA:
        value = device.adopt(value)
        interface = {**value.__cuda_array_interface__, "stream": None}
    else:
        interface = getattr(value, "__cuda_array_interface__", None)
        if interface is None:
            return None
    shape, dtype = tuple(interface["shape"]), np.dtype(interface["typestr"])
    if not _is_dense(shape, interface.get("strides"), dtype.itemsize):
        raise ShapeError("an array on a device has to be contiguous")
    stream = interface.get("stream", _LEGACY_STREAM)  # versions before 3 name none
    if stream is not None:
        device.wait_for(stream)
    return DeviceArray(device, int(interface["data"][0]), shape, dtype, value, stream)


def _from_model(device: Device, value: DeviceArray) -> DeviceArray:
    """What another model has made, or this one."""
    maker = value._device
    if type(maker) is not type(device):
        raise DeviceError(f"an array of {maker.name} is given to {device.name}")
    if maker is not device and maker.stream is not None:
        device.wait_for(maker.stream)
    return value


def _is_dense(shape: Sequence[int], strides: Sequence[int] | None, itemsize: int) -> bool:
    if strides is None or 0 in shape:
        return True
    expected = itemsize
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True
