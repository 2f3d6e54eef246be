"""Prints how closely whole models agree with PyTorch, ONNX Runtime and their own int8 twins."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import rushlight as rl


def report_lite0(step: int) -> None:
    from benchmarks.accuracy import lite0
    from rushlight.demo.build import build_models

    photographs = lite0.read_photographs(step)
    with tempfile.TemporaryDirectory() as folder:
        logits = [
            lite0.classify(rl.load(path), photographs.images) for path in build_models(Path(folder), print).values()
        ]
    found = lite0.compare(logits[0], logits[1], photographs.labels)
    error = lite0.relative_error(logits[0], lite0.classify_with_pytorch(photographs.images))
    print(f"EfficientNet-Lite0, {len(photographs.images)} photographs")
    print(f"  float32 against PyTorch: largest difference {error:.1e} of the largest logit")
    print(f"  top-1: float32 {found.top1_float:.1%}, int8 {found.top1_int8:.1%} ({found.drop:+.1f} points lost)")
    print(f"  int8 against float32: same answer on {found.agreement:.1%}, SQNR {found.sqnr:.1f} dB")


def report_minilm(step: int) -> None:
    from benchmarks.accuracy.minilm import MiniLM, cosines

    minilm = MiniLM.load()
    program = minilm.export()
    batches = minilm.batches(minilm.sentences())[::step]
    expected = np.concatenate([minilm.embed(batch) for batch in batches])
    print(f"MiniLM, {len(expected)} sentences of 3 to 128 tokens in padded batches, cosine with PyTorch")
    for name, each in (("float32", program), ("int8", minilm.quantize(program))):
        model = rl.load(each)
        found = cosines(np.concatenate([model(*batch) for batch in batches]), expected)
        print(f"  {name}: at least 1 - {1 - found.min():.1e}, mean 1 - {1 - found.mean():.1e}")


def report_ocr(step: int) -> None:
    from benchmarks.accuracy import ocr

    judge = ocr.OnnxRuntime()
    model = rl.load(rl.export(ocr.model_path()))
    same = right = lines = 0
    for texts, images in ocr.batches()[::step]:
        read, expected = judge.decode(model(images)), judge.decode(judge(images))
        lines += len(texts)
        same += sum(a == b for a, b in zip(read, expected, strict=True))
        right += sum(ocr.letters(a) == ocr.letters(b) for a, b in zip(read, texts, strict=True))
    print(f"PP-OCRv4 recognition, {lines} rendered lines, widths {' and '.join(map(str, ocr.WIDTHS))}")
    print(f"  read as ONNX Runtime does: {same}; with the letters that were rendered: {right}")


REPORTS: dict[str, Callable[[int], None]] = {"lite0": report_lite0, "minilm": report_minilm, "ocr": report_ocr}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(REPORTS)}; all where none is given")
    parser.add_argument("--step", type=int, default=1, help="take every STEP-th photograph or batch")
    options = parser.parse_args()
    unknown = sorted(set(options.models) - set(REPORTS))
    if unknown:
        parser.error(f"no model '{unknown[0]}'; there is {', '.join(REPORTS)}")
    for name in options.models or REPORTS:
        try:
            REPORTS[name](options.step)
        except (ImportError, FileNotFoundError) as error:
            parser.exit(2, f"{name}: {error}\n")


if __name__ == "__main__":
    main()
