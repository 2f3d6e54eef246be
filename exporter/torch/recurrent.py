"""Keeps recurrent layers whole while modules are traced.

PyTorch's tracer unrolls them over time, which fixes the number of steps. Inside `whole_layers` they are calls of
operators of our own, which have the same arguments and know the shapes of their results for any number of steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

_OPTIONS = "bool has_biases, int layers, float dropout, bool train, bool bidirectional, bool batch_first"
_lock = threading.Lock()


@cache
def _library() -> torch.library.Library:
    """The operators; they stay registered as long as the process lives."""
    make: Any = torch.library.Library
    library: torch.library.Library = make("rushlight", "DEF")
    define: Any = library.define
    define(f"lstm(Tensor x, Tensor[] states, Tensor[] weights, {_OPTIONS}) -> (Tensor, Tensor, Tensor)")
    define(f"gru(Tensor x, Tensor state, Tensor[] weights, {_OPTIONS}) -> (Tensor, Tensor)")
    torch.library.register_fake("rushlight::lstm", _lstm_shapes, lib=library)
    torch.library.register_fake("rushlight::gru", _gru_shapes, lib=library)
    return library


def _lstm_shapes(x: Tensor, states: Sequence[Tensor], weights: Sequence[Tensor], *options: Any) -> tuple[Tensor, ...]:
    return (_sequence(x, states[0], options), torch.empty_like(states[0]), torch.empty_like(states[1]))


def _gru_shapes(x: Tensor, state: Tensor, weights: Sequence[Tensor], *options: Any) -> tuple[Tensor, ...]:
    return (_sequence(x, state, options), torch.empty_like(state))


def _sequence(x: Tensor, state: Tensor, options: Sequence[Any]) -> Tensor:
    bidirectional = options[4]
    return x.new_empty((*x.shape[:-1], state.shape[-1] * (2 if bidirectional else 1)))


@contextmanager
def whole_layers() -> Iterator[None]:
    """LSTM and GRU layers that are called inside are traced as ``rushlight::lstm`` and ``rushlight::gru``."""
    functions: Any = torch._VF
    operators = torch.ops.rushlight
    _library()

    def replacement(name: str) -> Callable[..., Any]:
        original = getattr(functions, name)

        def call(*args: Any) -> Any:
            # Packed sequences have another tensor before their weights, and projections other shapes.
            plain = isinstance(args[2], (list, tuple)) and len({w.shape[0] for w in args[2]}) == 1
            return getattr(operators, name)(*args) if plain else original(*args)

        return call

    with _lock:
        try:
            for name in ("lstm", "gru"):
                setattr(functions, name, replacement(name))
            yield
        finally:
            for name in ("lstm", "gru"):
                functions.__dict__.pop(name, None)
