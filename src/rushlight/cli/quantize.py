"""`rushlight quantize`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from rushlight.cli.progress import counters
from rushlight.quant import quantize
from rushlight.quant.halves import SCHEMES as HALVES
from rushlight.quant.quantize import OBSERVERS, SCHEMES
from rushlight.quant.report import closeness
from rushlight.runtime.errors import QuantizationError, describe
from rushlight.runtime.files import check_writable
from rushlight.runtime.format import read_program
from rushlight.runtime.model import Model

EXAMPLE = """example:
  rushlight quantize model.rush --data calibration.npz -o model_int8.rush
  rushlight quantize model.rush --data calibration.npz -o model_int8.rush --eval accuracy:top1 --max-drop 0.005
  rushlight quantize model.rush --scheme bf16-weight -o model_bf16.rush"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make an int8 program of a float one, calibrated on data, or store its weights in 16 bits."
    parser.epilog = EXAMPLE
    parser.add_argument("model", type=Path, metavar="MODEL.rush")
    parser.add_argument(
        "--data", type=Path, metavar="DATA.npz", help="one array an input, samples first; int8 needs it"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.rush")
    parser.add_argument("--scheme", choices=SCHEMES, default=SCHEMES[0], help="what to quantize, and how")
    parser.add_argument("--observer", choices=OBSERVERS, default="auto", help="how ranges are found")
    parser.add_argument(
        "--min-sqnr",
        type=_ratio,
        default="auto",
        metavar="DB",
        help="leave layers float until the outputs' signal to noise reaches this; auto: where it pays; none",
    )
    parser.add_argument(
        "--keep-float",
        action="append",
        default=[],
        metavar="PATTERN",
        help="layers to leave float, by weight or output",
    )
    parser.add_argument("--all-layers", action="store_true", help="quantize also layers that would be slower as int8")
    parser.add_argument("--eval", metavar="MODULE:FUNCTION", help="scores a model, higher is better")
    parser.add_argument("--max-drop", type=float, metavar="DROP", help="refuse a program that scores lower by more")
    parser.add_argument("--report", type=Path, metavar="FILE", help="what was done, as .html or .json")


def run(args: argparse.Namespace) -> int:
    for path in (args.output, args.report):
        if path is not None:
            check_writable(path)
    evaluate = _find(args.eval) if args.eval else None
    program = read_program(args.model)
    with counters(calibrating="samples", searching="trials") as (samples, trials):
        quantized = quantize(
            program,
            args.data,
            args.scheme,
            evaluate,
            args.max_drop,
            args.report,
            observer=args.observer,
            min_sqnr=args.min_sqnr,
            keep_float=args.keep_float,
            all_layers=args.all_layers,
            progress=samples,
            trials=trials,
        )
    quantized.save(args.output)
    recipe = quantized.provenance["quantization"]
    done = f"weights are {HALVES[args.scheme]}" if args.scheme in HALVES else "layers are int8"
    print(f"{args.output}: {len(recipe['layers'])} {done}, {args.output.stat().st_size:,} bytes")
    for told in closeness(recipe):
        print(f"closeness   {told}")
    for row in recipe["float_layers"]:
        print(f"float       {row['operator']} {row['weight']}: {row['why']}")
    if "score" in recipe:
        print(f"score       {', '.join(f'{name} {value:.6g}' for name, value in recipe['score'].items())}")
    return 0


def _ratio(text: str) -> float | str | None:
    return {"auto": "auto", "none": None}[text] if text in ("auto", "none") else float(text)


def _find(target: str) -> Callable[[Model], float]:
    """The function that MODULE:FUNCTION names, modules of the current folder included."""
    module, _, name = target.partition(":")
    sys.path.insert(0, "")
    try:
        function: Callable[[Model], float] = getattr(import_module(module), name)
    except Exception as error:  # whatever the user's module raises
        raise QuantizationError(f"--eval {target}: {describe(error)}") from error
    finally:
        sys.path.remove("")

    def evaluate(model: Model) -> float:
        try:
            return float(function(model))
        except Exception as error:  # whatever the user's function raises
            raise QuantizationError(f"--eval {target} raised {describe(error)}") from error

    return evaluate
