"""The protocol over HTTP: control plane, inference, errors, ids, page."""

from __future__ import annotations

import asyncio
import io
import json
import re
import time
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from fastapi import APIRouter

from rushlight.server.accesslog import AccessLog
from rushlight.server.app import create_app
from rushlight.server.repository import Repository
from rushlight.server.settings import Settings
from rushlight.server.state import ServerState

Start = Any
Fakes = Any
BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


@pytest.fixture
def client(start: Start, fakes: Fakes) -> httpx.Client:
    models = {"affine": {"1": fakes.affine(), "2": fakes.affine(), "10": fakes.affine()}, "lengths": fakes.lengths()}
    client: httpx.Client = start(models).client()
    return client


def test_health_and_server_metadata(client: httpx.Client) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    metadata = client.get("/v2").json()
    assert metadata["name"] == "rushlight"
    assert "binary_tensor_data" in metadata["extensions"]


def test_model_metadata(client: httpx.Client) -> None:
    assert client.get("/v2/models/affine").json() == {
        "name": "affine",
        "versions": ["1", "2", "10"],
        "platform": "rushlight",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 4]}],
    }
    assert client.get("/v2/models/affine/versions/2").status_code == 200
    assert client.get("/v2/models/affine/ready").json() == {"name": "affine", "ready": True}
    config = client.get("/v2/models/lengths/config").json()
    assert config["max_batch_size"] == 32
    assert config["input"][0] == {"name": "ids", "data_type": "TYPE_INT64", "dims": [-1]}
    index = client.post("/v2/repository/index").json()
    assert [(each["name"], each["version"], each["state"]) for each in index] == [
        ("affine", "1", "READY"),
        ("affine", "2", "READY"),
        ("affine", "10", "READY"),
        ("lengths", "1", "READY"),
    ]
    assert client.post("/v2/repository/index", content=b'{"ready": 1}').status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/absent", 404),
        ("GET", "/v2/models/affine/versions/3", 404),
        ("GET", "/v2/models/affine/versions/3/ready", 404),
        ("POST", "/v2/models/absent/infer", 404),
        ("POST", "/v2/models/affine/versions/3/infer", 404),
        ("POST", "/v2/models/affine/versions/01/infer", 404),
        ("POST", "/v2/models/affine/x/1/infer", 404),
        ("POST", "/v2/models/affine/infer/", 404),
        ("GET", "/v2/models/affine/infer", 405),
        ("DELETE", "/v2/models/affine", 405),
        ("POST", "/v2/health/live", 405),
    ],
)
def test_wrong_paths_and_verbs(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert isinstance(response.json()["error"], str)
    assert response.headers["x-request-id"]


def test_infer_uses_the_latest_version_unless_told(client: httpx.Client) -> None:
    answer = client.post("/v2/models/affine/infer", json={**BODY, "id": "mine"}).json()
    assert answer == {
        "id": "mine",
        "model_name": "affine",
        "model_version": "10",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [3, 5, 7, 9]}],
    }
    response = client.post("/v2/models/affine/versions/2/infer", json=BODY)
    assert response.json()["model_version"] == "2"
    assert "id" not in response.json()
    assert response.headers["content-type"] == "application/json"


def test_binary_answer(client: httpx.Client) -> None:
    document = {**BODY, "parameters": {"binary_data_output": True}}
    response = client.post("/v2/models/affine/infer", json=document)
    length = int(response.headers["inference-header-content-length"])
    assert response.headers["content-type"] == "application/octet-stream"
    assert orjson.loads(response.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 16}
    np.testing.assert_array_equal(np.frombuffer(response.content[length:], "<f4"), [3, 5, 7, 9])


def test_chunked_body(client: httpx.Client) -> None:
    text = json.dumps(BODY).encode()
    pieces = (text[start : start + 7] for start in range(0, len(text), 7))
    assert client.post("/v2/models/affine/infer", content=pieces).json()["outputs"][0]["data"] == [3, 5, 7, 9]


def test_bad_requests_are_400_with_one_line(client: httpx.Client) -> None:
    for content in (b"", b"{", b"[[[", b'{"inputs": [1]}', json.dumps(BODY).encode() + b"x"):
        response = client.post("/v2/models/affine/infer", content=content)
        assert response.status_code == 400
        assert "\n" not in response.json()["error"]
    response = client.post("/v2/models/affine/infer", content=b'{"inputs": [{"name": "\\ud800", "x": NaN}]}')
    assert response.status_code == 400


def test_compressed_bodies_are_refused(client: httpx.Client) -> None:
    response = client.post("/v2/models/affine/infer", json=BODY, headers={"content-encoding": "gzip"})
    assert response.status_code == 415


def test_bodies_over_the_limit_are_refused(start: Start, fakes: Fakes) -> None:
    client = start({"affine": fakes.affine()}, max_body_mb=0.01).client()
    large = b" " * 20_000
    for path in ("/v2/models/affine/infer", "/v2/repository/index"):
        assert client.post(path, content=large).status_code == 413
        assert client.post(path, content=iter([large[:9000], large[9000:]])).status_code == 413
    assert client.post("/v2/models/affine/infer", json=BODY).status_code == 200


def test_bodies_together_are_bounded(start: Start, fakes: Fakes) -> None:
    client = start({"affine": fakes.affine()}, max_inflight_mb=0.001).client()
    response = client.post("/v2/models/affine/infer", content=b" " * 2000)
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert client.post("/v2/models/affine/infer", json=BODY).status_code == 200


def test_request_ids_are_kept_or_made(client: httpx.Client) -> None:
    def answered(asked: str | None, path: str = "/v2/models/affine/infer") -> str:
        headers = {} if asked is None else {"X-Request-Id": asked}
        response = client.post(path, json=BODY, headers=headers)
        identity: str = response.headers["x-request-id"]
        return identity

    assert answered("trace-1/a") == "trace-1/a"
    assert answered("trace-1/a", "/v2/models/absent/infer") == "trace-1/a"
    made = {answered(None), answered("a" * 129), answered("white space"), answered("", "/v2/repository/index")}
    assert len(made) == 4
    assert all(re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", identity) for identity in made)


def test_access_log(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine(), "picky": fakes.picky()}, access_log=True)
    stream = io.BytesIO()
    running.state.log._stream = stream
    client = running.client()
    client.post("/v2/models/affine/infer", json={**BODY, "id": "mine"}, headers={"x-request-id": "r1"})
    client.post("/v2/models/affine/infer", json=[], headers={"x-request-id": "r2"})
    client.get("/v2/models/affine", headers={"x-request-id": "r3"})
    running.ask_to_end()
    running.thread.join(30)
    first, second, third = map(orjson.loads, stream.getvalue().splitlines())
    assert (first["request_id"], first["id"], first["status"], first["rows"]) == ("r1", "mine", 200, 1)
    assert (first["method"], first["path"], first["client"]) == ("POST", "/v2/models/affine/infer", "127.0.0.1")
    assert (second["request_id"], second["status"]) == ("r2", 400)
    assert "JSON object" in second["error"]
    assert (third["request_id"], third["method"]) == ("r3", "GET")


def test_only_failures_of_the_server_are_logged_by_default() -> None:
    stream = io.BytesIO()
    log = AccessLog(everything=False, stream=stream)
    log.record("POST", "/a", 200, 0.001, "r1")
    log.record("POST", "/a", 404, 0.001, "r2")
    log.record("POST", "/a", 500, 0.001, "r3")
    log.close()
    assert [orjson.loads(line)["request_id"] for line in stream.getvalue().splitlines()] == ["r3"]


def test_metrics_and_statistics(client: httpx.Client) -> None:
    for _ in range(3):
        client.post("/v2/models/affine/infer", json=BODY)
    client.post("/v2/models/affine/infer", json={})
    client.post("/v2/models/absent/infer", json={})
    text = client.get("/metrics").text

    def value(metric: str) -> float:
        return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(metric)))

    labels = 'model="affine",version="10"'
    assert value(f'rushlight_requests_total{{code="200",{labels}}}') == 3
    assert value(f'rushlight_requests_total{{code="400",{labels}}}') == 1
    assert value('rushlight_requests_total{code="404",model="",version=""}') == 1
    assert value(f"rushlight_batch_size_count{{{labels}}}") == 3
    assert value(f"rushlight_batch_size_sum{{{labels}}}") == 3
    assert value(f'rushlight_batch_size_bucket{{le="1.0",{labels}}}') == 3
    assert value(f"rushlight_queue_depth{{{labels}}}") == 0
    assert value("rushlight_inflight_requests") == 0
    assert value("rushlight_inflight_bytes") == 0
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert all(name.startswith("rushlight_") for name in names)

    (stats,) = client.get("/v2/models/affine/stats").json()["model_stats"]
    assert (stats["inference_count"], stats["execution_count"]) == (3, 3)
    assert stats["inference_stats"]["success"]["count"] == 3
    assert stats["inference_stats"]["fail"]["count"] == 1
    assert stats["batch_stats"][0]["batch_size"] == 1
    assert stats["batch_stats"][0]["compute_infer"]["count"] == 3
    assert len(client.get("/v2/models/stats").json()["model_stats"]) == 4


def test_model_errors_do_not_leak(start: Start, fakes: Fakes, caplog: pytest.LogCaptureFixture) -> None:
    client = start({"picky": fakes.picky()}).client()
    entry = {"name": "x", "shape": [1, 2], "datatype": "INT32", "data": [-1, 0]}
    response = client.post("/v2/models/picky/infer", json={"inputs": [entry]})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "secret of the model" in caplog.text


def test_builtin_page_needs_no_other_host(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page.text)
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_description_has_inference_and_control(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert "post" in paths["/v2/models/{model}/infer"]
    assert "post" in paths["/v2/models/{model}/versions/{version}/infer"]
    assert "get" in paths["/v2/health/ready"]


def test_a_page_of_ones_own_can_run_models(start: Start, fakes: Fakes) -> None:
    def page(state: ServerState) -> APIRouter:
        router = APIRouter()

        @router.get("/")
        async def home() -> list[float]:
            outputs = await state.models.infer("affine", {"x": np.ones((1, 4), np.float32)})
            values: list[float] = outputs["y"][0].tolist()
            return values

        return router

    client = start({"affine": fakes.affine()}, page=page).client()
    assert client.get("/").json() == [3, 3, 3, 3]


def test_a_page_that_fails_is_a_json_error_with_an_id(
    start: Start, fakes: Fakes, caplog: pytest.LogCaptureFixture
) -> None:
    def page(_: ServerState) -> APIRouter:
        router = APIRouter()

        @router.get("/fails")
        async def fails() -> None:
            raise ZeroDivisionError("secret of the page")

        return router

    client = start({"affine": fakes.affine()}, page=page).client()
    response = client.get("/fails", headers={"x-request-id": "mine"})
    assert (response.status_code, response.headers["x-request-id"]) == (500, "mine")
    assert response.json() == {"error": "internal error; the server's log says more under this request's id"}
    deadline = time.monotonic() + 30
    while "secret of the page" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)  # the answer goes out before the log is written
    assert "request mine failed" in caplog.text
    assert "secret of the page" in caplog.text


@pytest.fixture
def application(fakes: Fakes) -> Any:
    """An application without the project's own connections, and its model."""
    model = fakes.affine()
    application = create_app(Repository({"affine": {"1": model}}), Settings())
    yield application, model
    model.release.set()
    application.state.close()


def test_any_asgi_server_will_do(application: Any) -> None:
    async def run() -> None:
        transport = httpx.ASGITransport(application[0])
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
            response = await client.post("/v2/models/affine/infer", json=BODY)
            assert response.json()["outputs"][0]["data"] == [3, 5, 7, 9]
            assert (await client.get("/v2/health/ready")).json() == {"ready": True}

    asyncio.run(run())


def test_a_client_of_another_asgi_server_can_leave(application: Any) -> None:
    app, model = application
    model.hold()
    sent: list[Any] = []

    async def run() -> None:
        body = {"type": "http.request", "body": json.dumps(BODY).encode(), "more_body": False}
        messages = iter([body, {"type": "http.disconnect"}])

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v2/models/affine/infer", "headers": []}
        await asyncio.wait_for(app(scope, receive, send), 30)

    asyncio.run(run())
    assert sent == []
    assert 'code="499"' in app.state.render_metrics().decode()
