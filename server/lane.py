"""A version of a model that is being served: its queue, its threads and its numbers, behind one `submit`."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from math import ceil, inf

from rushlight.server.batcher import Batcher, BatchLimits
from rushlight.server.contract import Array, Arrays, Model
from rushlight.server.errors import InvalidRequest, ModelFailed, Overloaded, QueueFull, TimedOut
from rushlight.server.metrics import Metrics
from rushlight.server.request import Request
from rushlight.server.signature import Signature
from rushlight.server.statistics import Statistics
from rushlight.server.worker import FinishedBatch, Worker


class Lane:
    """Used from one event loop; the model runs on the lane's own threads.

    `priority_levels`: how many priorities clients may choose from, 1 is the highest and the lowest is what they get by
    default; 0 ignores their choice.
    """

    def __init__(
        self,
        name: str,
        version: str,
        model: Model,
        limits: BatchLimits,
        slots: threading.Semaphore,
        metrics: Metrics,
        threads: int = 1,
        priority_levels: int = 0,
    ) -> None:
        self.name = name
        self.version = version
        self.signature = Signature(model)
        if not self.signature.batchable:
            limits = BatchLimits(max_batch=1, queue=limits.queue)
        self.limits = limits
        self.metrics = metrics.of_model(name, version)
        self.statistics = Statistics()
        self._priority_levels = priority_levels
        self._batcher = Batcher(limits)
        self._condition = threading.Condition()
        self._waiting: dict[Request, asyncio.Future[Request]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        label = f"{name}-{version}"
        self._worker = Worker(
            label, model, self.signature, self._batcher, self._condition, slots, self._post, threads=threads
        )

    @property
    def depth(self) -> int:
        """Pieces that wait in the queue."""
        return len(self._batcher)

    def submit(
        self, inputs: Mapping[str, Array], timeout: float = inf, priority: int = 0
    ) -> tuple[Request, asyncio.Future[Request]]:
        """Queue a request; the future gives it back with `arrays` set, or raises its error.

        `timeout` in seconds covers queue and run. Raises `InvalidRequest`, `QueueFull` or `Overloaded` at once.
        """
        rows, bucket = self.signature.check(inputs)
        now = time.monotonic()
        request = Request(dict(inputs), rows, bucket, now, now + timeout, self._priority(priority))
        loop = asyncio.get_running_loop()
        with self._condition:
            if self._closing:
                raise Overloaded("the server is shutting down", retry_after=1)
            try:
                self._batcher.offer(request)
            except QueueFull as error:
                raise QueueFull(str(error), max(1, ceil(self._batcher.drain_seconds()))) from None
            self._condition.notify()
        self._loop = loop
        future: asyncio.Future[Request] = loop.create_future()
        self._waiting[request] = future
        if timeout < inf:
            timer = loop.call_later(timeout, self.cancel, request, TimedOut("the request's timeout passed"))
            future.add_done_callback(lambda _: timer.cancel())
        return request, future

    async def infer(self, inputs: Mapping[str, Array], timeout: float = inf, priority: int = 0) -> Arrays:
        """Outputs by name; batched with whatever else is queued. A cancelled caller leaves the queue."""
        request, future = self.submit(inputs, timeout, priority)
        try:
            await future
        except asyncio.CancelledError as error:
            self.cancel(request, error)
            raise
        return {} if request.arrays is None else request.arrays

    def cancel(self, request: Request, error: BaseException) -> None:
        """Give a request up: it leaves the queue, and its future raises `error` unless it is done already."""
        with self._condition:
            self._batcher.cancel(request, error)
        self._settle(request)

    def close(self) -> None:
        """Refuse new requests, run the queued ones, end the threads."""
        with self._condition:
            self._closing = True
        self._worker.close()

    def _priority(self, asked: int) -> int:
        if self._priority_levels == 0:
            return 0
        if asked > self._priority_levels:
            raise InvalidRequest(f"parameter 'priority' must be from 0 to {self._priority_levels}")
        return asked or self._priority_levels

    def _post(self, batch: FinishedBatch) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._deliver, batch)

    def _deliver(self, batch: FinishedBatch) -> None:
        self.metrics.batch_size.observe(batch.rows)
        self.metrics.compute_seconds.observe(batch.seconds)
        self.statistics.batch(batch.rows, batch.seconds)
        for piece, outcome in zip(batch.pieces, batch.outcomes, strict=True):
            request = piece.request
            request.queued_seconds = max(request.queued_seconds, batch.started - request.arrival)
            request.compute_seconds += batch.seconds
            if isinstance(outcome, Exception):
                self.cancel(request, outcome)
                continue
            try:
                request.deliver(piece, outcome)
            except (ValueError, MemoryError) as error:
                self.cancel(request, ModelFailed(f"the outputs of a large request do not join: {error}"))
            self._settle(request)

    def _settle(self, request: Request) -> None:
        if not request.settled:
            return
        future = self._waiting.pop(request, None)
        if future is None or future.done():
            return
        if request.error is not None:
            future.set_exception(request.error)
        else:
            self.metrics.queue_seconds.observe(request.queued_seconds)
            future.set_result(request)
