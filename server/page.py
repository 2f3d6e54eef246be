"""The built-in page at `/`: the models, their live numbers and a form that tries them."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

from rushlight.server.state import ServerState


def builtin_page(state: ServerState) -> APIRouter:
    """A router with the page. It reads everything it shows from the protocol's own routes."""
    router = APIRouter()
    html = files(__package__).joinpath("page.html").read_bytes()
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
    )

    @router.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(html, media_type="text/html", headers={"content-security-policy": policy})

    return router
