"""PP-OCRv4 recognition (ONNX file in the PyPI package rapidocr-onnxruntime): lines of text, rendered and read."""

from __future__ import annotations

from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image, ImageDraw, ImageFont

LINES = 120
WIDTHS = (320, 448)
HEIGHT = 48
BATCH = 6
BLANK = 0

WORDS = [
    "amber",
    "bridge",
    "candle",
    "desert",
    "engine",
    "forest",
    "garden",
    "harbour",
    "island",
    "jungle",
    "kitchen",
    "lantern",
    "meadow",
    "north",
    "orange",
    "pepper",
    "quartz",
    "river",
    "silver",
    "thunder",
    "umbrella",
    "velvet",
    "window",
    "yellow",
    "zebra",
]

Array = npt.NDArray[Any]


def model_path() -> Path:
    return Path(str(files("rapidocr_onnxruntime"))) / "models" / "ch_PP-OCRv4_rec_infer.onnx"


def texts() -> list[str]:
    """LINES lines of words and numbers, always the same."""
    rng = np.random.default_rng(0)

    def token() -> str:
        word = str(rng.choice(WORDS))
        return (word, word.capitalize(), word.upper(), str(rng.integers(10_000)))[rng.integers(4)]

    return [" ".join(token() for _ in range(rng.integers(1, 4))) for _ in range(LINES)]


def render(text: str, width: int) -> Array:
    """Dark text on a light ground, in [-1, 1]: [3, HEIGHT, width] float32. Text that is too wide is narrowed."""
    font = ImageFont.load_default(size=30)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    image = Image.new("RGB", (max(right - left + 16, width), HEIGHT), "white")
    ImageDraw.Draw(image).text((8 - left, (HEIGHT - bottom - top) // 2), text, font=font, fill=(20, 20, 60))
    pixels = np.asarray(image.resize((width, HEIGHT), Image.Resampling.BILINEAR), np.float32)
    return np.ascontiguousarray((pixels / 127.5 - 1).transpose(2, 0, 1))


def batches() -> list[tuple[list[str], Array]]:
    """Texts and images [BATCH, 3, HEIGHT, width], the first half of the lines in the first of WIDTHS."""
    lines, share = texts(), LINES // len(WIDTHS)
    out = []
    for at in range(0, LINES, BATCH):
        part = lines[at : at + BATCH]
        out.append((part, np.stack([render(text, WIDTHS[at // share]) for text in part])))
    return out


def letters(text: str) -> str:
    """What is left of a text without spaces and case, which the network often misses."""
    return "".join(text.split()).casefold()


class OnnxRuntime:
    """The judge, and the alphabet that the file carries."""

    def __init__(self) -> None:
        self._session = onnxruntime.InferenceSession(str(model_path()), providers=["CPUExecutionProvider"])
        characters = self._session.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._alphabet = ["", *characters, " "]

    def __call__(self, images: Array) -> Array:
        """Probabilities [batch, steps, characters]."""
        probabilities: Array = self._session.run(None, {"x": images})[0]
        return probabilities

    def decode(self, probabilities: Array) -> list[str]:
        """Best characters, repetitions and blanks left out."""
        best = probabilities.argmax(-1)
        return ["".join(self._alphabet[c] for c, _ in groupby(line) if c != BLANK) for line in best]
