"""One HTTP connection with limits that uvicorn lacks: size of the head, time to receive, time to send, how many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, ClassVar, cast

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LINGER_SECONDS = 2.0
"""How long a refused client may go on sending before the connection is cut, so that it can read the refusal."""

MAX_HEADERS = 100

MAX_PIPELINED = 64
"""Requests of one connection that wait for an earlier one: each costs a hundred times its bytes on the wire."""

ON_DISCONNECT = "rushlight.on_disconnect"
"""ASGI extension: a function that takes what to call when the client leaves before the answer, or None."""


@dataclass(frozen=True)
class ConnectionLimits:
    """`head_seconds` from the first byte of a request to the end of its headers, `body_seconds` from there to the end
    of its body; `send_seconds` without any byte of an answer going out.
    """

    head_bytes: int = 65536
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    send_seconds: float = 60.0
    connections: int = 1000


class Phase(Enum):
    """What the connection waits for."""

    OPENED = "the first byte"
    HEAD = "the request's headers"
    BODY = "the request's body"
    IDLE = "the next request"
    LINGERING = "the client to close"


class Refused(Exception):
    """Ends the parsing of a request that will not be answered by the application."""


class _GentleTransport:
    """A transport whose `close` lets a client that still sends read the answer first."""

    def __init__(self, transport: asyncio.Transport, protocol: LimitedProtocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self.write = transport.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._protocol.phase is Phase.LINGERING or self._transport.is_closing()

    def close(self) -> None:
        self._protocol.close_gently()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits. Timers exist only while a request is partly received or partly sent."""

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.phase = Phase.OPENED
        self._real_transport: asyncio.Transport | None = None
        self._receive_timer: asyncio.TimerHandle | None = None
        self._timed_phase: Phase | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._refusal: tuple[int, str] | None = None
        self._closes_after_answer = False
        self._on_disconnect: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._real_transport = transport
        self.transport = _GentleTransport(transport, self)  # type: ignore[assignment]
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "the server has as many connections as it takes", b"retry-after: 1\r\n")
        else:
            self._time_receipt()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(self._receive_timer)
        self._stop(self._send_timer)
        super().connection_lost(exc)
        if self._on_disconnect is not None:
            self._on_disconnect()

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.LINGERING:
            return
        if self.phase is Phase.OPENED:
            self.phase = Phase.HEAD
        super().data_received(data)
        if self.phase is Phase.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes:
                self._refuse(431, self._head_too_large())
                return
        self._time_receipt()
        if self.phase is Phase.IDLE and self.timeout_keep_alive_task is None and self._is_next_to_be_answered():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.phase = Phase.HEAD
        self._head_bytes = 0
        if self._timed_phase is not None:
            self._stop(self._receive_timer)
            self._timed_phase = None

    def on_headers_complete(self) -> None:
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value) + len(b": \r\n")
        if size > self.limits.head_bytes or len(self.headers) > MAX_HEADERS:
            self._refusal = (431, self._head_too_large())
            raise Refused
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = (429, "too many requests are pipelined")
            raise Refused
        upgrades = self.parser.should_upgrade()
        if upgrades and any(_announces_body(name, value) for name, value in self.headers):
            # The parser skips this body, and would take what follows of it for the next request.
            self._refusal = (501, "a request that asks for another protocol cannot have a body")
            raise Refused
        cast(dict[str, Any], self.scope)["extensions"] = {ON_DISCONNECT: self._set_on_disconnect}
        super().on_headers_complete()
        self.phase = Phase.BODY
        if self._closes_after_answer or upgrades:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self.phase = Phase.IDLE
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        status, message = self._refusal or (400, "this is not a valid HTTP/1.1 request")
        self._refuse(status, message)

    def close_after_answer(self) -> None:
        """Tell the client with the next answer that the connection ends there."""
        self._closes_after_answer = True
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """End an idle connection at once, any other after the answer to the request it has begun to send."""
        if self.phase is Phase.HEAD:
            self.close_after_answer()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._time_sending(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop(self._send_timer)

    def close_gently(self) -> None:
        """Close; where the client is in the middle of a request, only after it has closed or `LINGER_SECONDS`."""
        if self._real_transport is None or self._real_transport.is_closing():
            return
        if self.phase in (Phase.IDLE, Phase.OPENED):
            self._real_transport.close()
        elif self.phase is not Phase.LINGERING:
            self.phase = Phase.LINGERING
            self._stop(self._receive_timer)
            self.flow.resume_reading()
            if self._real_transport.can_write_eof():
                self._real_transport.write_eof()
            self._receive_timer = self.loop.call_later(LINGER_SECONDS, self._real_transport.abort)

    def _set_on_disconnect(self, callback: Callable[[], None] | None) -> None:
        self._on_disconnect = callback
        if callback is not None and self.parser is None:
            callback()

    def _refuse(self, status: int, message: str, extra: bytes = b"") -> None:
        """Answer without the application, and close."""
        if self.phase is Phase.LINGERING or self.transport.is_closing():
            return
        if self._is_next_to_be_answered():
            body = orjson.dumps({"error": message})
            phrase = HTTPStatus(status).phrase.encode("ascii")
            head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % (
                status,
                phrase,
                len(body),
            )
            self.transport.write(head + extra + b"connection: close\r\n\r\n" + body)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.phase = Phase.HEAD
        self.close_gently()

    def _is_next_to_be_answered(self) -> bool:
        """Whether no earlier request of the connection still waits for its answer."""
        if self.phase is Phase.BODY:
            return not self.cycle.response_started and not self.pipeline
        return self.cycle is None or self.cycle.response_complete

    def _head_too_large(self) -> str:
        return f"the request's head is larger than {self.limits.head_bytes} bytes or {MAX_HEADERS} headers"

    def _time_receipt(self) -> None:
        """Start a timer when the connection begins to wait for the rest of something, stop it when it came."""
        phase = self.phase
        if phase is Phase.LINGERING or (phase is Phase.IDLE and self._timed_phase is None):
            return
        if phase is self._timed_phase:
            return
        self._stop(self._receive_timer)
        self._timed_phase = None
        if phase is not Phase.IDLE and not self.transport.is_closing():
            self._timed_phase = phase
            seconds = self.limits.body_seconds if phase is Phase.BODY else self.limits.head_seconds
            self._receive_timer = self.loop.call_later(seconds, self._receipt_is_late, seconds)

    def _receipt_is_late(self, seconds: float) -> None:
        if self.flow.read_paused:  # the server itself holds the client back
            self._receive_timer = self.loop.call_later(seconds, self._receipt_is_late, seconds)
        elif self.phase is Phase.OPENED:
            self.transport.close()
        else:
            self._refuse(408, f"{self.phase.value} did not arrive within {seconds:g} seconds")

    def _time_sending(self, unsent: int) -> None:
        def check() -> None:
            left = self.transport.get_write_buffer_size()
            if left >= unsent:
                self.transport.abort()
            else:
                self._time_sending(left)

        self._stop(self._send_timer)
        self._send_timer = self.loop.call_later(self.limits.send_seconds, check)

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def _announces_body(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")


def limited_protocol(limits: ConnectionLimits) -> type[LimitedProtocol]:
    """A protocol class with these limits, for uvicorn to make connections of."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits})
