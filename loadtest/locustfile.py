"""Load on the demo: EfficientNet-Lite0 in float and int8, binary tensors, every answer checked.

In one terminal `make demo` (or `rushlight demo`), in another, with `pip install locust numpy`:

    locust -f loadtest/locustfile.py --host http://127.0.0.1:8000 --headless --users 16 --spawn-rate 16 --run-time 60s

Users do not wait between requests. An answer is right when it has the protocol's form, 1000 finite logits, and the
same bits as every earlier answer of that model to that image, whatever batch it ran in. At the end the mean batch of
each model during the run is printed from `/metrics`. The exit status is 1 if any request failed.

To see a server refuse what it cannot hold, serve the same models with a short queue (`rushlight serve MODELS_DIR
--queue 4`) and add `--overload`: then 429 and 503 with Retry-After are right answers too, some must come, and after
the last user has gone the server must answer again.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from itertools import count
from typing import Any

import numpy as np
from locust import FastHttpUser, events, task
from locust.env import Environment

MODELS = ("efficientnet_lite0", "efficientnet_lite0_int8")
IMAGES = 8
SIZE = 224
CLASSES = 1000

_first_answers: dict[tuple[str, int], bytes] = {}
_batches_before: dict[str, tuple[float, float]] = {}
_refusals = count()
_users = count()


def image(seed: int) -> np.ndarray[Any, Any]:
    """A smooth random colour image, [1, 224, 224, 3] UINT8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    waves = [np.sin(2 * np.pi * (a * x + b * y + c)) for a, b, c in rng.uniform(-4, 4, (3, 3))]
    return (np.stack(waves, -1) * 100 + 128).astype(np.uint8)[np.newaxis]


def infer_body(pixels: np.ndarray[Any, Any]) -> tuple[bytes, str]:
    """An inference request with binary input and output, and the length of its JSON part."""
    tensor = {
        "name": "image",
        "shape": pixels.shape,
        "datatype": "UINT8",
        "parameters": {"binary_data_size": pixels.nbytes},
    }
    outputs = [{"name": "logits", "parameters": {"binary_data": True}}]
    text = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    return text + pixels.tobytes(), str(len(text))


BODIES = [infer_body(image(seed)) for seed in range(IMAGES)]


def fault(model: str, index: int, content: bytes, header: str | None) -> str | None:
    """What is wrong with an answer, None if nothing is."""
    if header is None:
        return "the answer is not binary"
    document, raw = json.loads(content[: int(header)]), content[int(header) :]
    (output,) = document["outputs"]
    if document["model_name"] != model or output["name"] != "logits" or output["shape"] != [1, CLASSES]:
        return f"not the logits of {model}: {document}"
    logits = np.frombuffer(raw, "<f4")
    if logits.size != CLASSES or not np.isfinite(logits).all():
        return f"{logits.size} logits, or not all finite"
    if _first_answers.setdefault((model, index), raw) != raw:
        return "the same image got other logits than before"
    return None


class DemoUser(FastHttpUser):
    """Asks both models in turn, one image a request, without a pause."""

    def on_start(self) -> None:
        self.turn = next(_users)

    @task
    def classify(self) -> None:
        self.turn += 1
        model, index = MODELS[self.turn % len(MODELS)], self.turn // len(MODELS) % IMAGES
        body, length = BODIES[index]
        with self.client.post(
            f"/v2/models/{model}/infer",
            data=body,
            headers={"Inference-Header-Content-Length": length, "Content-Type": "application/octet-stream"},
            name=model,
            catch_response=True,
        ) as response:
            refused = response.status_code in (429, 503) and "Retry-After" in response.headers
            if refused and self.environment.parsed_options.overload:
                next(_refusals)
                response.success()
            elif response.status_code != 200:
                response.failure(f"status {response.status_code}: {response.text[:200]}")
            else:
                wrong = fault(model, index, response.content, response.headers.get("Inference-Header-Content-Length"))
                if wrong:
                    response.failure(wrong)


def batches(host: str) -> dict[str, tuple[float, float]]:
    """Rows and batches that each model has run since the server started."""
    with urllib.request.urlopen(f"{host}/metrics", timeout=30) as response:
        text = response.read().decode()

    def value(model: str, part: str) -> float:
        found = re.search(rf'^rushlight_batch_size_{part}{{model="{model}",version="[0-9]+"}} (\S+)$', text, re.M)
        return float(found.group(1)) if found else 0.0

    return {model: (value(model, "sum"), value(model, "count")) for model in MODELS}


def answers_again(host: str, model: str) -> bool:
    """Whether the server takes a request within ten seconds."""
    body, length = BODIES[0]
    request = urllib.request.Request(
        f"{host}/v2/models/{model}/infer", data=body, headers={"Inference-Header-Content-Length": length}
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(request, timeout=30):
                return True
        except urllib.error.HTTPError as error:
            time.sleep(min(1.0, float(error.headers.get("Retry-After", 1))))
    return False


@events.init_command_line_parser.add_listener
def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--overload", action="store_true", help="429 and 503 with Retry-After are right answers too")


@events.test_start.add_listener
def remember_batches(environment: Environment, **_: Any) -> None:
    if environment.host:
        _batches_before.update(batches(environment.host))


@events.quitting.add_listener
def report(environment: Environment, **_: Any) -> None:
    if not environment.host or environment.parsed_options is None:
        return
    for model, (rows, runs) in batches(environment.host).items():
        rows_before, runs_before = _batches_before[model]
        mean = (rows - rows_before) / max(1.0, runs - runs_before)
        print(f"{model}: {rows - rows_before:.0f} images in {runs - runs_before:.0f} batches, mean batch {mean:.2f}")
    if environment.parsed_options.overload:
        refused = next(_refusals)
        recovered = all(answers_again(environment.host, model) for model in MODELS)
        print(f"refused with Retry-After: {refused}; answers again: {'yes' if recovered else 'no'}")
        if not refused or not recovered:
            environment.process_exit_code = 1
