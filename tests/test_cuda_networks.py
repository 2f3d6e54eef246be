"""Small networks on the emulated GPU: in its own kernels, with the CPU's bits. None has a convolution that the CPU runs
by Winograd's method."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import rushlight as rl
from rushlight.runtime.cuda.emulated import compiler
from rushlight.runtime.errors import DeviceError, ShapeError
from rushlight.runtime.plan import ReferenceStep

try:
    compiler()
except DeviceError as error:
    pytest.skip(str(error), allow_module_level=True)

Arrays = dict[str, np.ndarray[Any, Any]]


class Mobile(nn.Module):
    """Strided, depthwise, grouped and pointwise convolutions, squeeze and excitation, a residual, pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 5, padding=2, groups=16), nn.SiLU())
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 16, 1))
        self.project = nn.Conv2d(16, 16, 1)
        self.grouped = nn.Sequential(nn.Conv2d(16, 24, 3, padding=1, groups=4, stride=2), nn.ReLU())
        self.head = nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.depthwise(x)
        x = x + self.project(y * torch.sigmoid(self.squeeze(y)))
        x = nn.functional.max_pool2d(self.grouped(x), 2)
        return self.head(x.mean((2, 3)))


class Pyramid(nn.Module):
    """Images made smaller and larger again, joined by channels."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.side = nn.Conv2d(4, 8, 1)
        self.out = nn.Conv2d(16, 3, 5, padding=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        below = nn.functional.interpolate(torch.relu(self.down(x)), scale_factor=2.0, mode="bilinear")
        return torch.sigmoid(self.out(torch.cat([torch.relu(self.side(x)), below], 1)))


class Transformer(nn.Module):
    """A layer with post-normalization over embedded tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        self.query, self.key, self.value, self.out = (nn.Linear(32, 32) for _ in range(4))
        self.first, self.second = nn.LayerNorm(32), nn.LayerNorm(32)
        self.wide, self.narrow = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        heads = [layer(x).unflatten(-1, (2, 16)).transpose(1, 2) for layer in (self.query, self.key, self.value)]
        mixed = nn.functional.scaled_dot_product_attention(*heads)
        x = self.first(x + self.out(mixed.transpose(1, 2).flatten(-2)))
        return self.second(x + self.narrow(nn.functional.gelu(self.wide(x))))


class Recurrent(nn.Module):
    """Two directions of one kind of layer, one of another."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 16, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(32, 20, batch_first=True)
        self.head = nn.Linear(20, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.head(self.gru(self.lstm(x)[0])[0]), -1)


def noise(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def tokens(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 50, shape)


Network = tuple[rl.Program, np.ndarray[Any, Any]]
"""A program and samples of its input."""

NETWORKS: dict[str, tuple[Callable[[], nn.Module], np.ndarray[Any, Any]]] = {
    "mobile": (Mobile, noise(3, 3, 32, 32)),
    "pyramid": (Pyramid, noise(3, 4, 12, 12)),
    "transformer": (Transformer, tokens(3, 9)),
    "recurrent": (Recurrent, noise(3, 7, 12)),
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> Network:
    make, samples = NETWORKS[request.param]
    torch.manual_seed(0)
    module = make().eval()
    (name,) = inspect.signature(module.forward).parameters
    return rl.export(module, (torch.from_numpy(samples[:2]),), dynamic={name: {0: "N"}}), samples


def check(program: rl.Program, samples: np.ndarray[Any, Any]) -> None:
    here, there = rl.load(program, threads=1), rl.load(program, device="cuda-emulated")
    assert [step.node.op.name for step in there.main.plan.steps if isinstance(step, ReferenceStep)] == []
    for batch in (samples, samples[:1], samples[:2]):
        np.testing.assert_array_equal(there(batch), here(batch))


def test_float(network: Network) -> None:
    check(*network)


def test_int8(network: Network) -> None:
    program, samples = network
    (name,) = (value.name for value in program.graph.inputs)
    check(rl.quantize(program, {name: samples}), samples)


def test_an_index_out_of_range_is_refused() -> None:
    program = rl.export(nn.Embedding(5, 4), (torch.zeros(2, 3, dtype=torch.int64),), dynamic={"input": {0: "N"}})
    model = rl.load(program, device="cuda-emulated")
    with pytest.raises(ShapeError, match="index is out of range"):
        model(np.array([[0, 1, 5]]))
    assert model(np.array([[0, 1, 4]])).shape == (1, 3, 4)
