"""Single layers on a device: what their plan launches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from rushlight.runtime.cuda import products
from rushlight.runtime.cuda.backend import cuda_backend
from rushlight.runtime.cuda.device import Buffer, Device, Launch, download, upload
from rushlight.runtime.cuda.families import families
from rushlight.runtime.cuda.family import SCRATCH_AT, Call, Row, scratch_memory
from rushlight.runtime.cuda.tiles import HopperTile, Tile
from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.ops import Array, get
from rushlight.runtime.plan import KernelStep, Plan
from rushlight.runtime.plan.groups import CONSTANT, INPUT, NONE, OUTPUT


class Layer:
    """One product on tensor cores, of x of `dtype` by constants; images are NHWC. `tile`: another than the chosen one.
    `tf32`: as of `cuda_backend`."""

    def __init__(
        self,
        device: Device,
        op: str,
        dtype: npt.DTypeLike,
        constants: Sequence[Array],
        attrs: Mapping[str, Any],
        tile: Tile | HopperTile | None = None,
        tf32: bool = False,
    ) -> None:
        self.device, self.tile, self.dtype, self.tf32 = device, tile, np.dtype(dtype), tf32
        self.op = get(op)
        self.attrs = self.op.complete_attrs(dict(attrs))
        self.constants = list(constants)
        self._memory: list[Buffer] = []
        self._plans: dict[tuple[tuple[int, ...], bool], Plan] = {}

    def with_tile(self, tile: Tile | HopperTile) -> Layer:
        """The same layer in other tiles."""
        layer = copy(self)
        layer.tile = tile
        return layer

    def _plan(self, shape: Sequence[int], has_residual: bool) -> Plan:
        key = tuple(shape), has_residual
        if key not in self._plans:
            self._plans[key] = self._make_plan(shape, has_residual)
        return self._plans[key]

    def _make_plan(self, shape: Sequence[int], has_residual: bool) -> Plan:
        builder = GraphBuilder()
        values = [builder.input("x", self.dtype, tuple(shape)), *self.constants]
        if has_residual:
            plain = builder.add_node(self.op.name, values, self.attrs)[0]
            values.append(builder.input("residual", plain.dtype, plain.shape))
        builder.output("y", builder.add_node(self.op.name, values, self.attrs)[0])
        return Plan(builder.graph, cuda_backend(self.tf32))

    def out_type(self, shape: Sequence[int]) -> tuple[list[int], np.dtype[Any]]:
        """The result's shape and dtype for x of this shape. Raises ShapeError."""
        plan = self._plan(shape, False)
        return list(plan.bind({}).output_shapes[0]), plan.graph.outputs[0][1].dtype

    def launches(self, x: int, shape: Sequence[int], out: int, residual: int = 0) -> list[Launch]:
        """The launches that compute the result at `out` from x of `shape`, in order; addresses on the device.

        They refer to this object's memory: keep it alive until they have run. Raises UnsupportedError.
        """
        call = self._call(x, shape, out, residual)
        if self.tile is not None:
            return products.launches(call, self.device, self.tile)
        return families()[call.row.family].launches(call, self.device)

    def tiles(self, x: int, shape: Sequence[int]) -> list[Tile | HopperTile]:
        """With which tiles a product of x of `shape` may run; x is an address on the device."""
        return products.Product(self._call(x, shape, 0)).tiles_for(self.device)

    def _call(self, x: int, shape: Sequence[int], out: int, residual: int = 0) -> Call:
        plan = self._plan(shape, residual != 0)
        (step,) = plan.steps
        assert isinstance(step, KernelStep)
        assert isinstance(step.row, Row)
        (_, params, locations) = plan.bind({}).steps[0]
        assert isinstance(params, bytes)
        family = families()[step.family]
        scratch = scratch_memory(family, Call(step.row, params, ()), self.device)
        constants = [upload(self.device, array) for array in plan.constants]
        self._memory = [scratch, *constants]
        addresses = {INPUT: [x, residual], OUTPUT: [out], CONSTANT: [buffer.address for buffer in constants]}
        operands = [0 if space == NONE else addresses[space][index] + at for space, index, at in locations]
        return Call(step.row, params, operands, scratch.address + SCRATCH_AT)

    def run(self, x: Array, residual: Array | None = None) -> Array:
        """The result for arrays of the host."""
        shape, dtype = self.out_type(x.shape)
        out = self.device.allocate(int(np.prod(shape)) * dtype.itemsize)
        source = upload(self.device, x)
        added = None if residual is None else upload(self.device, residual)
        for launch in self.launches(source.address, x.shape, out.address, added.address if added else 0):
            self.device.launch(launch)
        return download(self.device, out, shape, dtype)


class QuantizedLayer(Layer):
    """qlinear, or qconv2d in NHWC.

    `weight`: int8 [N, K] or [O, I / groups, KH, KW]; `scale`, `bias`: float32 [N].
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
        op = "qlinear" if weight.ndim == 2 else "qconv2d"
        super().__init__(device, op, np.uint8, [weight, scale, bias], attrs, tile)
