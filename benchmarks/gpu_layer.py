"""Single quantized layers on a device: their constants, packed, and their kernel calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rushlight.runtime.cpu.params import pack_params
from rushlight.runtime.cuda import products
from rushlight.runtime.cuda.backend import cuda_backend
from rushlight.runtime.cuda.device import Device, Launch
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import Call, Row
from rushlight.runtime.cuda.tiles import HopperTile, Tile
from rushlight.runtime.lower.activation import activation_params
from rushlight.runtime.lower.gemm import NEUTRAL
from rushlight.runtime.ops import Array, get
from rushlight.runtime.plan.lowering import Param
from rushlight.runtime.types import Dim, TensorType


class QuantizedLayer:
    """qlinear, or qconv2d in NHWC.

    `weight`: int8 [N, K] or [O, I / groups, KH, KW]; `scale`, `bias`: float32 [N]. `tile`: another than the chosen one.
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
        self.device, self.weight, self.tile = device, weight, tile
        self.op = get("qlinear" if weight.ndim == 2 else "qconv2d")
        self.attrs = self.op.complete_attrs(dict(attrs))
        groups, (outputs, inputs) = int(self.attrs.get("groups", 1)), weight.shape[:2]
        self.family = "depthwise" if groups > 1 and groups == outputs and inputs == 1 else "gemm"
        types = "u8s8f32" if self.attrs["out_dtype"] == "float32" else "u8s8u8"
        row = cuda_backend().find(self.family, self.family, types)
        assert isinstance(row, Row)
        self.row = row
        packing = self._params((0, 0, 0, 0) if weight.ndim == 4 else (0, inputs), (0, 0, 0, 0))
        packed = np.empty(cuda_backend().packed_bytes(row, packing), np.uint8)
        cuda_backend().pack(row, packing, weight, packed)
        self.constants = [device.upload(array) for array in (packed, bias, scale)]

    def out_type(self, shape: Sequence[int]) -> tuple[list[int], np.dtype[Any]]:
        """The result's shape and dtype for x of this shape. Raises ShapeError."""
        vector = TensorType(np.dtype(np.float32), (self.weight.shape[0],))
        x = TensorType(np.dtype(np.uint8), tuple(shape))
        types = [x, TensorType(np.dtype(np.int8), self.weight.shape), vector, vector]
        (out,) = self.op.infer_types(types, self.attrs)
        return [int(size) for size in out.shape if not isinstance(size, Dim)], out.dtype

    def launches(self, x: int, shape: Sequence[int], out: int, residual: int = 0) -> list[Launch]:
        """The launches that compute the result at `out` from x of `shape`, in order; addresses on the device.

        They refer to this object's memory: keep it alive until they have run. Raises UnsupportedError.
        """
        params = self._params(shape, self.out_type(shape)[0])
        family = families()[self.family]
        self.scratch = self.device.allocate(family.scratch_bytes(Call(self.row, params, ()), self.device))
        weight, bias, scale = (buffer.address for buffer in self.constants)
        call = Call(self.row, params, (x, weight, bias, scale, residual, out), self.scratch.address)
        if self.tile is not None:
            return products.launches(call, self.device, self.tile)
        return family.launches(call, self.device)

    def run(self, x: Array, residual: Array | None = None) -> Array:
        """The result for arrays of the host."""
        shape, dtype = self.out_type(x.shape)
        out = self.device.allocate(int(np.prod(shape)) * dtype.itemsize)
        source = self.device.upload(x)
        added = None if residual is None else self.device.upload(residual)
        for launch in self.launches(source.address, x.shape, out.address, added.address if added else 0):
            self.device.launch(launch)
        return self.device.download(out, shape, dtype)

    def _params(self, shape: Sequence[int], out: Sequence[int]) -> bytes:
        attrs = self.attrs
        params: dict[str, Param] = {
            "src_zero_point": attrs["x_zero_point"],
            "residual_scale": attrs["residual_scale"],
            **activation_params(attrs),
        }
        if attrs["out_dtype"] == "uint8":
            params |= activation_params({"activation": "clamp", "alpha": attrs["qmin"], "beta": attrs["qmax"]})
        if self.weight.ndim == 2:
            n, k = self.weight.shape
            rows = {"images": int(np.prod(shape[:-1])), "n": n, "k": k, "src_image": k, "dst_row": n, "residual_row": n}
            return pack_params("gemm", **{**NEUTRAL, **params, **rows})
        outputs, k, kh, kw = self.weight.shape
        groups = attrs["groups"]
        pixel = k * groups
        (sh, sw), (dh, dw), (ph, pw) = attrs["stride"], attrs["dilation"], attrs["padding"][:2]
        params |= {
            "images": shape[0], "ih": shape[1], "iw": shape[2], "oh": out[1], "ow": out[2], "kh": kh, "kw": kw,
            "sh": sh, "sw": sw, "ph": ph, "pw": pw, "dh": dh, "dw": dw,
        }  # fmt: skip
        if self.family == "depthwise":
            pixels = dict.fromkeys(("src_pixel", "residual_pixel", "dst_pixel"), pixel)
            return pack_params("depthwise", **{**params, "c": outputs, **pixels})
        n = outputs // groups
        if (kh, kw, sh, sw) == (1, 1, 1, 1) and not any(attrs["padding"]):  # a matrix
            params |= {"images": int(np.prod(shape[:3])), "oh": 1, "ow": 1, "ih": 1, "iw": 1, "src_image": pixel}
        else:
            row = shape[2] * pixel
            params |= {"src_image": shape[1] * row, "src_row": row, "src_pixel": pixel}
        params |= {
            "n": n, "k": k, "weights": groups, "batch": (1, groups), "src_batch": (0, k), "dst_batch": (0, n),
            "residual_batch": (0, n), "weight_batch": (0, 1), "bias_batch": (0, n), "dst_row": outputs,
            "residual_row": outputs,
        }  # fmt: skip
        return pack_params("gemm", **{**NEUTRAL, **params})
