"""A bounded queue of pieces, kept in order of urgency within buckets of equal shapes. No locks and no clock in it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import count
from typing import TypeAlias

from rushlight.server.errors import QueueFull
from rushlight.server.request import Piece, Request

PATIENCE_SECONDS = 10.0
"""A request without a deadline is as urgent as one that arrived with this many seconds left, so it never starves."""

Urgency: TypeAlias = tuple[int, float, int]
"""Priority, deadline, order of arrival: smaller is more urgent, and no two are equal."""

Entry: TypeAlias = tuple[int, float, int, Piece]
"""A piece behind its urgency; sorting never comes to compare pieces."""


class BucketQueue:
    """Pieces whose inputs have the same sizes beside the batch axis."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.by_age: dict[int, Piece] = {}
        self.rows = 0

    @property
    def urgency(self) -> Urgency:
        return self.entries[0][:3]

    @property
    def head(self) -> Piece:
        return self.entries[0][3]

    def oldest_arrival(self) -> float:
        return next(iter(self.by_age.values())).request.arrival

    def add(self, urgency: Urgency, piece: Piece) -> None:
        insort(self.entries, (*urgency, piece))
        self.by_age[urgency[2]] = piece
        self.rows += piece.rows

    def pop(self, index: int = 0) -> Piece:
        _, _, order, piece = self.entries.pop(index)
        del self.by_age[order]
        self.rows -= piece.rows
        return piece


class Queue:
    """At most `capacity` pieces; `buckets` holds the buckets that have any."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.buckets: dict[object, BucketQueue] = {}
        self._places: dict[Piece, Urgency] = {}
        self._order = count()

    def __len__(self) -> int:
        return len(self._places)

    def push(self, request: Request, pieces: Sequence[Piece]) -> None:
        """Add all pieces of a request or, where they do not fit, none: `QueueFull`."""
        if len(self._places) + len(pieces) > self.capacity:
            raise QueueFull(f"the queue is full: {len(self._places)} of {self.capacity} places are taken")
        bucket = self.buckets.setdefault(request.bucket, BucketQueue())
        due = min(request.deadline, request.arrival + PATIENCE_SECONDS)
        for piece in pieces:
            urgency = (request.priority, due, next(self._order))
            self._places[piece] = urgency
            bucket.add(urgency, piece)

    def pop(self, bucket: BucketQueue) -> Piece:
        """Remove the most urgent piece of a bucket."""
        piece = bucket.pop()
        self._forget(piece, bucket)
        return piece

    def discard(self, request: Request) -> None:
        """Remove what is queued of a request; pieces that are running stay out of it."""
        bucket = self.buckets.get(request.bucket)
        for piece in request.pieces:
            urgency = self._places.get(piece)
            if bucket is not None and urgency is not None:
                bucket.pop(bisect_left(bucket.entries, (*urgency, piece)))
                self._forget(piece, bucket)

    def _forget(self, piece: Piece, bucket: BucketQueue) -> None:
        del self._places[piece]
        if not bucket.entries:
            del self.buckets[piece.request.bucket]
