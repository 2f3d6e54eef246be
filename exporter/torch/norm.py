"""Normalizations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rushlight.exporter.emitter import Emitter
from rushlight.runtime.errors import UnsupportedError
from rushlight.runtime.ir import Value


def batch_norm(
    b: Emitter,
    x: Value,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool = False,
) -> Value:
    if training or mean is None:
        raise UnsupportedError("with the statistics of the batch")
    return b.batch_norm(x, mean, var, weight, bias, eps=eps)  # type: ignore[no-any-return]


def _native_batch_norm_legit_no_training(
    b: Emitter, x: Value, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float
) -> tuple[Value | None, ...]:
    return batch_norm(b, x, weight, bias, mean, var, False, momentum, eps), None, None


def layer_norm(
    b: Emitter,
    x: Value,
    shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Value:
    return b.layer_norm(x, weight, bias, normalized_dims=len(shape), eps=eps)  # type: ignore[no-any-return]


def native_layer_norm(
    b: Emitter, x: Value, shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> tuple[Value | None, ...]:
    return layer_norm(b, x, shape, weight, bias, eps), None, None


def rms_norm(b: Emitter, x: Value, shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Value:
    epsilon = float(np.finfo(x.dtype).eps) if eps is None else eps
    return b.rms_norm(x, weight, normalized_dims=len(shape), eps=epsilon)  # type: ignore[no-any-return]


def group_norm(
    b: Emitter, x: Value, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, cudnn: bool = True
) -> Value:
    return b.group_norm(x, weight, bias, num_groups=groups, eps=eps)  # type: ignore[no-any-return]


def native_group_norm(
    b: Emitter, x: Value, weight: Any, bias: Any, n: Any, c: Any, hw: Any, groups: int, eps: float
) -> tuple[Value | None, ...]:
    return group_norm(b, x, groups, weight, bias, eps), None, None


def instance_norm(
    b: Emitter,
    x: Value,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn: bool = False,
) -> Value:
    if not use_input_stats:
        return b.batch_norm(x, mean, var, weight, bias, eps=eps)  # type: ignore[no-any-return]
    return b.group_norm(x, weight, bias, num_groups=x.shape[1], eps=eps)  # type: ignore[no-any-return]
