"""`POST /v2/models/{model}[/versions/{version}]/infer`, straight on ASGI: the one path that must be fast."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import orjson

from rushlight.server.accesslog import AccessLog
from rushlight.server.admission import Admission, Receive
from rushlight.server.connection import ON_DISCONNECT
from rushlight.server.contract import Arrays
from rushlight.server.decode import decode
from rushlight.server.encode import Payload, encode
from rushlight.server.errors import ClientGone, RequestError
from rushlight.server.lane import Lane
from rushlight.server.metrics import Metrics
from rushlight.server.models import Models
from rushlight.server.request import Request

logger = logging.getLogger(__name__)

Send = Callable[[dict[str, Any]], Awaitable[None]]
Scope = Mapping[str, Any]

_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")


def infer_target(path: str) -> tuple[str, str | None] | None:
    """Model and version that an infer path names, None for any other path."""
    parts = path.split("/")
    if parts[:3] != ["", "v2", "models"] or parts[-1] != "infer":
        return None
    if len(parts) == 5:
        return parts[3], None
    if len(parts) == 7 and parts[4] == "versions":
        return parts[3], parts[5]
    return None


def error_response(error: RequestError) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of an error: a JSON object with the key `error`, as all clients of the protocol read."""
    headers = [_JSON]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if error.status == 413:
        headers.append((b"connection", b"close"))
    message = str(error).encode("utf-8", "replace").decode("utf-8")
    return error.status, headers, orjson.dumps({"error": message})


class InferEndpoint:
    """Reads, decodes, queues, encodes and answers one inference request a call."""

    def __init__(self, models: Models, metrics: Metrics, admission: Admission, log: AccessLog) -> None:
        self._models = models
        self._metrics = metrics
        self._admission = admission
        self._log = log
        self._inflight = 0

    @property
    def inflight(self) -> int:
        """Requests between head and answer."""
        return self._inflight

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, target: tuple[str, str | None], request_id: str
    ) -> None:
        call = _Call(time.monotonic())
        self._inflight += 1
        message: str | None = None
        try:
            status, headers, content = _success(await self._run(call, scope, receive, target))
        except Exception as error:
            if not isinstance(error, RequestError):
                logger.exception("request %s failed", request_id)
                error = RequestError("internal error; the server's log says more under this request's id")
            status, headers, content = error_response(error)
            message = str(error)
        finally:
            self._inflight -= 1
        if status != ClientGone.status:
            headers.append((b"content-length", b"%d" % len(content)))
            headers.append((b"x-request-id", request_id.encode("ascii")))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": content})
        seconds = time.monotonic() - call.started
        self._count(call, status, seconds)
        client = scope.get("client")
        self._log.record(
            "POST",
            scope["path"],
            status,
            seconds,
            request_id,
            client[0] if client else None,
            id=call.id,
            rows=call.request.rows if call.request else None,
            error=message,
        )

    async def _run(self, call: _Call, scope: Scope, receive: Receive, target: tuple[str, str | None]) -> Payload:
        headers = dict(scope["headers"])
        lane = call.lane = self._models.find(*target)
        with self._admission.hold() as held:
            body = await held.read(receive, headers)
            decoded = decode(body, headers.get(b"inference-header-content-length"), lane.signature)
            call.id = decoded.id
            call.request, future = lane.submit(decoded.inputs, decoded.timeout_us / 1e6 or inf, decoded.priority)
            arrays = await _wait(lane, call.request, future, scope, receive)
            return encode(lane.name, lane.version, decoded.id, decoded.outputs, arrays, lane.signature)

    def _count(self, call: _Call, status: int, seconds: float) -> None:
        if call.lane is None:
            self._metrics.requests.labels("", "", str(status)).inc()
            return
        call.lane.metrics.answered(status, seconds)
        if status == 200 and call.request is not None:
            request = call.request
            call.lane.statistics.answered(request.rows, seconds, request.queued_seconds, request.compute_seconds)
        else:
            call.lane.statistics.fail.add(seconds)


@dataclass(slots=True)
class _Call:
    """What is known of a request so far."""

    started: float
    lane: Lane | None = None
    request: Request | None = None
    id: str | None = None


async def _wait(
    lane: Lane, request: Request, future: asyncio.Future[Request], scope: Scope, receive: Receive
) -> Arrays:
    """The result, when it is there. A client that leaves takes its request out of the queue."""
    on_disconnect = scope.get("extensions", {}).get(ON_DISCONNECT)
    watch: asyncio.Task[None] | None = None
    if on_disconnect is not None:
        on_disconnect(partial(_client_left, lane, request))
    else:
        watch = asyncio.get_running_loop().create_task(_cancel_when_gone(lane, request, receive))
    try:
        await future
    except asyncio.CancelledError:
        lane.cancel(request, ClientGone("the request was cancelled"))
        raise
    finally:
        if watch is not None:
            watch.cancel()
        else:
            on_disconnect(None)
    return request.arrays or {}


def _client_left(lane: Lane, request: Request) -> None:
    lane.cancel(request, ClientGone("the client closed the connection"))


async def _cancel_when_gone(lane: Lane, request: Request, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    _client_left(lane, request)


def _success(payload: Payload) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    if payload.header_length is None:
        return 200, [_JSON], payload.body
    length = (b"inference-header-content-length", b"%d" % payload.header_length)
    return 200, [_BINARY, length], payload.body
