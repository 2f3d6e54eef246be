"""A request as the batcher knows it: rows of arrays, an urgency and a place for the result. No HTTP in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np

from rushlight.server.contract import Arrays
from rushlight.server.signature import Bucket


@dataclass(eq=False, slots=True)
class Request:
    """`rows` rows that want to run. Times are seconds of one monotonic clock; smaller `priority` goes first.

    A request larger than a batch is queued as several pieces; `arrays` or `error` is there when all have come back.
    """

    inputs: Arrays
    rows: int
    bucket: Bucket
    arrival: float
    deadline: float = inf
    priority: int = 0
    arrays: Arrays | None = None
    error: BaseException | None = None
    queued_seconds: float = 0.0
    compute_seconds: float = 0.0
    pieces: list[Piece] = field(default_factory=list)
    missing: int = 0

    def split(self, limit: int) -> list[Piece]:
        """Cut into pieces of at most `limit` rows."""
        starts = range(0, self.rows, limit)
        self.pieces = [Piece(self, start, min(start + limit, self.rows)) for start in starts]
        self.missing = len(self.pieces)
        return self.pieces

    @property
    def settled(self) -> bool:
        """Whether the result, or an error, is there."""
        return self.arrays is not None or self.error is not None

    def fail(self, error: BaseException) -> None:
        """Give up on the whole request."""
        if not self.settled:
            self.error = error
            self.pieces = []

    def deliver(self, piece: Piece, arrays: Arrays) -> None:
        """Take the result of one piece; the last one completes the request."""
        if self.settled:
            return
        piece.arrays = arrays
        self.missing -= 1
        if self.missing:
            return
        parts = [other.arrays for other in self.pieces if other.arrays is not None]
        self.pieces = []
        if len(parts) == 1:
            self.arrays = arrays
        else:
            self.arrays = {name: np.concatenate([part[name] for part in parts]) for name in arrays}


@dataclass(eq=False, slots=True)
class Piece:
    """Rows `start` to `stop` of a request: what a batch is made of."""

    request: Request
    start: int
    stop: int
    arrays: Arrays | None = None

    @property
    def rows(self) -> int:
        return self.stop - self.start

    def inputs(self) -> Arrays:
        """Views of the request's rows."""
        request = self.request
        if self.rows == request.rows:
            return request.inputs
        return {name: array[self.start : self.stop] for name, array in request.inputs.items()}
