"""The batcher with a clock of the test's own."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rushlight.server.batcher import Batcher, BatchLimits
from rushlight.server.errors import ClientGone, InvalidRequest, QueueFull, TimedOut
from rushlight.server.queue import PATIENCE_SECONDS
from rushlight.server.request import Piece, Request


def request(rows: int = 1, arrival: float = 0.0, length: int = 4, **options: Any) -> Request:
    array = np.arange(rows * length, dtype=np.float32).reshape(rows, length)
    return Request({"x": array}, rows, ((length,),), arrival, **options)


def finish(batch: list[Piece]) -> None:
    for piece in batch:
        piece.request.deliver(piece, {"y": piece.inputs()["x"] + 1})


def offer(batcher: Batcher, *requests: Request) -> None:
    for each in requests:
        batcher.offer(each)


def test_without_a_delay_everything_queued_runs_at_once() -> None:
    batcher = Batcher(BatchLimits(max_batch=4))
    assert batcher.ready_at(1.0) == inf
    assert batcher.take(1.0) == []
    requests = [request() for _ in range(6)]
    offer(batcher, *requests)
    assert batcher.ready_at(1.0) == 1.0
    assert [piece.request for piece in batcher.take(1.0)] == requests[:4]
    assert [piece.request for piece in batcher.take(1.0)] == requests[4:]
    assert len(batcher) == 0


def test_a_batch_waits_for_more_rows_until_it_is_full_or_the_delay_is_over() -> None:
    batcher = Batcher(BatchLimits(max_batch=4, max_delay=0.5))
    offer(batcher, request(arrival=1.0), request(arrival=1.2))
    assert batcher.ready_at(1.3) == 1.5
    assert batcher.take(1.4) == []
    assert len(batcher.take(1.5)) == 2
    offer(batcher, *[request(arrival=2.0) for _ in range(4)])
    assert len(batcher.take(2.0)) == 4


def test_the_delay_ends_early_for_a_deadline() -> None:
    batcher = Batcher(BatchLimits(max_batch=4, max_delay=5.0))
    batcher.record(0.25)
    offer(batcher, request(arrival=1.0, deadline=2.0))
    assert batcher.ready_at(1.0) == 1.75
    assert len(batcher.take(1.75)) == 1


def test_urgent_requests_go_first() -> None:
    batcher = Batcher(BatchLimits(max_batch=1))
    late, soon, first, low = (
        request(deadline=9.0),
        request(deadline=3.0),
        request(deadline=3.0),
        request(deadline=1.0, priority=2),
    )
    offer(batcher, low, late, soon, first)
    assert [batcher.take(0.0)[0].request for _ in range(4)] == [soon, first, late, low]


def test_requests_without_a_deadline_do_not_starve() -> None:
    batcher = Batcher(BatchLimits(max_batch=1))
    patient = request(arrival=0.0)
    offer(batcher, patient)
    for second in range(int(PATIENCE_SECONDS) + 2):
        offer(batcher, request(arrival=float(second), deadline=second + 1.0))
        if batcher.take(float(second))[0].request is patient:
            return
    pytest.fail("a request without a deadline waited behind all others")


def test_only_equal_shapes_share_a_batch() -> None:
    batcher = Batcher(BatchLimits(max_batch=8))
    short, long = request(length=3), request(length=5)
    offer(batcher, short, long, request(length=3))
    assert [piece.request.bucket for piece in batcher.take(0.0)] == [((3,),), ((3,),)]
    assert [piece.request for piece in batcher.take(0.0)] == [long]


def test_large_requests_are_split_and_joined_again() -> None:
    batcher = Batcher(BatchLimits(max_batch=4))
    large, small = request(rows=10), request(rows=2)
    offer(batcher, large, small)
    sizes = []
    while batch := batcher.take(0.0):
        sizes.append(sum(piece.rows for piece in batch))
        finish(batch)
    assert sizes == [4, 4, 4]
    assert large.arrays is not None
    np.testing.assert_array_equal(large.arrays["y"], large.inputs["x"] + 1)


def test_the_queue_is_bounded_and_takes_all_of_a_request_or_nothing() -> None:
    batcher = Batcher(BatchLimits(max_batch=2, queue=3))
    offer(batcher, request(rows=4))
    with pytest.raises(QueueFull):
        batcher.offer(request(rows=4))
    assert len(batcher) == 2
    offer(batcher, request(rows=2))
    with pytest.raises(QueueFull):
        batcher.offer(request())
    batcher.take(0.0)
    offer(batcher, request())
    with pytest.raises(InvalidRequest, match="more than the server takes at once, 6"):
        Batcher(BatchLimits(max_batch=2, queue=3)).offer(request(rows=7))


def test_requests_past_their_deadline_are_failed_not_run() -> None:
    batcher = Batcher(BatchLimits(max_batch=4))
    expired, alive = request(rows=6, deadline=1.0), request(deadline=5.0)
    offer(batcher, expired, alive)
    assert [piece.request for piece in batcher.take(1.0)] == [alive]
    assert isinstance(expired.error, TimedOut)
    assert len(batcher) == 0


def test_cancelled_requests_free_their_places() -> None:
    batcher = Batcher(BatchLimits(max_batch=2, queue=4))
    gone, stays = request(rows=6), request()
    offer(batcher, gone, stays)
    running = batcher.take(0.0)
    batcher.cancel(gone, ClientGone("gone"))
    assert len(batcher) == 1
    finish(running)
    assert gone.arrays is None
    assert isinstance(gone.error, ClientGone)
    assert [piece.request for piece in batcher.take(0.0)] == [stays]


def test_estimate_of_the_time_to_drain() -> None:
    batcher = Batcher(BatchLimits(max_batch=4))
    assert batcher.drain_seconds() == 0
    for _ in range(50):
        batcher.record(0.5)
    assert batcher.drain_seconds() == pytest.approx(0.5)
    offer(batcher, *[request() for _ in range(9)], *[request(length=7) for _ in range(4)])
    assert batcher.drain_seconds() == pytest.approx(0.5 * (3 + 1 + 1))


class BatcherMachine(RuleBasedStateMachine):
    """Any order of offers, cancellations, takes and results, against the promises of the batcher."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = BatchLimits(max_batch=4, max_delay=0.5, queue=8)
        self.batcher = Batcher(self.limits)
        self.now = 0.0
        self.open: list[Request] = []
        self.running: list[list[Piece]] = []
        self.seen: set[Piece] = set()

    @rule(
        rows=st.integers(1, 11),
        length=st.integers(1, 2),
        timeout=st.sampled_from([0.3, 2.0, inf]),
        priority=st.integers(0, 2),
    )
    def offer(self, rows: int, length: int, timeout: float, priority: int) -> None:
        new = request(rows, self.now, length, deadline=self.now + timeout, priority=priority)
        before, places = len(self.batcher), -(-rows // self.limits.max_batch)
        try:
            self.batcher.offer(new)
        except QueueFull:
            assert before + places > self.limits.queue
            assert len(self.batcher) == before
        else:
            assert len(self.batcher) == before + places
            self.open.append(new)

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.4, 1.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        ready_at = self.batcher.ready_at(self.now)
        assert ready_at >= self.now
        assert (ready_at == inf) == (len(self.batcher) == 0)
        batch = self.batcher.take(self.now)
        if ready_at > self.now:
            assert batch == []
        if not batch:
            return
        assert sum(piece.rows for piece in batch) <= self.limits.max_batch
        assert len({piece.request.bucket for piece in batch}) == 1
        assert all(piece.request.deadline > self.now for piece in batch)
        assert self.seen.isdisjoint(batch)
        self.seen.update(batch)
        self.running.append(batch)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        finish(self.running.pop(data.draw(st.integers(0, len(self.running) - 1))))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        one = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.batcher.cancel(one, ClientGone("gone"))

    @invariant()
    def results_are_right(self) -> None:
        for each in self.open:
            if each.arrays is not None:
                np.testing.assert_array_equal(each.arrays["y"], each.inputs["x"] + 1)
            elif each.error is not None:
                assert isinstance(each.error, TimedOut)
                assert each.deadline <= self.now

    def teardown(self) -> None:
        self.now += self.limits.max_delay
        while batch := self.batcher.take(self.now):
            finish(batch)
        for running in self.running:
            finish(running)
        assert len(self.batcher) == 0
        assert all(each.settled for each in self.open)


TestBatcherMachine = BatcherMachine.TestCase
TestBatcherMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50)), min_size=1, max_size=40))
def test_order_is_priority_then_deadline_then_arrival(urgencies: list[tuple[int, int]]) -> None:
    batcher = Batcher(BatchLimits(max_batch=1))
    requests = [request(deadline=due / 10, priority=priority) for priority, due in urgencies]
    offer(batcher, *requests)
    order = [batcher.take(0.0)[0].request for _ in requests]
    expected = sorted(requests, key=lambda each: (each.priority, each.deadline))
    assert order == expected
