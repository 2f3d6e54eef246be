"""Threads that run batches: they wait for one, run it, and hand all its results over at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

import numpy as np

from rushlight.runtime.errors import RushlightError, ShapeError
from rushlight.server.batcher import Batcher
from rushlight.server.contract import Arrays, Model
from rushlight.server.errors import InvalidRequest, ModelFailed
from rushlight.server.request import Piece
from rushlight.server.signature import Signature

logger = logging.getLogger(__name__)

Outcome: TypeAlias = Arrays | Exception


@dataclass(frozen=True)
class FinishedBatch:
    """Outcomes in the order of the pieces; `started` and `seconds` are on the monotonic clock."""

    pieces: Sequence[Piece]
    outcomes: Sequence[Outcome]
    rows: int
    started: float
    seconds: float


class Worker:
    """Runs one model's batches on `threads` threads, of which the server lets `slots` run at a time.

    `condition` guards the batcher; whoever offers a request notifies it. `deliver` is called from the threads, once a
    batch.
    """

    def __init__(
        self,
        name: str,
        model: Model,
        signature: Signature,
        batcher: Batcher,
        condition: threading.Condition,
        slots: threading.Semaphore,
        deliver: Callable[[FinishedBatch], None],
        threads: int = 1,
    ) -> None:
        self._model = model
        self._signature = signature
        self._batcher = batcher
        self._condition = condition
        self._slots = slots
        self._deliver = deliver
        self._closing = False
        self._threads = [
            threading.Thread(target=self._loop, name=f"rushlight-{name}-{index}", daemon=True)
            for index in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Run what is queued, then end the threads."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    def _loop(self) -> None:
        while self._wait():
            with self._slots:
                with self._condition:
                    pieces = self._batcher.take(time.monotonic())
                if pieces:
                    self._run(pieces)

    def _wait(self) -> bool:
        """Sleep until a batch may be ready; False when there is nothing left to do for ever."""
        with self._condition:
            while True:
                now = time.monotonic()
                ready_at = self._batcher.ready_at(now)
                if ready_at <= now:
                    return True
                if self._closing and ready_at == inf:
                    return False
                self._condition.wait(None if ready_at == inf else ready_at - now)

    def _run(self, pieces: list[Piece]) -> None:
        started = time.monotonic()
        outcomes = run_batch(self._model, self._signature, pieces)
        seconds = time.monotonic() - started
        with self._condition:
            self._batcher.record(seconds)
        self._deliver(FinishedBatch(pieces, outcomes, sum(piece.rows for piece in pieces), started, seconds))


def run_batch(model: Model, signature: Signature, pieces: Sequence[Piece]) -> list[Outcome]:
    """Run pieces together; where that fails, each alone, so that a bad one cannot fail its neighbours."""
    if len(pieces) > 1:
        try:
            inputs = [piece.inputs() for piece in pieces]
            merged = {name: np.concatenate([arrays[name] for arrays in inputs]) for name in signature.inputs}
            return _split(_run_checked(model, signature, merged, sum(piece.rows for piece in pieces)), pieces)
        except Exception as error:
            logger.warning("a batch of %d requests failed, running each alone: %s", len(pieces), error)
    return [_run_alone(model, signature, piece) for piece in pieces]


def _run_checked(model: Model, signature: Signature, inputs: Arrays, rows: int) -> Arrays:
    outputs = dict(model.run(inputs))
    for name in signature.outputs:
        if signature.batchable and outputs[name].shape[:1] != (rows,):
            raise ModelFailed(f"the model gave output '{name}' of shape {outputs[name].shape} for {rows} rows")
    return outputs


def _split(outputs: Arrays, pieces: Sequence[Piece]) -> list[Outcome]:
    stops = np.cumsum([piece.rows for piece in pieces]).tolist()
    return [
        {name: array[stop - piece.rows : stop] for name, array in outputs.items()}
        for piece, stop in zip(pieces, stops, strict=True)
    ]


def _run_alone(model: Model, signature: Signature, piece: Piece) -> Outcome:
    try:
        return _run_checked(model, signature, piece.inputs(), piece.rows)
    except ShapeError as error:
        return InvalidRequest(str(error))
    except RushlightError as error:
        return ModelFailed(str(error))
    except MemoryError:
        return ModelFailed("the model ran out of memory")
    except Exception:
        logger.exception("the model failed")
        return ModelFailed("the model failed; the server's log says why")
