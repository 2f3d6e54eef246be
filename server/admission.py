"""Request bodies: bounded each, and bounded together, so that memory cannot run out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from rushlight.server.errors import BodyTooLarge, ClientGone, InvalidRequest, Overloaded, UnsupportedEncoding

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Admission:
    """Counts the bytes of all bodies that are held; `max_body` for one of them, `max_total` for all."""

    def __init__(self, max_body: int, max_total: int) -> None:
        self.max_body = max_body
        self.max_total = max_total
        self.held = 0

    def hold(self) -> Body:
        """An empty body; what it takes is given back when its `with` block ends."""
        return Body(self)


class Body:
    """The bytes of one request."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._held = 0

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        self._admission.held -= self._held

    def _check(self, size: int) -> None:
        if size > self._admission.max_body:
            raise BodyTooLarge(f"the body is larger than {self._admission.max_body} bytes")
        if self._admission.held - self._held + size > self._admission.max_total:
            raise Overloaded("the server holds as many request bodies as it can", retry_after=1)

    def _take(self, size: int) -> None:
        self._check(size)
        self._admission.held += size - self._held
        self._held = size

    def expect(self, headers: Mapping[bytes, bytes]) -> None:
        """Refuse a body whose declared length shows that it cannot be held."""
        declared = headers.get(b"content-length")
        if declared is not None:
            if not declared.isdigit() or len(declared) > 18:
                raise InvalidRequest("Content-Length is not a number")
            self._check(int(declared))

    def counted(self, receive: Receive) -> Receive:
        """`receive` for a reader that keeps the whole body."""

        async def counting() -> Mapping[str, Any]:
            message = await receive()
            self._take(self._held + len(message.get("body", b"")))
            return message

        return counting

    async def read(self, receive: Receive, headers: Mapping[bytes, bytes]) -> bytes:
        """Read the whole body. Nothing is read where the headers already show that it will be refused."""
        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"identity", b""):
            raise UnsupportedEncoding(f"content encoding '{encoding.decode('latin-1')[:40]}' is not supported")
        self.expect(headers)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientGone("the client closed the connection")
            chunk = message.get("body", b"")
            size += len(chunk)
            self._take(size)
            if not message.get("more_body", False):
                return b"".join([*chunks, chunk]) if chunks else bytes(chunk)
            chunks.append(chunk)
