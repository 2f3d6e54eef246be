"""Integer convolutions and products on a device: packed weights, the choice of kernels, their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UnsupportedError
from ..ops import Array, get
from ..types import Dim, TensorType
from .device import Buffer, Device, Launch
from .source import Kernel
from .tiles import HopperTile, Tile, ceil_div, choose_tile, load_bytes

_COLUMNS = 4
"""Output columns of a thread of the depthwise kernel."""
_FINISH_THREADS = 256
_PITCH = 128
"""Packed rows of weights are padded to this many bytes, the largest BLOCK_K."""
_MIN_SPLIT_TILES = 4
"""A block works through at least this many tiles of the depth; below, the pipeline hardly fills."""
_MAX_POSITIONS = 2**31 - 1


class QuantizedConvolution:
    """qconv2d in NHWC, or qlinear, with its constants on the device; the same bits as the operator's reference.

    `weight`: int8 [O, I / groups, KH, KW] or [N, K]. Raises UnsupportedError for what the kernels do not do.
    """

    def __init__(
        self,
        device: Device,
        weight: Array,
        scale: Array,
        bias: Array,
        attrs: Mapping[str, Any],
        tile: Tile | HopperTile | None = None,
    ) -> None:
        self.device = device
        self.is_linear = weight.ndim == 2
        self.attrs = get("qlinear" if self.is_linear else "qconv2d").complete_attrs(dict(attrs))
        self.weight = weight
        if self.attrs["activation"] not in ("none", "relu", "clamp"):
            raise UnsupportedError(f"activation {self.attrs['activation']} of an integer convolution on a GPU")
        if self.attrs.get("layout", "NHWC") != "NHWC":
            raise UnsupportedError("integer convolutions on a GPU are NHWC")
        filters = weight.reshape(*weight.shape, 1, 1) if self.is_linear else weight
        self.groups = int(self.attrs.get("groups", 1))
        self.outputs, self.group_channels, self.kernel_height, self.kernel_width = filters.shape
        self.group_outputs = self.outputs // self.groups
        self.is_depthwise = self.groups > 1 and self.group_channels == 1 and self.group_outputs == 1
        self.tile = tile
        zero_point = int(self.attrs["x_zero_point"])
        offsets = np.zeros(self.outputs, np.int32)
        if not self.is_depthwise:
            offsets -= np.int32(zero_point) * filters.sum((1, 2, 3), dtype=np.int32)
        packed = self._pack_depthwise(filters) if self.is_depthwise else self._pack(filters)
        self.constants = {
            "weight": device.upload(packed),
            "offset": device.upload(offsets),
            "scale": device.upload(np.asarray(scale, np.float32)),
            "bias": device.upload(np.asarray(bias, np.float32)),
            "zero_points": device.upload(np.full(16, zero_point, np.uint8)),
        }

    def _pack(self, filters: Array) -> Array:
        vectors = ceil_div(self.group_channels, 16)
        taps = self.kernel_height * self.kernel_width
        self.pitch = ceil_div(taps * vectors * 16, _PITCH) * _PITCH
        rows = np.zeros((self.outputs, taps, vectors * 16), np.int8)
        rows[:, :, : self.group_channels] = filters.transpose(0, 2, 3, 1).reshape(self.outputs, taps, -1)
        packed = np.zeros((self.outputs, self.pitch), np.int8)
        packed[:, : taps * vectors * 16] = rows.reshape(self.outputs, -1)
        return packed

    def _pack_depthwise(self, filters: Array) -> Array:
        taps = filters.reshape(self.outputs, -1).T
        return np.ascontiguousarray(np.pad(taps, ((0, 0), (0, -self.outputs % 4))))

    def out_type(self, shape: Sequence[int]) -> tuple[list[int], np.dtype[Any]]:
        """The result's shape and dtype for x of this shape. Raises ShapeError."""
        op = get("qlinear" if self.is_linear else "qconv2d")
        vector = TensorType(np.dtype(np.float32), (self.outputs,))
        x = TensorType(np.dtype(np.uint8), tuple(shape))
        (out,) = op.infer_types([x, TensorType(np.dtype(np.int8), self.weight.shape), vector, vector], self.attrs)
        return [int(size) for size in out.shape if not isinstance(size, Dim)], out.dtype

    def launches(self, x: Buffer, shape: Sequence[int], out: Buffer, residual: Buffer | None = None) -> list[Launch]:
        """The calls that compute `out` from `x` of `shape`, in order; none where `out` is empty.

        They refer to this object's constants: keep it alive until they have run.
        """
        if residual is not None and self.attrs["out_dtype"] == "float32":
            raise UnsupportedError("float residual of an integer convolution on a GPU")
        out_shape, _ = self.out_type(shape)
        if 0 in out_shape:
            return []
        if max(int(np.prod(size[:-1])) for size in (shape, out_shape)) > _MAX_POSITIONS:
            raise UnsupportedError(f"x {list(shape)} has more positions than int32 counts")
        sizes = self._sizes(shape, out_shape)
        epilogue = self._epilogue(out, residual)
        if self.is_depthwise:
            return [self._depthwise(x, sizes, epilogue, shape[0])]
        return self._product(x, sizes, epilogue, int(np.prod(out_shape[:-1])))

    def run(self, x: Array, residual: Array | None = None) -> npt.NDArray[Any]:
        """The result for arrays of the host."""
        shape, dtype = self.out_type(x.shape)
        out = self.device.allocate(int(np.prod(shape)) * dtype.itemsize)
        source = self.device.upload(x)
        added = None if residual is None else self.device.upload(residual)
        for launch in self.launches(source, x.shape, out, added):
            self.device.launch(launch)
        return self.device.download(out, shape, dtype)

    def _sizes(self, shape: Sequence[int], out_shape: Sequence[int]) -> dict[str, int]:
        if self.is_linear:
            shape, out_shape = (1, 1, 1, shape[-1]), (1, 1, 1, self.outputs)
        stride, dilation = self.attrs.get("stride", (1, 1)), self.attrs.get("dilation", (1, 1))
        padding = self.attrs.get("padding", (0, 0, 0, 0))
        return {
            "height": shape[1],
            "width": shape[2],
            "out_height": out_shape[1],
            "out_width": out_shape[2],
            "kernel_height": self.kernel_height,
            "kernel_width": self.kernel_width,
            "stride_h": stride[0],
            "stride_w": stride[1],
            "padding_h": padding[0],
            "padding_w": padding[1],
            "dilation_h": dilation[0],
            "dilation_w": dilation[1],
        }

    def _epilogue(self, out: Buffer, residual: Buffer | None) -> dict[str, Any]:
        is_float = self.attrs["out_dtype"] == "float32"
        low, high = float(self.attrs["qmin"]), float(self.attrs["qmax"])
        if is_float:
            low, high = {
                "none": (-np.inf, np.inf),
                "relu": (0.0, np.inf),
                "clamp": (self.attrs["alpha"], self.attrs["beta"]),
            }[self.attrs["activation"]]
        return {
            **{name: self.constants[name].address for name in ("offset", "scale", "bias")},
            "residual": residual.address if residual else 0,
            "out": out.address,
            "channels": self.outputs,
            "is_float": int(is_float),
            "residual_scale": self.attrs["residual_scale"],
            "low": low,
            "high": high,
        }

    def _depthwise(self, x: Buffer, sizes: dict[str, int], epilogue: dict[str, Any], images: int) -> Launch:
        kernel = Kernel("qdepthwise", (("COLUMNS", _COLUMNS),))
        strips = images * sizes["out_height"] * ceil_div(sizes["out_width"], _COLUMNS)
        work = strips * ceil_div(self.outputs, 4)
        params = kernel.pack(
            x=x.address,
            weight=self.constants["weight"].address,
            epilogue=epilogue,
            work=work,
            zero_point=self.attrs["x_zero_point"],
            **sizes,
        )
        return Launch(kernel, (ceil_div(work, 128), 1, 1), 128, 0, params)

    def _product(self, x: Buffer, sizes: dict[str, int], epilogue: dict[str, Any], m: int) -> list[Launch]:
        channels = self.group_channels * self.groups
        width = load_bytes(channels, self.group_channels)
        pointwise = (self.kernel_height, self.kernel_width) == (1, 1)
        strided = sizes["stride_h"] != 1 or sizes["stride_w"] != 1 or any(self.attrs.get("padding", ()))
        convolve = not self.is_linear and (not pointwise or strided)
        tile = self.tile or choose_tile(m, self.group_outputs, self.groups, width, convolve, self.device)
        if isinstance(tile, HopperTile):
            return [self._hopper(tile, x, epilogue, m)]
        vectors = ceil_div(self.group_channels, 16)
        tiles_k = ceil_div(vectors * 16 * self.kernel_height * self.kernel_width, tile.block_k)
        tiles = ceil_div(m, tile.block_m) * ceil_div(self.group_outputs, tile.block_n)
        spare = self.device.multiprocessors // (tiles * self.groups) if tile.may_split else 1
        splits = max(1, min(tiles_k // _MIN_SPLIT_TILES, spare))
        partial = self.device.allocate(splits * m * self.outputs * 4) if splits > 1 else None
        kernel = tile.kernel(width, convolve)
        params = kernel.pack(
            x=x.address,
            weight=self.constants["weight"].address,
            zero_points=self.constants["zero_points"].address,
            partial=partial.address if partial else 0,
            epilogue=epilogue,
            m=m,
            n=self.group_outputs,
            pitch=self.pitch,
            tiles_k=tiles_k,
            splits=splits,
            channels=channels,
            group_channels=self.group_channels,
            vectors=vectors,
            **sizes,
        )
        launches = [Launch(kernel, (tiles, 1, self.groups * splits), tile.threads, tile.shared_bytes, params, partial)]
        if partial:
            finish = Kernel("qgemm_finish")
            elements = m * self.outputs
            blocks = min(ceil_div(elements, _FINISH_THREADS), 16 * self.device.multiprocessors)
            finish_params = finish.pack(partial=partial.address, epilogue=epilogue, elements=elements, splits=splits)
            launches.append(Launch(finish, (blocks, 1, 1), _FINISH_THREADS, 0, finish_params, partial))
        return launches

    def _hopper(self, tile: HopperTile, x: Buffer, epilogue: dict[str, Any], m: int) -> Launch:
        params = tile.kernel.pack(
            x={"opaque": self.device.tensor_map(x, self.group_channels, m, self.group_channels, tile.block_m)},
            weight={
                "opaque": self.device.tensor_map(
                    self.constants["weight"], self.pitch, self.outputs, self.pitch, tile.block_n
                )
            },
            epilogue=epilogue,
            m=m,
            n=self.outputs,
            tiles_k=ceil_div(self.group_channels, tile.block_k),
        )
        tiles = ceil_div(m, tile.block_m) * ceil_div(self.outputs, tile.block_n)
        grid = (min(tiles, self.device.multiprocessors), 1, 1)
        return Launch(tile.kernel, grid, tile.threads, tile.shared_bytes, params)
