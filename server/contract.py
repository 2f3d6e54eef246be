"""What the server needs of a model: a small part of `rushlight.Model`, so that tests can bring their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = dict[str, Array]


class TensorSpec(Protocol):
    """One input or output. A dimension is an int or, where it is symbolic, a str."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    @property
    def shape(self) -> tuple[int | str, ...]: ...


class Model(Protocol):
    """Runs from any thread; `run` raises a `RushlightError` where the input is at fault."""

    @property
    def inputs(self) -> Sequence[TensorSpec]: ...

    @property
    def outputs(self) -> Sequence[TensorSpec]: ...

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]: ...
