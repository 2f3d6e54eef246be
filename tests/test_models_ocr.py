"""PP-OCRv4 recognition whole, from its ONNX file: rendered lines are read as ONNX Runtime reads them."""

from __future__ import annotations

import pytest

import rushlight as rl

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("PIL")
pytest.importorskip("rapidocr_onnxruntime")

from benchmarks.accuracy import ocr
from rushlight.runtime.explain import explain


@pytest.fixture(scope="module")
def model() -> rl.Model:
    return rl.load(rl.export(ocr.model_path()))


def test_lines_are_read_as_onnx_runtime_reads_them(model: rl.Model) -> None:
    judge = ocr.OnnxRuntime()
    same = right = 0
    for texts, images in ocr.batches():
        read, expected = judge.decode(model(images)), judge.decode(judge(images))
        same += sum(a == b for a, b in zip(read, expected, strict=True))
        right += sum(ocr.letters(a) == ocr.letters(b) for a, b in zip(read, texts, strict=True))
    assert same >= ocr.LINES - 1
    assert right >= 0.8 * ocr.LINES, "the lines are not legible, so that agreement says little"


def test_every_step_has_a_kernel(model: rl.Model) -> None:
    _, images = ocr.batches()[0]
    steps = explain(model, {model.inputs[0].name: images}).steps
    assert [step for step in steps if step.kernel == "NumPy reference"] == []
