"""What the parts of a running server share."""

from __future__ import annotations

from prometheus_client import generate_latest

from rushlight.server.accesslog import AccessLog
from rushlight.server.admission import Admission
from rushlight.server.infer import InferEndpoint
from rushlight.server.metrics import Metrics
from rushlight.server.models import Models
from rushlight.server.repository import Repository
from rushlight.server.settings import Settings


class ServerState:
    """Models, metrics and limits of one server process. `draining` is set once it was told to end."""

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.log = AccessLog(settings.access_log)
        self.admission = Admission(settings.max_body_bytes, settings.max_inflight_bytes)
        self.models = Models(repository, settings, self.metrics)
        self.infer = InferEndpoint(self.models, self.metrics, self.admission, self.log)
        self.draining = False
        self._closed = False

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return not self.draining

    def render_metrics(self) -> bytes:
        """All metrics in the text form that Prometheus reads."""
        for lane in self.models:
            lane.metrics.queue_depth.set(lane.depth)
        self.metrics.inflight.set(self.infer.inflight)
        self.metrics.inflight_bytes.set(self.admission.held)
        return generate_latest(self.metrics.registry)

    def close(self) -> None:
        """Run what is queued, then end the models' threads and the log. Idempotent."""
        self.draining = True
        if not self._closed:
            self._closed = True
            self.models.close()
            self.log.close()
