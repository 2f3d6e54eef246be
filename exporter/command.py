"""`rushlight export`: its arguments, and what it does with them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from rushlight.exporter.check import check
from rushlight.exporter.source import Source, open_source
from rushlight.runtime.errors import RushlightError, ShapeError, describe
from rushlight.runtime.files import check_writable
from rushlight.runtime.ops import Array
from rushlight.runtime.types import DTYPES, SYMBOL

EXAMPLE = """example:
  rushlight export model.onnx -o model.rush
  rushlight export model.onnx -o model.rush --dynamic x:0=N --dynamic x:2=48
  rushlight export net:make_model -o net.rush --input x:float32:N,3,224,224

SRC is an .onnx file, or MODULE:FUNCTION of a Python module that returns a torch.nn.Module or (module, example inputs).
Sizes in SHAPE may be names, which makes the axis dynamic. Axes of an ONNX file that are not named keep what the file
says; a number behind --dynamic fixes one."""

SAMPLE_SIZE = 2
"""Size of a dynamic axis in the inputs made up for --input."""

MAX_DIGITS = 15
MAX_ELEMENTS = 1 << 40
"""Of an input made up for --input."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `rushlight export`."""
    parser.description = "Turn a model into a .rush file, and compare its answers with the model's own."
    parser.epilog = EXAMPLE
    parser.add_argument("source", metavar="SRC", help="an .onnx file or MODULE:FUNCTION")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="m.rush", help="the file to write")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME:DTYPE:SHAPE",
        help="an example input, x:float32:N,3,48,320",
    )
    parser.add_argument(
        "--dynamic", action="append", default=[], metavar="NAME:AXIS=SYMBOL", help="an axis that may have any size"
    )
    parser.add_argument("--no-check", action="store_true", help="do not compare the answers with the model's own")


def run(args: argparse.Namespace) -> int:
    """Export, check and write; the exit status. Raises RushlightError where something is wrong."""
    check_writable(args.output)
    inputs, dynamic = parse_inputs(args.input)
    for name, axes in parse_dynamic(args.dynamic).items():
        dynamic.setdefault(name, {}).update(axes)
    source = _open(args.source, inputs or None, dynamic)
    with _spinner("importing"):
        program = source.program()
    for note in source.notes:
        print(f"note: {note}")
    if not args.no_check:
        with _spinner(f"comparing with {source.judge_name}"):
            verdict = _check(source)
        program.provenance["check"] = verdict
        print(verdict)
    program.save(args.output)
    signature = [f"{value.name} {value.type}" for value in program.graph.inputs]
    results = [f"{name} {value.type}" for name, value in program.graph.outputs]
    size = os.path.getsize(args.output) / 1e6
    nodes = len(program.graph.nodes)
    print(f"{args.output}: {', '.join(signature)} -> {', '.join(results)}; {nodes} nodes, {size:.1f} MB")
    return 0


def _check(source: Source) -> str:
    try:
        return str(check(source))
    except TimeoutError as error:
        return f"not compared: {error}; install onnxruntime to have it judge"


def _open(text: str, inputs: Mapping[str, Array] | None, dynamic: Mapping[str, Mapping[int, str | int]]) -> Source:
    if os.path.exists(text) or ":" not in text:
        return open_source(Path(text), inputs, dynamic)
    made = _call_factory(text)
    examples = inputs
    if isinstance(made, tuple) and len(made) == 2:
        made, given = made
        examples = given if inputs is None else inputs
    return open_source(made, examples, dynamic)


def _call_factory(text: str) -> Any:
    """What ``module:function`` returns; modules are found in the current folder first."""
    module_name, _, function_name = text.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = import_module(module_name)
        for part in function_name.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise RushlightError(f"{text}: module '{module_name}' has no '{function_name}'") from None
    except Exception as error:  # whatever the user's module raises
        if isinstance(error, ModuleNotFoundError):
            if error.name in (module_name, module_name.partition(".")[0]):
                raise RushlightError(f"{text}: no such file, and no Python module '{module_name}'") from None
            if error.name == "torch":
                raise
        raise RushlightError(f"{text}: importing '{module_name}' raised {describe(error)}") from error
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise RushlightError(f"{text}: '{function_name}' is not a function that returns a module")
    import torch

    if isinstance(found, torch.nn.Module):
        return found
    try:
        return found()
    except Exception as error:  # whatever the user's function raises
        raise RushlightError(f"{text} raised {describe(error)}") from error


def parse_inputs(texts: list[str]) -> tuple[dict[str, Array], dict[str, dict[int, str | int]]]:
    """Made-up arrays, and the dynamic axes that names in their shapes stand for. Raises ShapeError."""
    arrays: dict[str, Array] = {}
    dynamic: dict[str, dict[int, str | int]] = {}
    rng = np.random.default_rng(0)
    for text in texts:
        name, dtype, sizes = ["", "", *text.rsplit(":", 2)][-3:]
        entries = [entry.strip() for entry in sizes.split(",")] if sizes else []
        if not name or dtype not in DTYPES or not all(e.isdecimal() or SYMBOL.fullmatch(e) for e in entries):
            raise ShapeError(f"--input {text}: write NAME:DTYPE:SHAPE, such as x:float32:N,3,224,224")
        if any(len(entry) > MAX_DIGITS for entry in entries if entry.isdecimal()):
            raise ShapeError(f"--input {text[:80]}: a size has more than {MAX_DIGITS} digits")
        shape = [int(entry) if entry.isdecimal() else SAMPLE_SIZE for entry in entries]
        if prod(shape) > MAX_ELEMENTS:
            raise ShapeError(f"--input {text}: the shape is too large")
        named = {axis: entry for axis, entry in enumerate(entries) if not entry.isdecimal()}
        if named:
            dynamic[name] = dict(named)
        is_float = np.dtype(dtype).kind == "f"
        arrays[name] = np.asarray(rng.standard_normal(shape) if is_float else rng.integers(0, 2, shape)).astype(dtype)
    return arrays, dynamic


def parse_dynamic(texts: list[str]) -> dict[str, dict[int, str | int]]:
    """``["x:0=N"]`` as ``{"x": {0: "N"}}``. Raises ShapeError."""
    dynamic: dict[str, dict[int, str | int]] = {}
    for text in texts:
        place, _, symbol = text.rpartition("=")
        name, _, axis = place.rpartition(":")
        if not name or not axis.lstrip("-").isdecimal() or not (symbol.isdecimal() or SYMBOL.fullmatch(symbol)):
            raise ShapeError(f"--dynamic {text}: write NAME:AXIS=SYMBOL, such as x:0=N")
        dynamic.setdefault(name, {})[int(axis)] = int(symbol) if symbol.isdecimal() else symbol
    return dynamic


@contextmanager
def _spinner(description: str) -> Iterator[None]:
    from rushlight.cli.progress import counter

    with counter(description, ""):
        yield
