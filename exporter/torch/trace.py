"""Traces modules with torch.export: names of inputs, dynamic axes, evaluation mode."""

from __future__ import annotations

import inspect
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.export import Dim as TorchDim
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from rushlight.exporter.torch.recurrent import whole_layers
from rushlight.runtime.errors import ShapeError, UnsupportedError

Dynamic = Mapping[str, Mapping[int, str]]


def bind_inputs(module: torch.nn.Module, inputs: Any) -> dict[str, Any]:
    """Example inputs as tensors by the names of forward's parameters. Raises ShapeError where they do not fit it."""
    signature = inspect.signature(module.forward)
    try:
        if isinstance(inputs, Mapping):
            bound = signature.bind(**inputs)
        else:
            bound = signature.bind(*(inputs if isinstance(inputs, (tuple, list)) else (inputs,)))
    except TypeError as error:
        raise ShapeError(f"the example inputs do not fit forward: {error}") from None
    return {name: pytree.tree_map(_tensor, value) for name, value in bound.arguments.items()}


def _tensor(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return torch.from_numpy(np.array(value))
    return value.detach() if isinstance(value, torch.Tensor) else value


@contextmanager
def evaluation(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode inside; every submodule is left as it was."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def leaf_names(inputs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Flat names and values of the inputs: a parameter's own name, keys appended where it is a container."""
    leaves, _ = pytree.tree_flatten_with_path(dict(inputs))
    return [("_".join(_key(entry) for entry in path), value) for path, value in leaves]


def _key(entry: Any) -> str:
    return str(getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", entry))))


def trace(module: torch.nn.Module, inputs: Mapping[str, Any], dynamic: Dynamic) -> ExportedProgram:
    """The module as torch.export sees it in evaluation mode, axes in `dynamic` symbolic. Raises UnsupportedError."""
    names = [name for name, _ in leaf_names(inputs)]
    unknown = sorted(set(dynamic) - set(names))
    if unknown:
        raise ShapeError(f"dynamic names '{unknown[0]}', the inputs are {', '.join(names)}")
    examples = widen(inputs, dynamic)
    leaves, structure = pytree.tree_flatten(examples)
    shapes = [
        {axis % value.dim(): TorchDim.DYNAMIC for axis in dynamic.get(name, ())}
        if isinstance(value, torch.Tensor)
        else None
        for name, value in zip(names, leaves, strict=True)
    ]
    signature = inspect.signature(module.forward)
    parameters = {name: signature.parameters[name].kind for name in examples}
    spec = pytree.tree_unflatten(shapes, structure)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for name, value in examples.items():
        match parameters[name]:
            case inspect.Parameter.VAR_POSITIONAL:
                args += value
            case inspect.Parameter.VAR_KEYWORD:
                kwargs |= value
                spec |= spec.pop(name)
            case inspect.Parameter.KEYWORD_ONLY:
                kwargs[name] = value
            case _:
                args.append(value)
    try:
        with evaluation(module), whole_layers(), _quiet_torch(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about PyTorch's own use of itself
            return torch.export.export(module, tuple(args), kwargs, dynamic_shapes=spec)
    except Exception as error:  # torch.export lets through whatever tracing raises
        raise UnsupportedError(_explain(error)) from error


@contextmanager
def _quiet_torch() -> Iterator[None]:
    """PyTorch logs some failures with their stack before it raises them."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _explain(error: Exception) -> str:
    """One line on what tracing did not like."""
    text = str(error)
    fixed = re.findall(
        r"marked L\['(\w+)'\]\S*size\(\)\[(\d+)\] as dynamic but your code specialized it .*?\((\d+)\)", text
    )
    if fixed:
        return "; ".join(
            f"axis {axis} of '{name}' cannot be dynamic: the module fixes it to {size}" for name, axis, size in fixed
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"PyTorch cannot export the module: {(lines or [type(error).__name__])[0][:300]}"


def widen(inputs: Mapping[str, Any], dynamic: Dynamic) -> dict[str, Any]:
    """Examples whose dynamic axes are at least 2 long, by repetition: tracing takes an axis of 1 as fixed."""
    leaves, structure = pytree.tree_flatten(dict(inputs))
    out = []
    for (name, _), value in zip(leaf_names(inputs), leaves, strict=True):
        for axis in dynamic.get(name, ()):
            if not -value.dim() <= axis < value.dim():
                raise ShapeError(f"input '{name}' has no axis {axis}")
            if value.shape[axis] == 1:
                value = torch.cat([value, value], axis)
        out.append(value)
    return pytree.tree_unflatten(out, structure)  # type: ignore[no-any-return]
