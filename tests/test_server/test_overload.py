"""A full queue answers 429 with Retry-After, a passed timeout 503, and both recover; draining finishes what it has."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from rushlight.server.serving import BindError, bind

Start = Any
Fakes = Any
BODY = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_full_queue_and_recovery(start: Start, fakes: Fakes) -> None:
    model = fakes.affine()
    running = start({"affine": model, "other": fakes.affine()}, queue=4, max_running=2)
    client = running.client()
    lane = running.state.models.find("affine")
    model.hold()
    with ThreadPoolExecutor(8) as pool:

        def ask() -> Any:
            return pool.submit(client.post, "/v2/models/affine/infer", json=BODY)

        accepted = [ask()]
        model.wait_for_run()
        accepted += [ask() for _ in range(4)]
        until(lambda: lane.depth == 4)
        for _ in range(3):
            refused = client.post("/v2/models/affine/infer", json=BODY)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
        assert client.post("/v2/models/other/infer", json=BODY).status_code == 200
        model.release.set()
        assert [future.result().status_code for future in accepted] == [200] * 5
    assert client.post("/v2/models/affine/infer", json=BODY).status_code == 200
    assert model.runs == [1, 4, 1]


def test_timeouts_are_answered_while_the_model_runs(start: Start, fakes: Fakes) -> None:
    model = fakes.affine()
    client = start({"affine": model}).client()
    model.hold()
    response = client.post("/v2/models/affine/infer", json={**BODY, "parameters": {"timeout": 50_000}})
    assert response.status_code == 503
    assert "timeout" in response.json()["error"]
    model.release.set()
    response = client.post("/v2/models/affine/infer", json={**BODY, "parameters": {"timeout": (1 << 63) - 1}})
    assert response.status_code == 200


def test_a_request_larger_than_the_whole_queue_is_400(start: Start, fakes: Fakes) -> None:
    client: httpx.Client = start({"affine": fakes.affine()}, queue=2, max_batch=2).client()

    def ask(rows: int) -> httpx.Response:
        entry = {"name": "x", "shape": [rows, 4], "datatype": "FP32", "data": [0] * (4 * rows)}
        return client.post("/v2/models/affine/infer", json={"inputs": [entry]})

    assert ask(4).json()["outputs"][0]["shape"] == [4, 4]
    assert ask(5).status_code == 400


def test_draining_is_not_ready_but_answers_what_was_accepted(start: Start, fakes: Fakes) -> None:
    model = fakes.affine()
    running = start({"affine": model}, drain_delay_s=1.0)
    client = running.client()
    model.hold()
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(client.post, "/v2/models/affine/infer", json=BODY)]
        model.wait_for_run()
        futures += [pool.submit(client.post, "/v2/models/affine/infer", json=BODY) for _ in range(2)]
        until(lambda: running.state.models.find("affine").depth == 2)
        running.ask_to_end()
        for path in ("/v2/health/ready", "/v2/models/affine/ready"):
            response = client.get(path)
            assert response.status_code == 503
            assert response.json()["ready"] is False
        until(lambda: client.get("/v2/health/live").headers.get("connection") == "close")
        assert client.post("/v2/repository/index", json={"ready": True}).json() == []
        until(lambda: not running.server.servers[0].is_serving())
        model.release.set()
        assert [future.result().status_code for future in futures] == [200] * 3
    running.thread.join(30)
    assert not running.thread.is_alive()
    with pytest.raises(httpx.ConnectError):
        client.get("/v2/health/live")


SCRIPT = """
import sys, time
import numpy as np
from rushlight.server.repository import Repository
from rushlight.server.serving import bind, serve
from rushlight.server.settings import load_settings

class Spec:
    def __init__(self, name):
        self.name, self.dtype, self.shape = name, np.dtype("float32"), ("N", 4)

class Slow:
    inputs, outputs = [Spec("x")], [Spec("y")]
    def run(self, inputs):
        print("running", flush=True)
        time.sleep(float(sys.argv[1]))
        return {"y": inputs["x"]}

bound = bind("127.0.0.1", 0)
port = bound.getsockname()[1]
models = Repository({"slow": {"1": Slow()}})
sys.exit(serve(models, load_settings(), bound, on_started=lambda: print(port, flush=True)))
"""


class Process:
    """A server in a process of its own, whose model takes `seconds`."""

    def __init__(self, seconds: float) -> None:
        command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(seconds)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def ask(self) -> httpx.Response:
        return httpx.post(f"{self.url}/v2/models/slow/infer", json=BODY, timeout=60, trust_env=False)

    def wait_for_run(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "running\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_0_after_the_last_answer(number: signal.Signals) -> None:
    with Process(1.0) as server, ThreadPoolExecutor(1) as pool:
        future = pool.submit(server.ask)
        server.wait_for_run()
        server.process.send_signal(number)
        assert future.result().status_code == 200
        _, errors = server.process.communicate(timeout=30)
        assert server.process.returncode == 0
        assert errors == ""


def test_a_second_signal_ends_the_process_at_once() -> None:
    with Process(3600.0) as server, ThreadPoolExecutor(1) as pool:
        future = pool.submit(server.ask)
        server.wait_for_run()
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(0.5)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 130
        with pytest.raises(httpx.TransportError):
            future.result()


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BindError, match=f"port {port} on 127.0.0.1 is in use"):
            bind("127.0.0.1", port)
    with pytest.raises(BindError, match="cannot listen on"):
        bind("203.0.113.7", 0)
    with pytest.raises(BindError, match="cannot listen on"):
        bind("no.such.host.invalid", 0)
    with bind("127.0.0.1", 0) as free:
        assert free.type == socket.SOCK_STREAM


def test_bodies_of_all_routes_count_together(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()}, max_body_mb=1, max_inflight_mb=1.5)
    size = 1 << 20
    head = b"POST /v2/repository/index HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size
    with running.connect() as first, running.connect() as second:
        first.sendall(head + b" " * (size - 2))
        deadline = time.monotonic() + 30
        while running.state.admission.held < size - 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert running.state.admission.held == size - 2
        second.sendall(head)
        answer = second.recv(65536).lower()
        assert answer.startswith(b"http/1.1 503")
        assert b"\r\nretry-after: 1\r\n" in answer
        first.sendall(b"{}")
        assert first.recv(65536).startswith(b"HTTP/1.1 200")
    assert running.state.admission.held == 0
