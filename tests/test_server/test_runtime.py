"""Real programs behind the server: what comes back has the bits of a run alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import orjson

from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.model import load

Start = Any


def mixer() -> Any:
    """Two inputs of one free length: y = relu(x @ w + b) + mask, sums over the length."""
    rng = np.random.default_rng(3)
    b = GraphBuilder()
    x = b.input("x", np.float32, ("N", "L", 33))
    mask = b.input("mask", np.float32, ("N", "L", 1))
    weight = b.constant(rng.standard_normal((17, 33)).astype(np.float32), "weight")
    bias = b.constant(rng.standard_normal(17).astype(np.float32), "bias")
    y = b.mul(b.relu(b.linear(x, weight, bias)), mask)
    b.output("y", y)
    program: Any = b.build()
    return load(program)


def test_batched_answers_have_the_bits_of_single_runs(start: Start) -> None:
    model = mixer()
    running = start({"mixer": model}, max_batch=8, max_delay_ms=20)
    client = running.client()

    def ask(seed: int) -> None:
        rng = np.random.default_rng(seed)
        rows, length = 1 + seed % 3, 5 + seed % 2
        x = rng.standard_normal((rows, length, 33)).astype(np.float32)
        mask = rng.integers(0, 2, (rows, length, 1)).astype(np.float32)
        tensors = [
            {
                "name": name,
                "shape": array.shape,
                "datatype": "FP32",
                "parameters": {"binary_data_size": array.nbytes},
            }
            for name, array in (("mask", mask), ("x", x))
        ]
        text = orjson.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}})
        response = client.post(
            "/v2/models/mixer/infer",
            content=text + mask.tobytes() + x.tobytes(),
            headers={"inference-header-content-length": str(len(text))},
        )
        assert response.status_code == 200, response.text
        raw = response.content[int(response.headers["inference-header-content-length"]) :]
        assert raw == model.run({"x": x, "mask": mask})["y"].tobytes()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(60)))
    statistics = client.get("/v2/models/mixer/stats").json()["model_stats"][0]
    assert statistics["inference_stats"]["success"]["count"] == 60
    assert statistics["execution_count"] < 60
