"""The batching policy: which pieces run together, and when. Pure: requests and times go in, batches come out."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf

from rushlight.server.errors import InvalidRequest, TimedOut
from rushlight.server.queue import BucketQueue, Queue
from rushlight.server.request import Piece, Request

_SMOOTHING = 0.2


@dataclass(frozen=True)
class BatchLimits:
    """`max_batch` rows in a batch, `max_delay` seconds that a batch waits for more rows, `queue` places for pieces."""

    max_batch: int = 32
    max_delay: float = 0.0
    queue: int = 1024


class Batcher:
    """Forms batches of one bucket, most urgent request first.

    Work-conserving: a batch is ready when it is full, when its oldest piece has waited `max_delay`, or when waiting
    would make its most urgent piece miss its deadline. With `max_delay` 0 it is ready as soon as anything is queued.
    """

    def __init__(self, limits: BatchLimits) -> None:
        self.limits = limits
        self.queue = Queue(limits.queue)
        self.batch_seconds = 0.0

    def __len__(self) -> int:
        return len(self.queue)

    def offer(self, request: Request) -> None:
        """Queue a request, in pieces of at most `max_batch` rows.

        `QueueFull` where there is no room now, `InvalidRequest` where there never would be.
        """
        if ceil(request.rows / self.limits.max_batch) > self.limits.queue:
            raise InvalidRequest(
                f"a batch of {request.rows} rows is more than the server takes at once, "
                f"{self.limits.queue * self.limits.max_batch}"
            )
        self.queue.push(request, request.split(self.limits.max_batch))

    def cancel(self, request: Request, error: BaseException) -> None:
        """Fail a request and free its places; where its last pieces run already, their results are dropped."""
        self.queue.discard(request)
        request.fail(error)

    def take(self, now: float) -> list[Piece]:
        """The batch to run now, empty if none is ready. Pieces whose deadline has passed are failed, not returned."""
        batch: list[Piece] = []
        while not batch:
            bucket = self._most_urgent_ready(now)
            if bucket is None:
                break
            rows = 0
            while bucket.entries and rows + bucket.head.rows <= self.limits.max_batch:
                piece = self.queue.pop(bucket)
                if piece.request.deadline <= now:
                    self.cancel(piece.request, TimedOut("the request's timeout passed while it was queued"))
                    continue
                batch.append(piece)
                rows += piece.rows
        return batch

    def ready_at(self, now: float) -> float:
        """The earliest time at which `take` can return a batch, `inf` while nothing is queued."""
        return min((self._ready_at(bucket, now) for bucket in self.queue.buckets.values()), default=inf)

    def record(self, seconds: float) -> None:
        """Learn how long a batch takes."""
        self.batch_seconds += (seconds - self.batch_seconds) * (_SMOOTHING if self.batch_seconds else 1.0)

    def drain_seconds(self) -> float:
        """Estimate of how long the queue takes to empty, in seconds, from its length and the measured batches."""
        batches = sum(ceil(bucket.rows / self.limits.max_batch) for bucket in self.queue.buckets.values())
        return (batches + 1) * self.batch_seconds

    def _most_urgent_ready(self, now: float) -> BucketQueue | None:
        ready = (bucket for bucket in self.queue.buckets.values() if self._ready_at(bucket, now) <= now)
        return min(ready, key=lambda bucket: bucket.urgency, default=None)

    def _ready_at(self, bucket: BucketQueue, now: float) -> float:
        if bucket.rows >= self.limits.max_batch or self.limits.max_delay == 0:
            return now
        full_delay = bucket.oldest_arrival() + self.limits.max_delay
        last_start = bucket.head.request.deadline - self.batch_seconds
        return max(now, min(full_delay, last_start))
