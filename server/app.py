"""The ASGI application: the inference path in front, FastAPI for everything else."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast

import anyio.to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from rushlight._version import __version__
from rushlight.server.admission import Receive
from rushlight.server.control import control_routes
from rushlight.server.errors import ClientGone, RequestError
from rushlight.server.identity import request_id
from rushlight.server.infer import Scope, Send, error_response, infer_target
from rushlight.server.openapi import describe_inference
from rushlight.server.page import builtin_page
from rushlight.server.repository import Repository
from rushlight.server.settings import Settings
from rushlight.server.state import ServerState

logger = logging.getLogger(__name__)

Page: TypeAlias = Callable[[ServerState], APIRouter]
"""Makes the routes of a page at `/`, and any others, from the server's state: `state.models.infer` runs a model."""


class MethodNotAllowed(RequestError):
    """Inference wants POST."""

    status = 405


class Application:
    """ASGI callable. `state` is shared with the process that serves it."""

    def __init__(self, state: ServerState, control: FastAPI) -> None:
        self.state = state
        self.control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.control(cast(Any, scope), cast(Any, receive), cast(Any, send))
            return
        identity = request_id(scope["headers"])
        target = infer_target(scope["path"])
        if target is not None and scope["method"] == "POST":
            await self.state.infer(scope, receive, send, target, identity)
        else:
            await self._answer(scope, receive, send, identity, target is not None)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, identity: str, wants_post: bool) -> None:
        started = time.monotonic()
        status = 0

        async def send_with_id(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", identity.encode("ascii"))]
                message = {**message, "headers": headers}
            await send(message)

        try:
            if wants_post:
                raise MethodNotAllowed("inference is a POST request")
            with self.state.admission.hold() as held:
                held.expect(dict(scope["headers"]))
                await self.control(cast(Any, scope), cast(Any, held.counted(receive)), cast(Any, send_with_id))
        except RequestError as error:
            code, headers, content = error_response(error)
            if code == 405:
                headers.append((b"allow", b"POST"))
            headers.append((b"content-length", b"%d" % len(content)))
            await send_with_id({"type": "http.response.start", "status": code, "headers": headers})
            await send({"type": "http.response.body", "body": content})
        except ClientDisconnect:
            status = ClientGone.status
        except Exception:  # answered already, see `_answer_failure`
            logger.exception("request %s failed", identity)
        client = scope.get("client")
        self.state.log.record(
            scope["method"],
            scope["path"],
            status,
            time.monotonic() - started,
            identity,
            client[0] if client else None,
        )


def create_app(repository: Repository, settings: Settings, page: Page | None = None) -> Application:
    """The server of a repository's models as an ASGI application; `page` replaces the built-in page at `/`."""
    state = ServerState(repository, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(state.close)

    control = FastAPI(title="Rushlight", version=__version__, lifespan=lifespan)
    control.include_router(control_routes(state))
    control.include_router((page or builtin_page)(state))
    control.add_exception_handler(RequestError, _answer_error)
    control.add_exception_handler(HTTPException, _answer_error)
    control.add_exception_handler(RequestValidationError, _answer_error)
    control.add_exception_handler(Exception, _answer_failure)

    def openapi() -> dict[str, Any]:
        if control.openapi_schema is None:
            document = get_openapi(title=control.title, version=control.version, routes=control.routes)
            control.openapi_schema = describe_inference(document)
        return control.openapi_schema

    control.openapi = openapi  # type: ignore[method-assign]
    return Application(state, control)


async def _answer_failure(_: Request, __: Exception) -> Response:
    """What no handler expected. Starlette raises it again after this answer."""
    status, _headers, content = error_response(
        RequestError("internal error; the server's log says more under this request's id")
    )
    return Response(content, status, media_type="application/json")


async def _answer_error(request: Request, error: Exception) -> Response:
    """Errors of all kinds in the form of the protocol."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        answer = RequestError(f"{where}: {first['msg']}")
        answer.status = 400
    elif isinstance(error, HTTPException):
        answer = RequestError(f"{error.detail}: {request.method} {request.url.path[:200]}")
        answer.status = error.status_code
    else:
        answer = cast(RequestError, error)
    status, headers, content = error_response(answer)
    extra = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    decoded = {name.decode("ascii"): value.decode("ascii") for name, value in headers}
    return Response(content, status, {**extra, **decoded})
