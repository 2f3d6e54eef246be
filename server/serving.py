"""One server process: a bound socket, an application, and an orderly end."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from math import inf
from types import FrameType
from typing import Any, cast

import uvicorn

from rushlight.runtime.errors import RushlightError
from rushlight.server.app import Application, Page, create_app
from rushlight.server.connection import ConnectionLimits, LimitedProtocol, limited_protocol
from rushlight.server.repository import Repository
from rushlight.server.settings import Settings

logger = logging.getLogger(__name__)

_BACKLOG = 2048
_FILES_BESIDE_CONNECTIONS = 128
_INTERRUPTED = 130


class BindError(RushlightError):
    """The address cannot be listened on."""


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address, not yet listening. `BindError` where it is taken or does not exist."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BindError(f"cannot listen on {host}: {error.strerror}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.set_inheritable(True)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise BindError(f"port {port} on {host} is in use; choose another with --port") from None
        raise BindError(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    return bound


def address_of(bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """The first SIGTERM or SIGINT drains, a second one ends the process at once."""

    def __init__(
        self, config: uvicorn.Config, application: Application, drain_delay: float, on_started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._application = application
        self._drain_delay = drain_delay
        self._on_started = on_started
        self._stops_at = inf

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    async def on_tick(self, counter: int) -> bool:
        if self._application.state.draining:
            for connection in self.server_state.connections:
                cast(LimitedProtocol, connection).close_after_answer()
        return await super().on_tick(counter) or time.monotonic() >= self._stops_at

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._application.state.draining:
            os._exit(_INTERRUPTED)
        self._application.state.draining = True
        self._stops_at = time.monotonic() + self._drain_delay


def build_server(
    repository: Repository,
    settings: Settings,
    page: Page | None = None,
    on_started: Callable[[], None] = lambda: None,
) -> Server:
    """A server of a repository's models. `on_started` is called when connections are accepted."""
    application = create_app(repository, settings, page)
    limits = ConnectionLimits(
        head_bytes=int(settings.max_header_kb * 1024),
        head_seconds=settings.header_timeout_s,
        body_seconds=settings.body_timeout_s,
        send_seconds=settings.send_timeout_s,
        connections=settings.max_connections,
    )
    config = uvicorn.Config(
        cast(Any, application),
        loop="uvloop",
        http=limited_protocol(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=cast(int, settings.keep_alive_s),
        backlog=_BACKLOG,
    )
    return Server(config, application, settings.drain_delay_s, on_started)


def serve(
    repository: Repository,
    settings: Settings,
    bound: socket.socket,
    page: Page | None = None,
    on_started: Callable[[], None] = lambda: None,
) -> int:
    """Serve until a signal ends it; 0 once every accepted request is answered. Closes the socket.

    Must run on the process's main thread, where signals arrive.
    """
    _raise_file_limit(settings.max_connections + _FILES_BESIDE_CONNECTIONS)
    server = build_server(repository, settings, page, on_started)
    with _quiet_uvicorn():
        server.run(sockets=[bound])
    return 0


@contextlib.contextmanager
def _quiet_uvicorn() -> Iterator[None]:
    """Refused requests are in the metrics and, answered as errors, in the log; uvicorn's own lines would flood it."""
    uvicorn_logger = logging.getLogger("uvicorn.error")
    level = uvicorn_logger.level
    uvicorn_logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        uvicorn_logger.setLevel(level)


def _raise_file_limit(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        logger.warning("the system allows %d open files, too few for the connections of the settings", allowed)
