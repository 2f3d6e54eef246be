"""Channels last: the same answers, and permutations only where the graph's ends demand them."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rushlight.runtime.ir import Graph, GraphBuilder, verify
from rushlight.runtime.passes.channels_last import channels_last
from rushlight.runtime.reference import run_reference

RNG = np.random.default_rng(7)


def weights(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def rewrite(build: Callable[[GraphBuilder, Any], Any], *shape: int | str) -> tuple[Counter[str], Graph]:
    """Builds a graph of one input, rewrites it, checks that it answers as before; the operators that are left."""
    b = GraphBuilder()
    b.output("y", build(b, b.input("x", np.float32, shape)))
    before, after = b.graph, b.graph.clone()
    channels_last(after)
    verify(after)
    x = RNG.standard_normal([2 if isinstance(d, str) else d for d in shape]).astype(np.float32)
    expected, got = run_reference(before, {"x": x})["y"], run_reference(after, {"x": x})["y"]
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    return Counter(node.op.name for node in after.nodes), after


def test_a_chain_of_image_operators_is_permuted_at_its_ends_only() -> None:
    def build(b: GraphBuilder, x: Any) -> Any:
        y = b.relu(b.conv2d(x, weights(8, 3, 3, 3), weights(8), padding=(1, 1, 1, 1)))
        z = b.conv2d(y, weights(8, 8, 1, 1))
        y = b.max_pool2d(b.add(y, z), kernel_size=(2, 2), stride=(2, 2))
        return b.conv2d(b.concat(y, b.sigmoid(y), dim=1), weights(4, 16, 1, 1))

    counts, graph = rewrite(build, "N", 3, 8, 6)
    assert counts["permute"] == 2
    assert all(node.attrs["layout"] == "NHWC" for node in graph.nodes if "layout" in node.attrs)


def test_channels_last_inputs_need_no_permutation() -> None:
    def build(b: GraphBuilder, x: Any) -> Any:
        y = b.conv2d(b.permute(x, dims=(0, 3, 1, 2)), weights(5, 3, 3, 3))
        return b.mean(y, dim=(2, 3))

    counts, _ = rewrite(build, "N", 8, 6, 3)
    assert counts == {"conv2d": 1, "mean": 1}


def test_convnext_block_cancels_its_own_permutations() -> None:
    def build(b: GraphBuilder, x: Any) -> Any:
        y = b.conv2d(x, weights(6, 1, 3, 3), padding=(1, 1, 1, 1), groups=6)
        y = b.layer_norm(b.permute(y, dims=(0, 2, 3, 1)), weights(6), weights(6), eps=1e-6)
        y = b.permute(b.linear(y, weights(6, 6)), dims=(0, 3, 1, 2))
        return b.mean(b.add(x, y), dim=(2, 3), keepdim=False)

    counts, _ = rewrite(build, "N", 6, 5, 4)
    assert counts["permute"] == 1


def test_patches_of_a_vision_transformer_are_a_view() -> None:
    def build(b: GraphBuilder, x: Any) -> Any:
        y = b.conv2d(b.permute(x, dims=(0, 3, 1, 2)), weights(7, 3, 4, 4), stride=(4, 4))
        n = y.shape[0]
        return b.permute(b.reshape(y, shape=(n, 7, 6)), dims=(0, 2, 1))

    counts, _ = rewrite(build, "N", 8, 12, 3)
    assert counts == {"conv2d": 1, "reshape": 1}


def test_axes_to_be_merged_become_neighbours_by_one_permutation() -> None:
    """Channels that move apart into an image of twice the size, between convolutions."""

    def build(b: GraphBuilder, x: Any) -> Any:
        y = b.conv2d(b.permute(x, dims=(0, 3, 1, 2)), weights(8, 3, 1, 1))
        n, _, h, w = y.shape
        y = b.permute(b.reshape(y, shape=(n, 2, 2, 2, h, w)), dims=(0, 3, 4, 1, 5, 2))
        y = b.conv2d(b.reshape(y, shape=(n, 2, 2 * h, 2 * w)), weights(5, 2, 1, 1))
        return b.permute(y, dims=(0, 2, 3, 1))

    counts, _ = rewrite(build, "N", 6, 5, 3)
    assert counts == {"conv2d": 2, "reshape": 2, "permute": 1}


def test_flattening_needs_the_logical_order() -> None:
    def build(b: GraphBuilder, x: Any) -> Any:
        y = b.conv2d(x, weights(4, 3, 1, 1))
        return b.linear(b.reshape(y, shape=(y.shape[0], 4 * 30)), weights(2, 120))

    counts, _ = rewrite(build, "N", 3, 6, 5)
    assert counts["permute"] == 2


@pytest.mark.parametrize("rank", [1, 3, 4])
def test_broadcast_constants_follow_the_order(rank: int) -> None:
    def build(b: GraphBuilder, x: Any) -> Any:
        y = b.conv2d(x, weights(4, 3, 1, 1))
        return b.mul(y, weights(*{1: (5,), 3: (4, 1, 1), 4: (1, 4, 1, 5)}[rank]))

    rewrite(build, 2, 3, 6, 5)


def test_axes_are_translated() -> None:
    def build(b: GraphBuilder, x: Any) -> Any:
        y = b.conv2d(x, weights(4, 3, 1, 1))
        y = b.pad(y, pads=(0, 0, 1, 2, 0, 1, 0, 3))
        y = b.slice(y, axes=(1, 3), starts=(1, 0), ends=(5, 8), steps=(2, 3))
        y = b.flip(y, dims=(3,))
        y = b.cumsum(y, dim=1)
        y = b.softmax(y, dim=1)
        return b.amax(y, dim=(1, -1), keepdim=False)

    counts, _ = rewrite(build, 2, 3, 6, 5)
    assert counts["permute"] == 1


def test_a_full_size_operand_in_logical_order_is_permuted() -> None:
    def build(b: GraphBuilder, x: Any) -> Any:
        y = b.conv2d(x, weights(3, 3, 1, 1))
        return b.sub(b.reshape(b.reshape(x, shape=(2, 90)), shape=(2, 3, 6, 5)), y)

    rewrite(build, 2, 3, 6, 5)


def test_rows_may_lie_in_any_order_for_layers_on_the_last_axis() -> None:
    """Time first, as nn.MultiheadAttention computes: the batch stays outermost."""

    def build(b: GraphBuilder, x: Any) -> Any:
        y = b.permute(x, dims=(1, 0, 2))
        y = b.layer_norm(b.linear(y, weights(8, 8), weights(8)), weights(8), weights(8), eps=1e-5)
        return b.add(x, b.permute(y, dims=(1, 0, 2)))

    counts, _ = rewrite(build, "N", 5, 8)
    assert counts == {"linear": 1, "layer_norm": 1, "add": 1}


def test_attention_takes_rows_first() -> None:
    def build(b: GraphBuilder, x: Any) -> Any:
        heads = b.permute(b.reshape(x, shape=(x.shape[0], 5, 2, 4)), dims=(0, 2, 1, 3))
        y = b.permute(b.scaled_dot_product_attention(heads, heads, heads), dims=(0, 2, 1, 3))
        return b.reshape(y, shape=(x.shape[0], 5, 8))

    counts, _ = rewrite(build, "N", 5, 8)
    assert counts == {"reshape": 2, "scaled_dot_product_attention": 1}


@pytest.mark.parametrize("op", ["lstm_scan", "gru_scan", "qlstm_scan", "qgru_scan"])
def test_recurrent_layers_run_as_their_inputs_are_held(op: str) -> None:
    gates, hidden = (4, 3) if "lstm" in op else (3, 3)
    state = np.zeros((1, 2, hidden), np.float32)

    def build(b: GraphBuilder, x: Any) -> Any:
        x = b.permute(x, dims=(1, 0, 2))
        for _ in range(2):
            products = b.linear(x, weights(gates * hidden, x.shape[2]))
            states = [state] * (gates - 2)
            w, attrs = [weights(1, gates * hidden, hidden)], {"batch_first": False}
            if op.startswith("q"):
                w, attrs = [np.ones(w[0].shape, np.int8), np.ones(w[0].shape[:2], np.float32)], {**attrs, "levels": 9}
            x = b.add_node(op, [products, *states, *w], attrs)[0]
        return b.permute(x, dims=(1, 0, 2))

    counts, _ = rewrite(build, 2, 4, 5)
    assert counts == {"linear": 2, op: 2}
