"""`rushlight compare`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from rushlight.cli.peer import onnx_runner
from rushlight.cli.progress import track
from rushlight.cli.table import format_table
from rushlight.runtime.errors import ShapeError
from rushlight.runtime.model import Model, load
from rushlight.runtime.npz import read_arrays
from rushlight.runtime.ops import Array

EXAMPLE = """example:
  rushlight compare model.rush model_int8.rush --data images.npz
  rushlight compare model.rush model.onnx --data in.npz"""

BATCH = 32
Runner: TypeAlias = Callable[[Mapping[str, Array]], Mapping[str, Array]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run two programs on the same data; the first one is the reference."
    parser.epilog = EXAMPLE
    parser.add_argument("reference", type=Path, metavar="A.rush")
    parser.add_argument("other", type=Path, metavar="B.rush|B.onnx", help="an .onnx file runs in ONNX Runtime")
    parser.add_argument("--data", type=Path, required=True, metavar="IN.npz", help="one array an input, samples first")


def run(args: argparse.Namespace) -> int:
    model = load(args.reference)
    other: Runner = onnx_runner(args.other) if args.other.suffix == ".onnx" else load(args.other).run
    data = read_arrays(args.data)
    chunks = _chunks(model, data)
    expected: dict[str, list[Array]] = {}
    found: dict[str, list[Array]] = {}
    for chunk in track(chunks, "comparing"):
        for outputs, runner in ((expected, model.run), (found, other)):
            for name, array in runner(chunk).items():
                outputs.setdefault(name, []).append(np.atleast_1d(array))
    names = [name for name in expected if name in found]
    if not names:
        raise ShapeError(f"no output in common: {', '.join(expected)} and {', '.join(found)}")
    rows = [compare_arrays(name, np.concatenate(expected[name]), np.concatenate(found[name])) for name in names]
    print(format_table(["output", "max abs", "max rel", "SQNR dB", "min cosine", "top-1 agreement"], rows))
    return 0


def _chunks(model: Model, data: dict[str, Array]) -> list[dict[str, Array]]:
    """The data in batches that the reference takes. Raises ShapeError where the arrays differ in sample counts."""
    counts = {array.shape[0] if array.ndim else 0 for array in data.values()}
    if len(counts) != 1 or 0 in counts:
        raise ShapeError(f"the arrays hold {', '.join(map(str, sorted(counts)))} samples; all must hold as many")
    (count,) = counts
    batch = model.inputs[0].shape[0] if model.inputs and model.inputs[0].shape else count
    step = BATCH if isinstance(batch, str) else batch
    return [{name: array[at : at + step] for name, array in data.items()} for at in range(0, count, step)]


def compare_arrays(name: str, reference: Array, other: Array) -> list[str]:
    """A row of the table: largest differences, signal to noise, smallest cosine of a sample, equal first choices.

    The relative difference is taken of the reference's largest magnitude, so that zeros do not blow it up.
    """
    if reference.shape != other.shape:
        raise ShapeError(f"output '{name}': shapes {list(reference.shape)} and {list(other.shape)}")
    a, b = reference.astype(np.float64), other.astype(np.float64)
    difference = np.abs(a - b)
    largest = float(np.abs(a).max(initial=0))
    most = float(difference.max(initial=0))
    noise, signal = float((difference**2).sum()), float((a**2).sum())
    sqnr = np.inf if noise == 0 else 10 * np.log10(signal / noise) if signal else -np.inf
    agreement = f"{100 * np.mean(a.argmax(1) == b.argmax(1)):.2f}%" if a.ndim == 2 and a.shape[1] > 1 else "-"
    cosine = _smallest_cosine(a, b)
    return [name, f"{most:.3g}", f"{most / largest if largest else 0:.3g}", f"{sqnr:.2f}", f"{cosine:.7f}", agreement]


def _smallest_cosine(a: Array, b: Array) -> float:
    rows_a, rows_b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    lengths = np.linalg.norm(rows_a, axis=1) * np.linalg.norm(rows_b, axis=1)
    same = np.all(rows_a == rows_b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.where(same, 1.0, (rows_a * rows_b).sum(axis=1) / lengths)
    return float(np.nan_to_num(cosines, nan=0.0).min())
