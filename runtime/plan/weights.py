"""Weights in the layout of their kernels: packed on several threads, or taken as they are from a file."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import numpy as np

from ..errors import FormatError
from ..ir import Lazy, Value, backing, dense
from ..mapping import prefer_huge_pages, release
from ..ops import Array
from ..program import PackedWeight
from .lowering import Backend, Packed
from .memory import ALIGNMENT


def pack_weights(
    weights: Sequence[Packed], backend: Backend, threads: int, unread: Sequence[Value] = ()
) -> list[Array]:
    """The packed weights, in order, one behind the other in memory. Arrays of `unread` constants go as soon as no
    packing needs them: zeros without memory of their own take their place."""

    def pack(weight: Packed, out: Array) -> None:
        backend.pack(weight.row, weight.params, dense(weight.src), out)
        release(backing(weight.src))

    # Of one array: constants, and the weights that are still to be packed.
    holders: dict[int, list[Value | Packed]] = {}
    for value in unread:
        if value.stored is not None:
            holders.setdefault(id(backing(value.stored)), []).append(value)
    sources = [id(backing(weight.src)) for weight in weights]
    last = {source: index for index, source in enumerate(sources)}
    for source, weight in zip(sources, weights, strict=True):
        if source in holders:
            holders[source].append(weight)
    arrays = _allocate([backend.packed_bytes(weight.row, weight.params) for weight in weights], backend)
    with ThreadPoolExecutor(threads) as pool:
        for index, _ in enumerate(pool.map(pack, weights, arrays)):
            if last[sources[index]] == index:
                _discard(holders.get(sources[index], ()))
    return arrays


def _allocate(sizes: Sequence[int], backend: Backend) -> list[Array]:
    """Arrays of these sizes, one behind the other."""
    offsets = [0, *accumulate(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)]
    memory = backend.weight_memory(offsets.pop())
    return [memory[offset : offset + size] for offset, size in zip(offsets, sizes, strict=True)]


def _discard(holders: Sequence[Value | Packed]) -> None:
    for holder in holders:
        if isinstance(holder, Packed):
            holder.src = _stand_in(holder.src)
        elif holder.stored is not None:
            holder.stored = _stand_in(holder.stored)


def _stand_in(array: Array | Lazy) -> Array:
    return np.broadcast_to(np.zeros((), array.dtype), array.shape)


def adopt_weights(weights: Sequence[Packed], given: Sequence[PackedWeight], backend: Backend) -> list[Array]:
    """The arrays of weights from outside, in huge pages where the system gives them. They need not be what packing
    gives, but must have its size. Raises FormatError."""
    if len(given) != len(weights):
        raise FormatError(f"{len(given)} packed weights, the program needs {len(weights)}")
    for weight, found in zip(weights, given, strict=True):
        size = backend.packed_bytes(weight.row, weight.params)
        if (found.symbol, found.params, found.data.nbytes) != (weight.row.symbol, weight.params, size):
            raise FormatError(f"a packed weight of {weight.row.symbol} does not fit its operator")
        prefer_huge_pages(found.data)
    return [found.data for found in given]
