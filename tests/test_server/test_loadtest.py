"""The load scenario, briefly, against models of the demo's names and shapes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Start = Any
Fakes = Any

SCENARIO = Path(__file__).parents[2] / "loadtest" / "locustfile.py"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("locust") is None, reason="locust is not installed")


def classifier(fakes: Fakes, seconds: float = 0.0) -> Any:
    def function(image: Any) -> dict[str, Any]:
        time.sleep(seconds)
        return {"logits": np.repeat(image[:, 0, 0, :1].astype(np.float32), 1000, axis=1)}

    return fakes.Function(
        [fakes.spec("image", "uint8", "N", 224, 224, 3)], [fakes.spec("logits", "float32", "N", 1000)], function
    )


def load(url: str, *extra: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "locust", "-f", str(SCENARIO), "--host", url, "--headless", "--only-summary"]
    command += ["--users", "8", "--spawn-rate", "8", "--run-time", "3s", *extra]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_every_answer_is_right(start: Start, fakes: Fakes) -> None:
    models = {name: classifier(fakes) for name in ("efficientnet_lite0", "efficientnet_lite0_int8")}
    result = load(start(models).url)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "efficientnet_lite0_int8: " in result.stdout
    assert all(sum(model.runs) > 0 for model in models.values())


def test_wrong_answers_are_noticed(start: Start, fakes: Fakes) -> None:
    models = {name: classifier(fakes) for name in ("efficientnet_lite0", "efficientnet_lite0_int8")}
    noise = np.random.default_rng(0)
    models["efficientnet_lite0"].function = lambda image: {
        "logits": noise.standard_normal((len(image), 1000)).astype(np.float32)
    }
    result = load(start(models).url)
    assert result.returncode == 1
    assert "other logits than before" in result.stdout + result.stderr


def test_overload_is_refused_and_passes(start: Start, fakes: Fakes) -> None:
    models = {name: classifier(fakes, 0.02) for name in ("efficientnet_lite0", "efficientnet_lite0_int8")}
    url = start(models, queue=1, max_batch=1).url
    result = load(url, "--overload")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "answers again: yes" in result.stdout
    assert load(url).returncode == 1
