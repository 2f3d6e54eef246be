"""Small models that follow the model contract, and servers of them on free ports."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest

from rushlight.server.repository import Repository
from rushlight.server.serving import Server, bind, build_server
from rushlight.server.settings import load_settings


@dataclass(frozen=True)
class Spec:
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]


def spec(name: str, dtype: str, *shape: int | str) -> Spec:
    return Spec(name, np.dtype(dtype), shape)


@dataclass
class FakeModel:
    """A model of a function; keeps the number of rows of every run, in order."""

    inputs: list[Spec]
    outputs: list[Spec]
    function: Callable[..., dict[str, np.ndarray[Any, Any]]]
    runs: list[int] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        self.release.set()

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        self.runs.append(next(iter(inputs.values())).shape[0])
        self.entered.release()
        assert self.release.wait(30)
        return self.function(**inputs)

    def hold(self) -> None:
        """Make runs wait for `release.set()`."""
        self.release.clear()

    def wait_for_run(self) -> None:
        assert self.entered.acquire(timeout=30)


class Fakes:
    """Makers of the models that the tests serve."""

    spec = staticmethod(spec)
    Function = FakeModel

    @staticmethod
    def affine() -> FakeModel:
        return FakeModel(
            [spec("x", "float32", "N", 4)], [spec("y", "float32", "N", 4)], lambda x: {"y": x * np.float32(2) + 1}
        )

    @staticmethod
    def lengths() -> FakeModel:
        """Two inputs and two outputs; the length is free, and equal for both inputs."""

        def function(ids: Any, mask: Any) -> dict[str, Any]:
            return {"total": (ids * mask).sum(1, keepdims=True), "doubled": ids.astype(np.float32) * 2}

        return FakeModel(
            [spec("ids", "int64", "B", "L"), spec("mask", "int64", "B", "L")],
            [spec("total", "int64", "B", 1), spec("doubled", "float32", "B", "L")],
            function,
        )

    @staticmethod
    def picky() -> FakeModel:
        """Fails where any row has a negative number."""

        def function(x: Any) -> dict[str, Any]:
            if (x < 0).any():
                raise ValueError("secret of the model")
            return {"y": x + 1}

        return FakeModel([spec("x", "int32", "N", 2)], [spec("y", "int32", "N", 2)], function)

    @staticmethod
    def static() -> FakeModel:
        return FakeModel([spec("x", "float32", 2, 3)], [spec("y", "float32", 3, 2)], lambda x: {"y": x.T.copy()})

    @staticmethod
    def identity(dtype: str) -> FakeModel:
        return FakeModel([spec("x", dtype, "N", 3)], [spec("y", dtype, "N", 3)], lambda x: {"y": x})


@pytest.fixture
def fakes() -> type[Fakes]:
    return Fakes


@dataclass
class Running:
    """A server on a thread of its own."""

    server: Server
    thread: threading.Thread
    port: int
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Any:
        return self.server._application.state

    def client(self) -> httpx.Client:
        self.clients.append(httpx.Client(base_url=self.url, timeout=30, trust_env=False))
        return self.clients[-1]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask_to_end(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """`start({"name": model}, **settings)` serves version 1 of each model until the test ends."""
    started: list[tuple[Running, list[Any]]] = []

    def start(models: dict[str, Any], page: Any = None, **flags: Any) -> Running:
        versions = {name: model if isinstance(model, dict) else {"1": model} for name, model in models.items()}
        settings = load_settings(flags=flags)
        bound = bind("127.0.0.1", 0)
        port = bound.getsockname()[1]
        up = threading.Event()
        server = build_server(Repository(versions), settings, page, up.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        assert up.wait(30)
        running = Running(server, thread, port)
        started.append((running, [model for each in versions.values() for model in each.values()]))
        return running

    yield start
    for running, models in started:
        for model in models:
            if isinstance(model, FakeModel):
                model.release.set()
        if not running.state.draining:
            running.ask_to_end()
        for client in running.clients:
            client.close()
        running.thread.join(30)
        assert not running.thread.is_alive()
