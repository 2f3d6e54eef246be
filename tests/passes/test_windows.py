"""Attention within windows is found however rows are rolled and cut, and only where they come back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rushlight.runtime.ir import Graph, GraphBuilder
from rushlight.runtime.passes import canonicalize

from .harness import F32, check, check_same, ops, weights

SIDE, WINDOW, HEADS, WIDTH = 6, 3, 2, 4
COUNT, LENGTH, CHANNELS = (SIDE // WINDOW) ** 2, WINDOW**2, HEADS * WIDTH


def roll(b: GraphBuilder, x: Any, by: int) -> Any:
    for axis in (1, 2):
        cuts = ((by % SIDE, SIDE), (0, by % SIDE))
        parts = [b.slice(x, axes=(axis,), starts=(start,), ends=(end,), steps=(1,)) for start, end in cuts]
        x = b.concat(*parts, dim=axis)
    return x


def block(
    shift: int, back: int, batch: int | str = "N", split: bool = False, fused: bool = False, product: bool = False
) -> Graph:
    """A layer of a Swin transformer, as torchvision writes it; `split`: three layers for q, k and v, as transformers
    does; `fused`: with the attention operator instead of products and softmax; `product`: layers as a product and a
    sum, as in ONNX."""
    b = GraphBuilder()
    x = b.input("x", F32, (batch, SIDE, SIDE, CHANNELS))
    n, grid = x.shape[0], SIDE // WINDOW
    y = roll(b, x, shift) if shift else x
    y = b.permute(b.reshape(y, shape=(n, grid, WINDOW, grid, WINDOW, CHANNELS)), dims=(0, 1, 3, 2, 4, 5))
    y = b.reshape(y, shape=(n * COUNT, LENGTH, CHANNELS))
    if split:
        q, k, v = (
            b.permute(
                b.reshape(b.linear(y, weights(CHANNELS, CHANNELS, seed=i)), shape=(n * COUNT, LENGTH, HEADS, WIDTH)),
                dims=(0, 2, 1, 3),
            )
            for i in range(3)
        )
    else:
        matrix, offset = weights(3 * CHANNELS, CHANNELS), weights(3 * CHANNELS)
        y = b.add(b.matmul(y, b.constant(matrix.T.copy())), offset) if product else b.linear(y, matrix, offset)
        y = b.permute(b.reshape(y, shape=(n * COUNT, LENGTH, 3, HEADS, WIDTH)), dims=(2, 0, 3, 1, 4))
        q, k, v = (
            b.reshape(
                b.slice(y, axes=(0,), starts=(i,), ends=(i + 1,), steps=(1,)), shape=(n * COUNT, HEADS, LENGTH, WIDTH)
            )
            for i in range(3)
        )
    bias = weights(1, HEADS, LENGTH, LENGTH, seed=4)
    if fused:
        y = b.scaled_dot_product_attention(q, k, v, bias)
    else:
        scores = b.add(b.matmul(b.mul(q, F32(0.5)), b.permute(k, dims=(0, 1, 3, 2))), bias)
        if shift:
            region = b.constant(np.arange(COUNT * LENGTH).reshape(COUNT, LENGTH) % 4)
            apart = b.ne(b.reshape(region, shape=(COUNT, 1, LENGTH)), b.reshape(region, shape=(COUNT, LENGTH, 1)))
            mask = b.where(apart, F32(-100), F32(0))
            scores = b.reshape(scores, shape=(n, COUNT, HEADS, LENGTH, LENGTH))
            scores = b.add(scores, b.reshape(mask, shape=(1, COUNT, 1, LENGTH, LENGTH)))
            scores = b.reshape(scores, shape=(n * COUNT, HEADS, LENGTH, LENGTH))
        y = b.matmul(b.softmax(scores, dim=-1), v)
    y = b.reshape(b.permute(y, dims=(0, 2, 1, 3)), shape=(n * COUNT, LENGTH, CHANNELS))
    y = b.linear(y, weights(CHANNELS, CHANNELS, seed=9))
    y = b.permute(b.reshape(y, shape=(n, grid, grid, WINDOW, WINDOW, CHANNELS)), dims=(0, 1, 3, 2, 4, 5))
    y = b.reshape(y, shape=(n, SIDE, SIDE, CHANNELS))
    b.output("y", b.add(x, roll(b, y, back) if back else y))
    return b.graph


@pytest.mark.parametrize("batch", ["N", 1, 2])
@pytest.mark.parametrize("shift", [0, 1])
def test_windows_are_attended_in_place(shift: int, batch: int | str) -> None:
    expected = {"linear": 2, "reshape": 5, "slice": 3, "window_attention": 1, "add": 1}
    after = check(block(shift, -shift, batch), expected, tolerance=1e-5, N=2)
    (attention,) = (node for node in after.nodes if node.op.name == "window_attention")
    bias, mask = attention.inputs[4:]
    assert bias is not None
    assert bias.shape == (HEADS, LENGTH, LENGTH)
    assert (mask is not None) == bool(shift)


def test_layers_of_their_own_and_the_operator_are_found_too() -> None:
    for shift, split, fused in ((1, True, False), (0, False, True), (0, True, True)):
        after = check_ops(block(shift, -shift, split=split, fused=fused, product=not split))
        assert after["window_attention"] == 1
        assert after["linear"] == (4 if split else 2)


def check_ops(graph: Graph) -> dict[str, int]:
    out = graph.clone()
    canonicalize(out)
    check_same(graph, out, 1e-5, N=3)
    return ops(out)


def test_rows_that_do_not_come_back_stay_windows() -> None:
    assert "window_attention" not in check_ops(block(1, 0))
    assert "window_attention" not in check_ops(block(1, 2))
