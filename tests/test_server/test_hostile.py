"""Raw bytes on raw sockets: nothing that a stranger sends may hurt others."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import time
from typing import Any

import pytest

Start = Any
Fakes = Any
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}).encode()
PATH = b"/v2/models/affine/infer"


def post(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    size = b"content-length: %d" % (len(body) if length is None else length)
    return b"\r\n".join([b"POST " + PATH + b" HTTP/1.1", b"host: a", size, *headers, b"", body])


def read_answer(connection: socket.socket) -> tuple[int, bytes, bytes]:
    """Status, head and body of one answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        assert chunk, f"closed after {data!r}"
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = int(next(line for line in lines if line.startswith(b"content-length:")).split(b":")[1])
    while len(body) < length:
        body += connection.recv(65536)
    assert len(body) == length
    return int(head.split()[1]), head, body


def closes(connection: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def test_the_request_that_kills_another_server(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()})
    for shape in (b"[1099511627776,4]", b"[4611686018427387905,4]", b"[9223372036854775807,9223372036854775807]"):
        body = b'{"inputs":[{"name":"x","shape":%s,"datatype":"FP32","data":[1,2,3,4]}]}' % shape
        with running.connect() as connection:
            connection.sendall(post(body))
            status, _, answer = read_answer(connection)
            assert status == 400
            assert "error" in json.loads(answer)
            connection.sendall(post(BODY))
            assert read_answer(connection)[0] == 200


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 1e3\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\na: b\x00c\r\n\r\n",
    ],
)
def test_what_is_not_http_is_400_and_closed(start: Start, fakes: Fakes, junk: bytes) -> None:
    running = start({"affine": fakes.affine()})
    with running.connect() as connection:
        connection.sendall(junk)
        status, head, body = read_answer(connection)
        assert status == 400
        assert b"connection: close" in head
        assert "error" in json.loads(body)
        assert closes(connection)


@pytest.mark.parametrize("piece", [70_000, 1000])
def test_large_heads_are_431(start: Start, fakes: Fakes, piece: int) -> None:
    running = start({"affine": fakes.affine()}, max_header_kb=16)
    head = b"GET / HTTP/1.1\r\nhost: a\r\nx-large: " + b"a" * 70_000 + b"\r\n\r\n"
    with running.connect() as connection:
        for index in range(0, len(head), piece):
            connection.sendall(head[index : index + piece])
        status, answer, _ = read_answer(connection)
        assert status == 431
        assert b"connection: close" in answer
        connection.shutdown(socket.SHUT_WR)
        assert closes(connection)


def test_a_head_without_an_end_is_431(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()}, max_header_kb=16)
    with running.connect() as connection:
        connection.sendall(b"GET /" + b"a" * 30_000)
        assert read_answer(connection)[0] == 431


def test_many_headers_are_431(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()})
    with running.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n")
        assert read_answer(connection)[0] == 431
    with running.connect() as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\n" + b"a: b\r\n" * 100 + b"\r\n")
        assert read_answer(connection)[0] == 200


@pytest.mark.parametrize("sent", [b"POST / HT", b"POST / HTTP/1.1\r\nhost: a\r\n", post(BODY[:-1], length=len(BODY))])
def test_requests_that_never_end_are_408(start: Start, fakes: Fakes, sent: bytes) -> None:
    running = start({"affine": fakes.affine()}, header_timeout_s=0.2, body_timeout_s=0.2)
    with running.connect() as connection:
        connection.sendall(sent)
        assert read_answer(connection)[0] == 408
        connection.shutdown(socket.SHUT_WR)
        assert closes(connection)


def test_one_byte_at_a_time_does_not_extend_the_time(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()}, header_timeout_s=0.5)
    with running.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: ")
        connection.settimeout(0.05)
        answer = b""
        deadline = time.monotonic() + 20
        while not answer and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                connection.sendall(b"a")
                answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408")


def test_silent_connections_are_closed(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()}, header_timeout_s=0.2)
    with running.connect() as connection:
        assert closes(connection)


def test_the_second_request_of_a_connection_has_its_own_time(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()}, header_timeout_s=0.4)
    with running.connect() as connection:
        for _ in range(2):
            connection.sendall(post(BODY))
            assert read_answer(connection)[0] == 200
            time.sleep(0.5)
        connection.sendall(b"POST / HT")
        assert read_answer(connection)[0] == 408


@pytest.mark.parametrize("first", [post(BODY), post(BODY, b"content-encoding: gzip")])
def test_idle_connections_are_closed(start: Start, fakes: Fakes, first: bytes) -> None:
    running = start({"affine": fakes.affine()}, keep_alive_s=0.3)
    with running.connect() as connection:
        connection.sendall(first[:-10])
        time.sleep(0.1)
        connection.sendall(first[-10:])
        read_answer(connection)
        connection.sendall(b"\r\n")
        assert closes(connection)


def test_a_body_that_trickles_behind_its_answer_ends(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()}, body_timeout_s=0.3)
    with running.connect() as connection:
        connection.sendall(post(b"{", b"content-encoding: gzip", length=1000))
        assert read_answer(connection)[0] == 415
        connection.settimeout(0.05)
        deadline = time.monotonic() + 20
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    connection.sendall(b"a")
                    if connection.recv(1) == b"":
                        break
        assert time.monotonic() < deadline


def test_refused_bodies_are_answered_before_they_are_sent(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()}, max_body_mb=1)
    with running.connect() as connection:
        connection.sendall(post(b"", length=1 << 40))
        assert read_answer(connection)[0] == 413
    with running.connect() as connection:
        connection.sendall(post(b"", b"expect: 100-continue", length=1 << 40))
        assert read_answer(connection)[0] == 413


def test_a_client_that_sends_its_whole_refused_body_can_read_the_answer(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()}, max_body_mb=1)
    with running.connect() as connection:
        connection.sendall(post(bytes(20 << 20)))
        assert read_answer(connection)[0] == 413
        connection.shutdown(socket.SHUT_WR)
        assert closes(connection)


def test_expect_continue(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()})
    with running.connect() as connection:
        connection.sendall(post(b"", b"expect: 100-continue", length=len(BODY)))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert read_answer(connection)[0] == 200


def test_pipelined_requests_are_answered_in_order(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()})
    bodies = [BODY.replace(b"[1, 2", b"[%d, 2" % value) for value in range(20)]
    with running.connect() as connection:
        connection.sendall(b"".join(post(body) for body in bodies))
        stream = connection.makefile("rb")
        for value in range(20):
            while (line := stream.readline().lower()) != b"\r\n":
                if line.startswith(b"content-length"):
                    length = int(line.split(b":")[1])
            assert json.loads(stream.read(length))["outputs"][0]["data"][0] == 2 * value + 1
        stream.close()


def test_a_body_behind_an_upgrade_is_not_the_next_request(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()})
    upgrade = (b"connection: upgrade", b"upgrade: h2c")
    hidden = b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\n\r\n"
    with running.connect() as connection:
        connection.sendall(post(b"", *upgrade, length=len(hidden)))
        status, _, answer = read_answer(connection)
        assert (status, json.loads(answer)) == (
            501,
            {"error": "a request that asks for another protocol cannot have a body"},
        )
        connection.sendall(hidden)
        assert closes(connection)
    with running.connect() as connection:
        connection.sendall(b"\r\n".join([b"GET /v2/health/live HTTP/1.1", b"host: a", *upgrade, b"", b""]))
        status, head, _ = read_answer(connection)
        assert status == 200
        assert b"connection: close" in head
        assert closes(connection)


def test_endless_pipelines_end(start: Start, fakes: Fakes) -> None:
    affine = fakes.affine()
    affine.hold()
    running = start({"affine": affine})
    live = b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\n\r\n"
    with running.connect() as connection:
        connection.sendall(post(BODY) + live * 1000)
        affine.wait_for_run()
        deadline = time.monotonic() + 30
        while running.state.infer.inflight and time.monotonic() < deadline:
            time.sleep(0.01)
        assert running.state.infer.inflight == 0
        affine.release.set()
        assert closes(connection)


def test_junk_behind_a_request_that_runs_does_not_answer_in_its_place(start: Start, fakes: Fakes) -> None:
    model = fakes.affine()
    running = start({"affine": model})
    model.hold()
    with running.connect() as connection:
        connection.sendall(post(BODY))
        model.wait_for_run()
        connection.sendall(b"\x00junk\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert closes(connection)
    model.release.set()
    assert running.client().get("/v2/health/live").status_code == 200


def test_connections_are_bounded(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()}, max_connections=3)
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(running.connect()) for _ in range(3)]
        for connection in first:
            connection.sendall(post(BODY))
            assert read_answer(connection)[0] == 200
        with running.connect() as one_more:
            status, head, _ = read_answer(one_more)
            assert status == 503
            assert b"retry-after: 1" in head
        first[0].sendall(post(BODY))
        assert read_answer(first[0])[0] == 200
        first[1].close()
        deadline = time.monotonic() + 20
        while len(running.server.server_state.connections) > 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        with running.connect() as another:
            another.sendall(post(BODY))
            assert read_answer(another)[0] == 200


def test_clients_that_do_not_read_are_cut_off(start: Start, fakes: Fakes) -> None:
    running = start({"lengths": fakes.lengths()}, send_timeout_s=0.3)
    length = 2_000_000
    tensors = [
        {"name": name, "shape": [1, length], "datatype": "INT64", "parameters": {"binary_data_size": 8 * length}}
        for name in ("ids", "mask")
    ]
    text = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
    body = text + bytes(16 * length)
    head = b"POST /v2/models/lengths/infer HTTP/1.1\r\ncontent-length: %d\r\n" % len(body)
    head += b"inference-header-content-length: %d\r\n\r\n" % len(text)
    with running.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(head + body)
        deadline = time.monotonic() + 20
        while len(running.server.server_state.connections) != 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(running.server.server_state.connections) == 0


def test_a_client_that_leaves_takes_its_request_along(start: Start, fakes: Fakes) -> None:
    model = fakes.affine()
    running = start({"affine": model})
    lane = running.state.models.find("affine")
    model.hold()
    with running.connect() as stays:
        stays.sendall(post(BODY))
        model.wait_for_run()
        leaves = running.connect()
        leaves.sendall(post(BODY))
        deadline = time.monotonic() + 20
        while lane.depth != 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lane.depth == 1
        leaves.close()
        while lane.depth != 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert lane.depth == 0
        model.release.set()
        assert read_answer(stays)[0] == 200
    assert model.runs == [1]
    text = running.client().get("/metrics").text
    assert 'rushlight_requests_total{code="499",model="affine",version="1"} 1.0' in text


def mutated(rng: random.Random, data: bytes) -> bytes:
    """A few bytes changed, left out, doubled or moved."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        start = rng.randrange(len(changed))
        stop = min(len(changed), start + rng.choice([1, 1, 2, 8, 40]))
        piece = bytes(changed[start:stop])
        kind = rng.randrange(4)
        if kind == 0:
            changed[start:stop] = rng.randbytes(len(piece))
        elif kind == 1 and stop - start < len(changed):
            del changed[start:stop]
        elif kind == 2:
            changed[start:start] = piece * rng.choice([1, 3])
        else:
            changed[start:stop] = rng.choice([b"-1", b"0", b"9" * 20, b"[", b"{", b"null", b'"', b"\\u0000", b"\r\n"])
    return bytes(changed)


def test_mutated_requests_are_never_the_servers_fault(start: Start, fakes: Fakes) -> None:
    running = start({"affine": fakes.affine()}, body_timeout_s=0.2, header_timeout_s=0.2)
    rng = random.Random(1)
    entry = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
    text = json.dumps({"id": "a", "parameters": {"timeout": 9_000_000}, "inputs": [entry]}).encode()
    seeds = [post(BODY), post(text + bytes(16), b"inference-header-content-length: %d" % len(text))]
    statuses: set[int] = set()
    for index in range(200):
        with running.connect() as connection:
            connection.sendall(mutated(rng, seeds[index % 2]))
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                connection.settimeout(0.5)
                with contextlib.suppress(TimeoutError):
                    answer = connection.recv(65536)
            if answer:
                assert answer.startswith(b"HTTP/1.1 "), answer
                statuses.add(int(answer.split()[1]))
    assert {200, 400, 404} <= statuses
    assert 500 not in statuses
    assert running.client().get("/v2/health/ready").status_code == 200
    deadline = time.monotonic() + 20
    while running.state.infer.inflight and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running.state.infer.inflight == 0
    assert running.state.admission.held == 0
