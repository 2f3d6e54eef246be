"""Everything of the protocol but inference: health, metadata, configuration, statistics, index; and `/metrics`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from rushlight._version import __version__
from rushlight.server.document import parse
from rushlight.server.errors import InvalidRequest
from rushlight.server.lane import Lane
from rushlight.server.state import ServerState

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics"]


def control_routes(state: ServerState) -> APIRouter:
    """The protocol's routes over a server's state."""
    router = APIRouter()

    @router.get("/v2", tags=["server"], summary="Name, version and protocol extensions of the server")
    async def server_metadata() -> dict[str, Any]:
        return {"name": "rushlight", "version": __version__, "extensions": EXTENSIONS}

    @router.get("/v2/health/live", tags=["health"], summary="Whether the server runs")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/v2/health/ready", tags=["health"], summary="Whether the server takes requests; 503 while it drains")
    async def ready(response: Response) -> dict[str, bool]:
        response.status_code = 200 if state.ready else 503
        return {"ready": state.ready}

    @router.get("/v2/models/stats", tags=["models"], summary="Statistics of all models")
    async def all_statistics() -> dict[str, Any]:
        return {"model_stats": [lane.statistics.document(lane.name, lane.version) for lane in state.models]}

    @router.post("/v2/repository/index", tags=["models"], summary="All models and their states")
    async def index(request: Request) -> list[dict[str, str]]:
        only_ready = _only_ready(await request.body())
        if only_ready and not state.ready:
            return []
        condition = {"state": "READY", "reason": ""} if state.ready else {"state": "UNAVAILABLE", "reason": "draining"}
        return [{"name": lane.name, "version": lane.version, **condition} for lane in state.models]

    def model_metadata(lane: Lane) -> dict[str, Any]:
        return {
            "name": lane.name,
            "versions": state.models.versions(lane.name),
            "platform": "rushlight",
            "inputs": [tensor.metadata() for tensor in lane.signature.inputs.values()],
            "outputs": [tensor.metadata() for tensor in lane.signature.outputs.values()],
        }

    def model_ready(lane: Lane) -> Any:
        body = {"name": lane.name, "ready": state.ready}
        return body if state.ready else JSONResponse(body, status_code=503)

    def model_statistics(lane: Lane) -> dict[str, Any]:
        return {"model_stats": [lane.statistics.document(lane.name, lane.version)]}

    def add_model_route(path: str, answer: Callable[[Lane], Any], summary: str) -> None:
        async def latest(model: str) -> Any:
            return answer(state.models.find(model))

        async def versioned(model: str, version: str) -> Any:
            return answer(state.models.find(model, version))

        for prefix, endpoint in (("", latest), ("/versions/{version}", versioned)):
            router.add_api_route(f"/v2/models/{{model}}{prefix}{path}", endpoint, summary=summary, tags=["models"])

    add_model_route("", model_metadata, "Inputs and outputs of a model")
    add_model_route("/ready", model_ready, "Whether a model takes requests; 503 while the server drains")
    add_model_route("/config", configuration, "How a model is batched")
    add_model_route("/stats", model_statistics, "Statistics of a model")

    @router.get("/metrics", tags=["server"], summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(state.render_metrics(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router


def configuration(lane: Lane) -> dict[str, Any]:
    """A model's configuration in the form that load generators of the protocol read."""
    batchable = lane.signature.batchable

    def tensors(described: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": tensor.name,
                "data_type": "TYPE_" + tensor.datatype,
                "dims": tensor.metadata()["shape"][1 if batchable else 0 :],
            }
            for tensor in described.values()
        ]

    return {
        "name": lane.name,
        "platform": "rushlight",
        "backend": "rushlight",
        "max_batch_size": lane.limits.max_batch if batchable else 0,
        "input": tensors(lane.signature.inputs),
        "output": tensors(lane.signature.outputs),
        "dynamic_batching": {"max_queue_delay_microseconds": round(lane.limits.max_delay * 1e6)},
    }


def _only_ready(body: bytes) -> bool:
    document = parse(body) if body.strip() else {}
    if not isinstance(document, dict) or not isinstance(flag := document.get("ready", False), bool):
        raise InvalidRequest("the body must be a JSON object; 'ready' in it is true or false")
    return flag
