"""Layers: folding into weights and padding, residual sums and activations, decomposition."""

import math

import numpy as np
import pytest

from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.passes import canonicalize, clean, decompose, fuse_epilogues

from .harness import F32, check, check_same, ops, single, weights


def test_matmul_with_a_constant_is_linear():
    graph = single(lambda b, x: b.add(b.matmul(x, weights(4, 7)), weights(7)), ("N", 3, 4))
    out = check(graph, {"linear": 1}, tolerance=1e-6, N=2)
    assert out.nodes[0].inputs[1].shape == (7, 4)


def test_a_quantized_matrix_is_transposed():
    b = GraphBuilder()
    q = b.dequantize(np.arange(-14, 14, dtype=np.int8).reshape(4, 7), weights(7) ** 2, np.zeros(7, np.int8), axis=1)
    b.output("y", b.matmul(b.input("x", F32, (3, 4)), q))
    out = check(b.graph, {"dequantize": 1, "linear": 1})
    assert out.nodes[0].attrs["axis"] == 0


CONVOLUTIONS = {
    "conv2d": ("conv2d", (2, 4, 6, 5), (6, 2, 3, 3), {"groups": 2, "padding": (1, 1, 1, 1)}, 1),
    "conv2d-last": ("conv2d", (2, 6, 5, 4), (6, 2, 3, 3), {"groups": 2, "layout": "NHWC"}, 3),
    "conv1d": ("conv1d", (2, 4, 6), (6, 4, 3), {}, 1),
    "conv3d": ("conv3d", (1, 2, 4, 4, 4), (3, 2, 2, 2, 2), {}, 1),
    "conv_transpose2d": ("conv_transpose2d", (2, 4, 3, 3), (4, 3, 2, 2), {"groups": 2, "stride": (2, 2)}, 1),
    "conv_transpose1d": ("conv_transpose1d", (2, 4, 3), (4, 3, 2), {}, 1),
    "linear": ("linear", (5, 4), (6, 4), {}, 1),
}


def layer(b, x, name, bias=True):
    op, _, shape, attrs, _ = CONVOLUTIONS[name]
    channels = shape[1] * attrs.get("groups", 1) if "transpose" in op else shape[0]
    (out,) = b.add_node(op, [x, weights(*shape), weights(channels, seed=1) if bias else None], attrs)
    return out, channels


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_batch_norm_folds_into_a_layer(name, bias):
    op, shape, _, attrs, _ = CONVOLUTIONS[name]

    def make(b, x):
        y, channels = layer(b, x, name, bias)
        mean, var, scale, shift = (weights(channels, seed=i) for i in range(4))
        return b.batch_norm(y, mean, var**2, scale, shift, layout=attrs.get("layout", "NCHW"))

    check(single(make, shape), {op: 1}, tolerance=2e-5)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_arithmetic_per_channel_folds_into_a_layer(name):
    op, shape, _, _, axis = CONVOLUTIONS[name]

    def make(b, x):
        y, channels = layer(b, x, name)
        along = [channels if i == axis else 1 for i in range(y.type.rank)]
        y = b.add(b.mul(y, weights(*along)), weights(*along, seed=1))
        y = b.div(b.sub(y, weights(*along, seed=2)), F32(3))
        return b.sub(weights(*along, seed=3), y)

    check(single(make, shape), {op: 1}, tolerance=2e-5)


@pytest.mark.parametrize(("channels", "other"), [(2, 3), (3, 2)])
def test_arithmetic_behind_a_permutation_folds_into_the_layer(channels, other):
    scale = weights(*_along(channels))
    permutation = (0, 1, 3, 2) if channels == 2 else (0, 2, 1, 3)

    def make(b, x):
        y = b.permute(b.linear(x, weights(6, 4), weights(6)), dims=permutation)
        return b.add(b.mul(y, scale), weights(*scale.shape, seed=1))

    out = check(single(make, ("N", 5, 7, 4)), {"linear": 1, "permute": 1}, tolerance=1e-5, N=2)
    assert [node.op.name for node in out.nodes] == ["linear", "permute"]
    along = single(
        lambda b, x: b.mul(b.permute(b.linear(x, weights(6, 4)), dims=permutation), weights(*_along(other))),
        (2, 6, 6, 4),
    )
    check(along, {"linear": 1, "permute": 1, "mul": 1})


@pytest.mark.parametrize(("shape", "folds"), [((35, 6), True), ((7, 5, 6), True), ((7, 5, 2, 3), False)])
def test_arithmetic_behind_a_reshape_folds_into_the_layer(shape, folds):
    scale, shift = weights(shape[-1]), weights(shape[-1], seed=1)

    def make(b, x):
        y = b.reshape(b.linear(x, weights(6, 4), weights(6)), shape=(x.shape[0], *shape))
        return b.add(b.mul(y, scale), shift)

    names = ["linear", "reshape", *([] if folds else ["mul", "add"])]
    out = check(single(make, ("N", 5, 7, 4)), dict.fromkeys(names, 1), tolerance=1e-5, N=2)
    assert [node.op.name for node in out.nodes] == names


def _along(axis):
    return tuple(6 if i == axis else 1 for i in range(1, 4))


def test_batch_norm_alone_is_a_product_and_a_sum():
    graph = single(lambda b, x: b.batch_norm(x, weights(3), weights(3) ** 2, weights(3), None), (2, 3, 4, 4))
    check(graph, {"mul": 1, "add": 1}, tolerance=1e-5)


def test_a_layer_that_is_read_elsewhere_keeps_its_weights():
    b = GraphBuilder()
    y = b.conv2d(b.input("x", F32, (1, 3, 4, 4)), weights(5, 3, 1, 1))
    b.output("y", y)
    b.output("z", b.mul(y, F32(2)))
    check(b.graph, {"conv2d": 1, "mul": 1})


def test_arithmetic_along_other_axes_stays():
    graph = single(lambda b, x: b.mul(b.conv2d(x, weights(5, 3, 1, 1)), weights(1, 1, 4, 1)), (1, 3, 4, 4))
    check(graph, {"conv2d": 1, "mul": 1})
    graph = single(lambda b, x: b.add(b.linear(x, weights(5, 3)), weights(2, 4, 5)), (4, 3))
    check(graph, {"linear": 1, "add": 1})


def test_padding_folds_into_windows():
    def conv(b, x, value=0.0, pads=(0, 0, 1, 2, 0, 0, 0, 1)):
        return b.conv2d(b.pad(x, pads=pads, value=value), weights(5, 3, 3, 3), padding=(1, 0, 1, 0))

    out = check(single(conv, (1, 3, 6, 6)), {"conv2d": 1})
    assert out.nodes[0].attrs["padding"] == (2, 2, 1, 1)
    check(single(lambda b, x: conv(b, x, value=1.0), (1, 3, 6, 6)), {"pad": 1, "conv2d": 1})
    check(single(lambda b, x: conv(b, x, pads=(0, 1, 0, 0, 0, 0, 0, 0)), (1, 2, 6, 6)), {"pad": 1, "conv2d": 1})


def test_padding_folds_into_pools():
    pads = (0, 0, 1, 0, 0, 0, 1, 1)

    def graph(op, value, **attrs):
        def make(b, x):
            (out,) = b.add_node(
                op, [b.pad(x, pads=pads, value=value)], {"kernel_size": (2, 2), "stride": (2, 2), **attrs}
            )
            return out

        return single(make, (1, 2, 6, 5))

    check(graph("avg_pool2d", 0.0), {"avg_pool2d": 1})
    check(graph("avg_pool2d", 0.0, count_include_pad=False), {"avg_pool2d": 1})
    check(graph("max_pool2d", -math.inf), {"max_pool2d": 1})
    check(graph("max_pool2d", 0.0), {"pad": 1, "max_pool2d": 1})
    check(graph("avg_pool2d", 0.0, ceil_mode=True), {"pad": 1, "avg_pool2d": 1})


# Epilogues


def residual_block(b, x, act):
    y = b.conv2d(x, weights(3, 3, 3, 3, scale=0.2), padding=(1, 1, 1, 1))
    return act(b, b.add(y, x))


@pytest.mark.parametrize(
    "act",
    [
        lambda b, x: b.relu(x),
        lambda b, x: b.clamp(x, min=0.0, max=6.0),
        lambda b, x: b.clamp(x, max=1.0),
        lambda b, x: b.silu(x),
        lambda b, x: b.gelu(x),
        lambda b, x: b.gelu(x, approximate="tanh"),
        lambda b, x: b.leaky_relu(x, negative_slope=0.2),
        lambda b, x: b.elu(x, alpha=0.7),
        lambda b, x: b.hardswish(x),
        lambda b, x: b.hardsigmoid(x),
        lambda b, x: b.mish(x),
        lambda b, x: b.softplus(x),
        lambda b, x: b.sigmoid(x),
        lambda b, x: b.tanh(x),
    ],
)
def test_residual_and_activation_join_a_layer(act):
    check(single(lambda b, x: residual_block(b, x, act), ("N", 3, 5, 5)), {"conv2d": 1}, run=fuse_epilogues, N=2)


def test_the_later_of_two_layers_takes_the_sum():
    def make(b, x):
        first = b.conv2d(x, weights(4, 3, 1, 1))
        second = b.conv2d(b.relu(b.conv2d(x, weights(5, 3, 1, 1))), weights(4, 5, 1, 1))
        return b.relu(b.add(second, first))

    out = check(single(make, (1, 3, 5, 5)), {"conv2d": 3}, run=fuse_epilogues)
    assert out.nodes[-1].inputs[3] is out.nodes[0].output


def test_what_has_other_readers_or_shapes_is_not_fused():
    b = GraphBuilder()
    y = b.linear(b.input("x", F32, (4, 3)), weights(5, 3))
    b.output("y", y)
    b.output("z", b.relu(y))
    check(b.graph, {"linear": 1, "relu": 1}, run=fuse_epilogues)
    graph = single(lambda b, x: b.add(b.linear(x, weights(5, 3)), weights(1, 5)), (4, 3))
    check(graph, {"linear": 1, "add": 1}, run=fuse_epilogues)


def test_a_second_activation_stays():
    graph = single(lambda b, x: b.relu(b.tanh(b.linear(x, weights(5, 3)))), (4, 3))
    check(graph, {"linear": 1, "relu": 1}, run=fuse_epilogues)


# Decomposition


def decompose_all(graph):
    """Decomposes whatever can be, until nothing can."""
    changed = False
    while decompose(graph, lambda node: node.op.decompose is None):
        changed = True
    return changed


def test_decompositions_are_taken_apart_until_kernels_are_left():
    graph = single(lambda b, x: b.conv_transpose1d(x, weights(3, 4, 3), stride=(2,)), ("N", 3, 5))
    out = graph.clone()
    assert decompose_all(out)
    assert "conv2d" in ops(out)
    check_same(graph, out, N=2)


def test_what_was_decomposed_stays_decomposed():
    graph = single(lambda b, x: b.layer_norm(b.hardswish(x), weights(4), None))
    out = graph.clone()
    assert decompose_all(out)
    clean(out)
    assert not {"layer_norm", "hardswish"} & ops(out).keys()
    check_same(graph, out)


def test_nodes_with_a_kernel_stay():
    graph = single(lambda b, x: b.tile(x, repeats=(2, 1, 1)))
    check(graph, {"tile": 1}, run=lambda g: decompose(g, lambda node: True))
    check(graph, {"reshape": 2, "expand": 1}, run=lambda g: decompose(g, lambda node: False))


def test_what_depends_on_symbolic_sizes_stays():
    graph = single(lambda b, x: b.adaptive_avg_pool2d(x, output_size=(3, 3)), (1, 2, "H", "W"))
    check(graph, {"adaptive_avg_pool2d": 1}, run=lambda g: decompose(g, lambda node: False), H=7, W=5)


def test_a_graph_without_anything_to_do_is_unchanged():
    b = GraphBuilder()
    x = b.input("x", F32, ("N", 3))
    b.output("y", b.relu(x))
    before = str(b.graph)
    assert not canonicalize(b.graph)
    assert str(b.graph) == before


@pytest.mark.parametrize("shape", [(7, 1, 1), (1,), ()])
def test_a_batch_norm_without_a_layer_is_one_operator(shape):
    graph = single(lambda b, x: b.relu(b.add(b.mul(x, weights(*shape)), weights(7, 1, 1, seed=1))), (2, 7, 4, 3))
    out = check(graph, {"fma": 1}, fuse_epilogues)
    assert out.nodes[0].attrs["activation"] == "relu"
    decompose(out, lambda node: node.op.name != "fma")
    check_same(graph, out)
    assert ops(out) == {"mul": 1, "add": 1, "relu": 1}


@pytest.mark.parametrize("other", [(4, 3), (7, 4, 3)])
def test_constants_along_several_axes_stay(other):
    graph = single(lambda b, x: b.add(b.mul(x, weights(7, 1, 1)), weights(*other, seed=1)), (2, 7, 4, 3))
    assert not fuse_epilogues(graph)
    assert ops(graph) == {"mul": 1, "add": 1}
