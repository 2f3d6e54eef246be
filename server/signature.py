"""What a model takes and gives, in the terms of the protocol: which shapes fit, and along what a batch is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from rushlight.runtime.types import SYMBOL
from rushlight.server.contract import Array, Model
from rushlight.server.datatypes import datatype_name
from rushlight.server.errors import InvalidRequest

Bucket: TypeAlias = tuple[tuple[int, ...], ...]
"""Sizes of all axes but the batch axis, an input after the other: equal buckets can share a batch."""


@dataclass(frozen=True)
class Tensor:
    """An input or output: `shape` has str for symbolic dimensions."""

    name: str
    dtype: np.dtype[Any]
    datatype: str
    shape: tuple[int | str, ...]

    def metadata(self) -> dict[str, Any]:
        """The tensor as the protocol's model metadata has it; -1 is any size."""
        shape = [size if isinstance(size, int) else -1 for size in self.shape]
        return {"name": self.name, "datatype": self.datatype, "shape": shape}

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape has the right rank and the right static sizes."""
        if len(shape) != len(self.shape):
            return False
        return all(shape[axis] == size for axis, size in self._static)

    @cached_property
    def _static(self) -> tuple[tuple[int, int], ...]:
        return tuple((axis, size) for axis, size in enumerate(self.shape) if isinstance(size, int))

    @cached_property
    def symbols(self) -> tuple[tuple[int, str], ...]:
        """Axes of symbolic size and their symbols."""
        return tuple((axis, size) for axis, size in enumerate(self.shape) if isinstance(size, str))


class Signature:
    """Inputs, outputs and the batch axis of one model.

    A model is batchable when axis 0 of every input and output is one symbol that no other axis uses.
    """

    def __init__(self, model: Model) -> None:
        def describe(spec: Any) -> Tensor:
            return Tensor(spec.name, spec.dtype, datatype_name(spec.dtype), tuple(spec.shape))

        self.inputs = {spec.name: describe(spec) for spec in model.inputs}
        self.outputs = {spec.name: describe(spec) for spec in model.outputs}
        self.batchable = self._is_batchable()
        self._symbolic = any(
            isinstance(size, str)
            for tensor in self.inputs.values()
            for size in tensor.shape[1 if self.batchable else 0 :]
        )

    def _is_batchable(self) -> bool:
        tensors = [*self.inputs.values(), *self.outputs.values()]
        if not self.inputs or not all(tensor.shape for tensor in tensors):
            return False
        heads = {tensor.shape[0] for tensor in tensors}
        if len(heads) != 1 or not isinstance(symbol := heads.pop(), str) or not SYMBOL.fullmatch(symbol):
            return False
        inner = (size for tensor in tensors for size in tensor.shape[1:] if isinstance(size, str))
        return not any(symbol in SYMBOL.findall(size) for size in inner)

    def check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        """`InvalidRequest` where the shape does not fit the input of that name."""
        tensor = self.inputs[name]
        if not tensor.fits(shape):
            raise InvalidRequest(
                f"input '{name}' has shape {list(shape)}, the model takes {tensor.metadata()['shape']}"
            )

    def check(self, inputs: Mapping[str, Array]) -> tuple[int, Bucket]:
        """Rows and bucket of a request. Rows is 1 for a model without a batch axis.

        `InvalidRequest` where an input is missing, unknown, of a wrong dtype or shape, or where two sizes of the
        same symbol differ.
        """
        if inputs.keys() != self.inputs.keys():
            self._explain_names(inputs)
        sizes: dict[str, int] = {}
        for name, array in inputs.items():
            if array.dtype != self.inputs[name].dtype:
                raise InvalidRequest(
                    f"input '{name}' has datatype {array.dtype}, the model takes {self.inputs[name].dtype}"
                )
            self.check_shape(name, array.shape)
            for axis, symbol in self.inputs[name].symbols:
                size = array.shape[axis]
                if sizes.setdefault(symbol, size) != size:
                    raise InvalidRequest(f"input '{name}': size {size} of '{symbol}' differs from {sizes[symbol]}")
        if not self.batchable:
            return 1, ()
        shapes = [inputs[name].shape for name in self.inputs]
        if shapes[0][0] == 0:
            raise InvalidRequest("the batch has no rows")
        return shapes[0][0], tuple(shape[1:] for shape in shapes) if self._symbolic else ()

    def _explain_names(self, inputs: Mapping[str, Array]) -> None:
        for name in inputs:
            if name not in self.inputs:
                raise InvalidRequest(f"the model has no input '{name}'; it takes {', '.join(self.inputs)}")
        missing = [name for name in self.inputs if name not in inputs]
        raise InvalidRequest(f"missing input {', '.join(repr(name) for name in missing)}")
