"""One served model: batching, splitting, isolation, timeouts, cancellation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import pytest

from rushlight.runtime.errors import ShapeError
from rushlight.server.batcher import BatchLimits
from rushlight.server.errors import ClientGone, InvalidRequest, ModelFailed, Overloaded, QueueFull, TimedOut
from rushlight.server.lane import Lane
from rushlight.server.metrics import Metrics

T = TypeVar("T")
Fakes = Any
Serve = Callable[..., Any]


def serve(
    model: Any, body: Callable[[Lane], Awaitable[T]], threads: int = 1, priority_levels: int = 0, **limits: Any
) -> T:
    """Run `body` with a lane of the model, and close the lane."""
    slots = threading.Semaphore(4)

    async def run() -> T:
        lane = Lane("m", "1", model, BatchLimits(**limits), slots, Metrics(), threads, priority_levels)
        try:
            return await body(lane)
        finally:
            model.release.set()
            await asyncio.to_thread(lane.close)

    return asyncio.run(run())


async def queued(lane: Lane, depth: int) -> None:
    """Wait until so many pieces are in the queue."""
    for _ in range(3000):
        if lane.depth == depth:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"the queue has {lane.depth} pieces, not {depth}")


def test_requests_that_wait_share_a_batch_and_get_their_own_rows(fakes: Fakes) -> None:
    model = fakes.affine()
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((rows, 4)).astype(np.float32) for rows in (1, 3, 2, 1, 5)]

    async def body(lane: Lane) -> list[Any]:
        model.hold()
        first = asyncio.create_task(lane.infer({"x": arrays[0]}))
        await asyncio.to_thread(model.wait_for_run)
        rest = [asyncio.create_task(lane.infer({"x": array})) for array in arrays[1:]]
        await queued(lane, 4)
        model.release.set()
        return await asyncio.gather(first, *rest)

    outputs = serve(model, body)
    assert model.runs == [1, 11]
    for array, output in zip(arrays, outputs, strict=True):
        assert output["y"].tobytes() == (array * np.float32(2) + 1).tobytes()


def test_large_requests_come_back_whole(fakes: Fakes) -> None:
    model = fakes.affine()
    x = np.arange(40, dtype=np.float32).reshape(10, 4)
    outputs = serve(model, lambda lane: lane.infer({"x": x}), max_batch=4)
    assert model.runs == [4, 4, 2]
    np.testing.assert_array_equal(outputs["y"], x * 2 + 1)


def test_a_bad_request_does_not_fail_its_neighbours(fakes: Fakes) -> None:
    model = fakes.picky()
    arrays = [np.full((1, 2), value, np.int32) for value in (1, 2, -3, 4)]

    async def body(lane: Lane) -> list[Any]:
        model.hold()
        first = asyncio.create_task(lane.infer({"x": arrays[0]}))
        await asyncio.to_thread(model.wait_for_run)
        rest = [asyncio.create_task(lane.infer({"x": array})) for array in arrays[1:]]
        await queued(lane, 3)
        model.release.set()
        return await asyncio.gather(first, *rest, return_exceptions=True)

    outcomes = serve(model, body)
    assert model.runs == [1, 3, 1, 1, 1]
    assert isinstance(outcomes[2], ModelFailed)
    assert [outcomes[i]["y"].tolist() for i in (0, 1, 3)] == [[[2, 2]], [[3, 3]], [[5, 5]]]


@pytest.mark.parametrize(
    ("raised", "answered"),
    [
        (ShapeError("L is too long"), InvalidRequest),
        (MemoryError(), ModelFailed),
        (KeyError("x"), ModelFailed),
    ],
)
def test_errors_of_the_model(fakes: Fakes, raised: Exception, answered: type[Exception]) -> None:
    def fail(x: Any) -> Any:
        raise raised

    model = fakes.affine()
    model.function = fail
    with pytest.raises(answered):
        serve(model, lambda lane: lane.infer({"x": np.ones((1, 4), np.float32)}))


def test_outputs_without_the_right_number_of_rows_are_an_error(fakes: Fakes) -> None:
    model = fakes.affine()
    model.function = lambda x: {"y": x[:1]}
    with pytest.raises(ModelFailed, match="for 2 rows"):
        serve(model, lambda lane: lane.infer({"x": np.ones((2, 4), np.float32)}))


def test_outputs_that_do_not_join_are_an_error(fakes: Fakes) -> None:
    model = fakes.affine()
    model.function = lambda x: {"y": np.zeros((len(x), int(x[0, 0])), np.float32)}
    x = np.array([[1] * 4] * 2 + [[2] * 4] * 2, np.float32)
    with pytest.raises(ModelFailed, match="do not join"):
        serve(model, lambda lane: lane.infer({"x": x}), max_batch=2)


def test_models_without_a_batch_axis_run_one_request_at_a_time(fakes: Fakes) -> None:
    model = fakes.static()
    x = np.arange(6, dtype=np.float32).reshape(2, 3)

    async def body(lane: Lane) -> list[Any]:
        return await asyncio.gather(*[lane.infer({"x": x + i}) for i in range(5)])

    outputs = serve(model, body, max_delay=0.01)
    assert model.runs == [2] * 5
    for i, output in enumerate(outputs):
        np.testing.assert_array_equal(output["y"], (x + i).T)


def test_timeouts_are_prompt_even_while_the_model_runs(fakes: Fakes) -> None:
    model = fakes.affine()
    x = np.ones((1, 4), np.float32)

    async def body(lane: Lane) -> None:
        model.hold()
        running = asyncio.create_task(lane.infer({"x": x}, timeout=2.0))
        await asyncio.to_thread(model.wait_for_run)
        with pytest.raises(TimedOut):
            await lane.infer({"x": x}, timeout=0.05)
        assert lane.depth == 0
        with pytest.raises(TimedOut):
            await running
        model.release.set()
        await lane.infer({"x": x})

    serve(model, body)
    assert model.runs == [1, 1]


def test_cancelled_requests_leave_the_queue(fakes: Fakes) -> None:
    model = fakes.affine()
    x = np.ones((1, 4), np.float32)

    async def body(lane: Lane) -> None:
        model.hold()
        first = asyncio.create_task(lane.infer({"x": x}))
        await asyncio.to_thread(model.wait_for_run)
        second = asyncio.create_task(lane.infer({"x": x}))
        request, future = lane.submit({"x": x})
        await queued(lane, 2)
        second.cancel()
        lane.cancel(request, ClientGone("gone"))
        with pytest.raises(ClientGone):
            await future
        await queued(lane, 0)
        model.release.set()
        await first
        with pytest.raises(asyncio.CancelledError):
            await second

    serve(model, body)
    assert model.runs == [1]


def test_a_full_queue_refuses_with_a_time_to_come_back(fakes: Fakes) -> None:
    model = fakes.affine()
    x = np.ones((1, 4), np.float32)

    async def body(lane: Lane) -> None:
        model.hold()
        tasks = [asyncio.create_task(lane.infer({"x": x}))]
        await asyncio.to_thread(model.wait_for_run)
        tasks += [asyncio.create_task(lane.infer({"x": x})) for _ in range(2)]
        await queued(lane, 2)
        with pytest.raises(QueueFull) as caught:
            await lane.infer({"x": x})
        assert caught.value.status == 429
        assert caught.value.retry_after is not None
        assert caught.value.retry_after >= 1
        model.release.set()
        await asyncio.gather(*tasks)
        await lane.infer({"x": x})

    serve(model, body, queue=2)


def test_priorities(fakes: Fakes) -> None:
    model = fakes.affine()

    async def body(lane: Lane) -> list[float]:
        model.hold()
        done: list[float] = []

        async def ask(value: float, priority: int) -> None:
            await lane.infer({"x": np.full((1, 4), value, np.float32)}, priority=priority)
            done.append(value)

        tasks = [asyncio.create_task(ask(0, 0))]
        await asyncio.to_thread(model.wait_for_run)
        tasks += [asyncio.create_task(ask(value, priority)) for value, priority in ((1, 0), (2, 2), (3, 1), (4, 3))]
        await queued(lane, 4)
        with pytest.raises(InvalidRequest, match="from 0 to 3"):
            await ask(5, 4)
        model.release.set()
        await asyncio.gather(*tasks)
        return done

    assert serve(model, body, max_batch=1, priority_levels=3) == [0, 3, 2, 1, 4]


def test_two_instances_run_at_the_same_time(fakes: Fakes) -> None:
    model = fakes.affine()
    x = np.ones((1, 4), np.float32)

    async def body(lane: Lane) -> None:
        model.hold()
        tasks = [asyncio.create_task(lane.infer({"x": x})) for _ in range(2)]
        for _ in range(2):
            await asyncio.to_thread(model.wait_for_run)
        model.release.set()
        await asyncio.gather(*tasks)

    serve(model, body, threads=2, max_batch=1)


def test_closing_finishes_what_is_queued_and_refuses_more(fakes: Fakes) -> None:
    model = fakes.affine()
    x = np.ones((1, 4), np.float32)

    async def body(lane: Lane) -> None:
        model.hold()
        tasks = [asyncio.create_task(lane.infer({"x": x})) for _ in range(3)]
        await asyncio.to_thread(model.wait_for_run)
        closing = asyncio.create_task(asyncio.to_thread(lane.close))
        while True:
            try:
                lane.submit({"x": x})
            except Overloaded:
                break
            await asyncio.sleep(0.01)
        model.release.set()
        await closing
        assert all("y" in outputs for outputs in await asyncio.gather(*tasks))

    serve(model, body)


def test_many_threads_of_requests_get_their_own_results(fakes: Fakes) -> None:
    model = fakes.lengths()

    async def one(lane: Lane, seed: int) -> None:
        rng = np.random.default_rng(seed)
        ids = rng.integers(0, 99, (rng.integers(1, 9), rng.integers(1, 4)))
        mask = rng.integers(0, 2, ids.shape)
        outputs = await lane.infer({"ids": ids, "mask": mask})
        np.testing.assert_array_equal(outputs["total"], (ids * mask).sum(1, keepdims=True))
        np.testing.assert_array_equal(outputs["doubled"], ids.astype(np.float32) * 2)

    async def body(lane: Lane) -> None:
        await asyncio.gather(*[one(lane, seed) for seed in range(300)])

    serve(model, body, threads=3, max_batch=5)
    assert max(model.runs) <= 5
    assert any(rows > 1 for rows in model.runs)
