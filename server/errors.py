"""What the server answers with when it does not answer with a result: one class a cause, each with its HTTP status."""

from __future__ import annotations

from rushlight.runtime.errors import RushlightError


class RequestError(RushlightError):
    """A request that gets an error document. `retry_after` is in whole seconds, None where a retry cannot help."""

    status = 500

    def __init__(self, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidRequest(RequestError):
    """The request contradicts the protocol or the model's signature."""

    status = 400


class NotFound(RequestError):
    """There is no such model, version or page."""

    status = 404


class BodyTooLarge(RequestError):
    """The body is larger than the server reads."""

    status = 413


class UnsupportedEncoding(RequestError):
    """The body has a content encoding that the server does not decode."""

    status = 415


class QueueFull(RequestError):
    """The model's queue has no room."""

    status = 429


class Overloaded(RequestError):
    """The whole server has no room, or it drains before it ends."""

    status = 503


class TimedOut(RequestError):
    """The request's own timeout passed before its result was there."""

    status = 503


class ModelFailed(RequestError):
    """The model raised something that is not the request's fault."""

    status = 500


class ClientGone(RequestError):
    """The client closed the connection before the answer; only logs and metrics see this status."""

    status = 499
