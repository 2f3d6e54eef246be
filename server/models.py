"""The models that a server serves: finds the lane of a name and version, closes them all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping

from rushlight.server.batcher import BatchLimits
from rushlight.server.contract import Array, Arrays
from rushlight.server.errors import NotFound
from rushlight.server.lane import Lane
from rushlight.server.metrics import Metrics
from rushlight.server.repository import Repository
from rushlight.server.settings import Settings


class Models:
    """Lanes by name and version; the latest version answers where none is asked for."""

    def __init__(self, repository: Repository, settings: Settings, metrics: Metrics) -> None:
        slots = threading.Semaphore(settings.max_running or len(os.sched_getaffinity(0)))
        self._lanes: dict[str, dict[str, Lane]] = {}
        for name, versions in repository.models.items():
            own = settings.of_model(name)
            limits = BatchLimits(own.max_batch, own.max_delay_ms / 1000, own.queue)
            for version in sorted(versions, key=int):
                self._lanes.setdefault(name, {})[version] = Lane(
                    name,
                    version,
                    versions[version],
                    limits,
                    slots,
                    metrics,
                    threads=own.instances,
                    priority_levels=own.priority_levels,
                )

    def __iter__(self) -> Iterator[Lane]:
        return (lane for versions in self._lanes.values() for lane in versions.values())

    def find(self, name: str, version: str | None = None) -> Lane:
        """The lane of a model; `NotFound` where there is none."""
        versions = self._lanes.get(name)
        if versions is None:
            raise NotFound(f"there is no model '{name[:200]}'")
        if version is None:
            return next(reversed(versions.values()))
        if version not in versions:
            raise NotFound(f"model '{name}' has no version '{version[:200]}'; it has {', '.join(versions)}")
        return versions[version]

    def versions(self, name: str) -> list[str]:
        """Version numbers of a model, oldest first."""
        return list(self._lanes[name])

    async def infer(self, name: str, inputs: Mapping[str, Array], version: str | None = None) -> Arrays:
        """Run a model, batched with everybody's requests: for pages and routes of the server's own process."""
        return await self.find(name, version).infer(inputs)

    def close(self) -> None:
        """Run what is queued and end all threads."""
        for lane in self:
            lane.close()
