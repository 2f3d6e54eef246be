"""Each pass: what it makes of a graph computes the same, has the expected operators, and near misses stay as they are."""

import math
from collections import Counter

import numpy as np
import pytest

from rushlight.runtime.ir import GraphBuilder, verify
from rushlight.runtime.passes import canonicalize, decompose, fuse_epilogues
from rushlight.runtime.passes.fold import fold_constants
from rushlight.runtime.reference import run_reference

F32 = np.float32


def weights(*shape, seed=0, scale=1.0):
    return (np.random.default_rng([seed, *shape]).standard_normal(shape) * scale).astype(F32)


def ops(graph):
    return dict(Counter(node.op.name for node in graph.nodes))


def random_inputs(graph, **sizes):
    rng = np.random.default_rng(7)
    found = {}
    for value in graph.inputs:
        shape = [d if isinstance(d, int) else d.evaluate(sizes) for d in value.shape]
        if value.dtype == np.bool_:
            found[value.name] = rng.integers(0, 2, shape).astype(bool)
        else:
            found[value.name] = (rng.standard_normal(shape) * 3).astype(value.dtype)
    return found


def check(graph, expected, run=canonicalize, tolerance=1e-9, **sizes):
    """Runs a pass on a copy: sound, same results, `expected` operators."""
    verify(graph)
    out = graph.clone()
    run(out)
    verify(out)
    inputs = random_inputs(graph, **sizes)
    before = run_reference(graph, inputs, wide=True)
    after = run_reference(out, inputs, wide=True)
    assert before.keys() == after.keys()
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=tolerance, atol=tolerance)
    assert ops(out) == expected
    # A fixpoint: nothing is left to do, and nothing is done for ever.
    assert not run(out)
    return out


def single(make, shape=(2, 3, 4), **inputs):
    """A graph of one input `x` and what `make` computes of it."""
    b = GraphBuilder()
    x = b.input("x", F32, shape)
    b.output("y", make(b, x))
    return b.graph


# Folding and simplification


def test_constants_fold_through_a_chain():
    graph = single(lambda b, x: b.add(x, b.exp(b.mul(weights(3, 4), F32(2)))))
    check(graph, {"add": 1}, tolerance=1e-6)


def test_large_results_are_not_folded():
    graph = single(lambda b, x: b.add(x, b.expand(F32(3), shape=(1000, 1000))), (1000, 1000))
    check(graph, {"add": 1, "expand": 1})


def test_small_results_are_folded():
    graph = single(lambda b, x: b.add(x, b.full(shape=(3, 4), value=2.0)))
    check(graph, {"add": 1})


def test_quantized_constants_stay_quantized():
    b = GraphBuilder()
    q = b.dequantize(np.arange(12, dtype=np.int8).reshape(3, 4), F32(0.5), np.int8(1))
    b.output("y", b.mul(b.input("x", F32, (3, 4)), q))
    check(b.graph, {"dequantize": 1, "mul": 1})
    check(b.graph, {"mul": 1}, run=lambda graph: fold_constants(graph, kept=()))


def test_what_cannot_be_computed_is_left_to_the_run():
    b = GraphBuilder()
    b.input("x", F32, (1,))
    b.output("y", b.index_select(weights(3), np.array([7]), dim=0))
    out = b.graph.clone()
    canonicalize(out)
    assert ops(out) == {"index_select": 1}


def test_symbolic_sizes_do_not_fold():
    b = GraphBuilder()
    x = b.input("x", F32, ("N", 3))
    b.output("n", b.dim_values(values=(x.shape[0],)))
    check(b.graph, {"dim_values": 1}, N=5)


@pytest.mark.parametrize(
    "make",
    [
        lambda b, x: b.reshape(x, shape=(2, 3, 4)),
        lambda b, x: b.reshape(b.reshape(x, shape=(24,)), shape=(2, 3, 4)),
        lambda b, x: b.permute(x, dims=(0, 1, 2)),
        lambda b, x: b.permute(b.permute(x, dims=(2, 0, 1)), dims=(1, 2, 0)),
        lambda b, x: b.permute(b.permute(x, dims=(0, -1, 1)), dims=(0, 2, -2)),
        lambda b, x: b.cast(x, dtype="float32"),
        lambda b, x: b.expand(x, shape=(2, 3, 4)),
        lambda b, x: b.concat(x, dim=1),
        lambda b, x: b.slice(x, axes=(1, 2), starts=(0, 0), ends=(3, 4), steps=(1, 1)),
        lambda b, x: b.pad(x, pads=(0,) * 6),
        lambda b, x: b.tile(x, repeats=(1, 1, 1)),
        lambda b, x: b.add(x, F32(0)),
        lambda b, x: b.add(np.zeros((1,), F32), x),
        lambda b, x: b.sub(x, F32(0)),
        lambda b, x: b.mul(F32(1), x),
        lambda b, x: b.div(x, F32(1)),
        lambda b, x: b.pow(x, F32(1)),
        lambda b, x: b.clamp(x),
    ],
)
def test_identities_vanish(make):
    check(single(lambda b, x: b.neg(make(b, b.exp(x)))), {"exp": 1, "neg": 1})


def test_an_identity_of_an_input_can_be_an_output():
    check(single(lambda b, x: b.reshape(x, shape=(2, 3, 4))), {})


@pytest.mark.parametrize(
    ("make", "op"),
    [
        (lambda b, x: b.reshape(x, shape=(3, 2, 4)), "reshape"),
        (lambda b, x: b.permute(x, dims=(1, 0, 2)), "permute"),
        (lambda b, x: b.sub(F32(0), x), "sub"),
        (lambda b, x: b.div(F32(1), x), "div"),
        (lambda b, x: b.add(x, F32(1e-30)), "add"),
        (lambda b, x: b.mul(x, np.ones((5, 1, 1, 1), F32)), "mul"),
        (lambda b, x: b.slice(x, axes=(1,), starts=(2,), ends=(-1,), steps=(-1,)), "slice"),
        (lambda b, x: b.flip(x, dims=(0,)), "flip"),
    ],
)
def test_near_identities_stay(make, op):
    check(single(make), {op: 1})


def test_movements_join():
    graph = single(lambda b, x: b.permute(b.permute(x, dims=(2, 0, 1)), dims=(2, 1, 0)))
    check(graph, {"permute": 1})
    graph = single(lambda b, x: b.reshape(b.reshape(x, shape=(6, 4)), shape=(2, 12)))
    check(graph, {"reshape": 1})


def test_permuting_axes_of_size_one_is_a_reshape():
    check(single(lambda b, x: b.permute(x, dims=(0, 2, 1)), (3, 1, 5)), {"reshape": 1})


def test_a_quantized_constant_is_permuted_itself():
    b = GraphBuilder()
    scale, zero = weights(5) ** 2, np.arange(5, dtype=np.int8)
    q = b.dequantize(np.arange(20, dtype=np.int8).reshape(4, 5), scale, zero, axis=1)
    b.output("y", b.mul(b.input("x", F32, (5, 4)), b.permute(q, dims=(1, 0))))
    out = check(b.graph, {"dequantize": 1, "mul": 1})
    assert out.nodes[0].attrs["axis"] == 0


def test_equal_nodes_merge():
    b = GraphBuilder()
    x = b.input("x", F32, (4, 5))
    left = b.sub(x, b.mean(x, dim=(1,), keepdim=True))
    right = b.mul(b.sub(x, b.mean(x, dim=(1,), keepdim=True)), F32(2))
    b.output("y", b.add(b.exp(left), b.exp(right)))
    check(b.graph, {"mean": 1, "sub": 1, "mul": 1, "exp": 2, "add": 1})


def test_nodes_with_other_attributes_do_not_merge():
    b = GraphBuilder()
    x = b.input("x", F32, (4, 4))
    b.output("y", b.add(b.sum(x, dim=(0,)), b.sum(x, dim=(1,))))
    check(b.graph, {"sum": 2, "add": 1})


def test_dead_nodes_vanish():
    b = GraphBuilder()
    x = b.input("x", F32, (3,))
    b.exp(b.neg(x))
    b.output("y", b.abs(x))
    check(b.graph, {"abs": 1})


def test_clamps_join():
    check(single(lambda b, x: b.minimum(b.relu(x), F32(6))), {"clamp": 1})
    check(single(lambda b, x: b.clamp(b.maximum(x, F32(-1)), max=1.0)), {"clamp": 1})
    check(single(lambda b, x: b.maximum(x, F32(0))), {"relu": 1})
    check(single(lambda b, x: b.clamp(b.clamp(x, min=2.0), max=1.0)), {"clamp": 2})


@pytest.mark.parametrize("predicate", [True, False])
def test_a_condition_that_is_known_is_inlined(predicate):
    branches = {}
    for name, op in (("then", "relu"), ("otherwise", "neg")):
        inner = GraphBuilder()
        inner.output("y", getattr(inner, op)(inner.input("x", F32, (2, 3, 4))))
        branches[name] = inner.graph
    graph = single(lambda b, x: b.abs(b.cond(np.array(predicate), x, **branches)))
    check(graph, {"relu" if predicate else "neg": 1, "abs": 1})


def test_sub_graphs_are_simplified_too():
    branches = {}
    for name, op in (("then", "relu"), ("otherwise", "neg")):
        inner = GraphBuilder()
        x = inner.input("x", F32, (2,))
        inner.output("y", getattr(inner, op)(inner.add(x, F32(0))))
        branches[name] = inner.graph
    b = GraphBuilder()
    b.output("y", b.cond(b.input("p", np.bool_, ()), b.input("x", F32, (2,)), **branches))
    out = check(b.graph, {"cond": 1})
    assert ops(out.nodes[0].attrs["then"]) == {"relu": 1}


# Activations


def gelu_erf(b, x, half=0.5, root=math.sqrt(2)):
    return b.mul(b.mul(x, F32(half)), b.add(b.erf(b.div(x, F32(root))), F32(1)))


def gelu_erf_onnx(b, x):
    return b.mul(b.mul(x, b.add(F32(1), b.erf(b.mul(x, F32(math.sqrt(0.5)))))), F32(0.5))


def gelu_tanh_pow(b, x, cubic=0.044715):
    inner = b.mul(b.add(x, b.mul(F32(cubic), b.pow(x, F32(3)))), F32(math.sqrt(2 / math.pi)))
    return b.mul(b.mul(F32(0.5), x), b.add(F32(1), b.tanh(inner)))


def gelu_tanh_factored(b, x):
    scaled = b.mul(x, F32(math.sqrt(2 / math.pi)))
    inner = b.mul(scaled, b.add(b.mul(b.mul(x, x), F32(0.044715)), F32(1)))
    return b.mul(x, b.mul(F32(0.5), b.add(b.tanh(inner), F32(1))))


def clamp_shifted(b, x, shift=3.0):
    return b.clamp(b.add(x, F32(shift)), min=0.0, max=6.0)


SPELLED = {
    "gelu-erf": (gelu_erf, "gelu"),
    "gelu-erf-last": (gelu_erf_onnx, "gelu"),
    "gelu-tanh-pow": (gelu_tanh_pow, "gelu"),
    "gelu-tanh-factored": (gelu_tanh_factored, "gelu"),
    "silu": (lambda b, x: b.mul(x, b.sigmoid(x)), "silu"),
    "silu-swapped": (lambda b, x: b.mul(b.sigmoid(x), x), "silu"),
    "mish": (lambda b, x: b.mul(x, b.tanh(b.softplus(x))), "mish"),
    "hardswish": (lambda b, x: b.div(b.mul(x, clamp_shifted(b, x)), F32(6)), "hardswish"),
    "hardswish-factored": (lambda b, x: b.mul(x, b.div(clamp_shifted(b, x), F32(6))), "hardswish"),
    "hardswish-minimum": (
        lambda b, x: b.mul(b.mul(x, b.minimum(b.relu(b.add(x, F32(3))), F32(6))), F32(1 / 6)),
        "hardswish",
    ),
    "hardswish-hardsigmoid": (lambda b, x: b.mul(x, b.hardsigmoid(x)), "hardswish"),
    "hardsigmoid": (lambda b, x: b.div(clamp_shifted(b, x), F32(6)), "hardsigmoid"),
    "hardsigmoid-mul": (lambda b, x: b.mul(clamp_shifted(b, x), F32(1 / 6)), "hardsigmoid"),
    "hardsigmoid-unit": (
        lambda b, x: b.clamp(b.add(b.mul(x, F32(1 / 6)), F32(0.5)), min=0.0, max=1.0),
        "hardsigmoid",
    ),
}


@pytest.mark.parametrize("name", SPELLED)
def test_activations_are_found(name):
    make, op = SPELLED[name]
    check(single(lambda b, x: b.neg(make(b, b.exp(x)))), {"exp": 1, op: 1, "neg": 1}, tolerance=3e-7)


@pytest.mark.parametrize(
    "make",
    [
        lambda b, x: gelu_erf(b, x, root=1.5),
        lambda b, x: gelu_erf(b, x, half=0.51),
        lambda b, x: gelu_tanh_pow(b, x, cubic=0.0448),
        lambda b, x: b.mul(b.exp(x), b.sigmoid(x)),
        lambda b, x: b.mul(x, b.sigmoid(b.mul(x, F32(1.702)))),
        lambda b, x: b.div(clamp_shifted(b, x, 2.5), F32(6)),
        lambda b, x: b.div(b.mul(x, clamp_shifted(b, x)), F32(5)),
        lambda b, x: b.mul(x, b.tanh(b.softplus(b.neg(x)))),
    ],
)
def test_other_constants_are_no_activation(make):
    graph = single(make)
    check(graph, ops(graph), tolerance=1e-6)


def test_an_activation_whose_inside_is_read_elsewhere_stays():
    b = GraphBuilder()
    x = b.input("x", F32, (3,))
    gate = b.sigmoid(x)
    b.output("gate", gate)
    b.output("y", b.mul(x, gate))
    check(b.graph, {"sigmoid": 1, "mul": 1})


# Norms


def layer_norm(b, x, dims=(-1,), eps=1e-5, root="sqrt", square="pow"):
    d = b.sub(x, b.mean(x, dim=dims, keepdim=True))
    squared = {"pow": lambda: b.pow(d, F32(2)), "mul": lambda: b.mul(d, d), "square": lambda: b.square(d)}[square]()
    v = b.add(b.mean(squared, dim=dims, keepdim=True), F32(eps))
    return {
        "sqrt": lambda: b.div(d, b.sqrt(v)),
        "rsqrt": lambda: b.mul(d, b.rsqrt(v)),
        "reciprocal": lambda: b.mul(b.reciprocal(b.sqrt(v)), d),
        "one": lambda: b.mul(d, b.div(F32(1), b.sqrt(v))),
        "pow": lambda: b.div(d, b.pow(v, F32(0.5))),
        "negative": lambda: b.mul(d, b.pow(v, F32(-0.5))),
    }[root]()


@pytest.mark.parametrize("root", ["sqrt", "rsqrt", "reciprocal", "one", "pow", "negative"])
@pytest.mark.parametrize("square", ["pow", "mul", "square"])
def test_layer_norm_is_found(root, square):
    graph = single(
        lambda b, x: b.add(b.mul(layer_norm(b, x, root=root, square=square), weights(9)), weights(9, seed=1)),
        ("N", 3, 9),
    )
    check(graph, {"layer_norm": 1}, tolerance=1e-6, N=2)


def test_layer_norm_over_two_axes_with_padded_weights():
    graph = single(lambda b, x: b.mul(weights(1, 3, 9), layer_norm(b, x, dims=(1, 2))), (2, 3, 9))
    check(graph, {"layer_norm": 1}, tolerance=1e-6)


def test_norms_over_other_axes_stay():
    graph = single(lambda b, x: layer_norm(b, x, dims=(1,)), (2, 3, 9))
    check(graph, ops(graph))


def test_a_centred_value_that_is_read_elsewhere_is_kept():
    b = GraphBuilder()
    x = b.input("x", F32, (4, 5))
    d = b.sub(x, b.mean(x, dim=(1,), keepdim=True))
    b.output("d", d)
    b.output("y", b.div(d, b.sqrt(b.add(b.mean(b.square(d), dim=(1,), keepdim=True), F32(1e-5)))))
    check(b.graph, {"mean": 1, "sub": 1, "rms_norm": 1}, tolerance=1e-6)


def test_rms_norm_is_found():
    def make(b, x):
        v = b.add(b.mean(b.pow(x, F32(2)), dim=(-1,), keepdim=True), F32(1e-6))
        return b.mul(weights(9), b.mul(x, b.rsqrt(v)))

    check(single(make, (2, 9)), {"rms_norm": 1}, tolerance=1e-6)


def test_a_variance_that_is_read_elsewhere_stays():
    b = GraphBuilder()
    x = b.input("x", F32, (4, 5))
    v = b.add(b.mean(b.square(x), dim=(1,), keepdim=True), F32(1e-5))
    b.output("v", v)
    b.output("y", b.div(x, b.sqrt(v)))
    check(b.graph, ops(b.graph))


# Attention


def attention(b, q, k, v, *, scale="mul", mask=None, guard=False, kind="add"):
    kt = b.permute(k, dims=(*range(k.type.rank - 2), k.type.rank - 1, k.type.rank - 2))
    factor = F32(0.25)
    if scale == "both":
        q, kt = b.mul(q, F32(0.5)), b.mul(kt, F32(0.5))
    if scale == "inner":
        kt = b.permute(b.mul(k, factor), dims=(*range(k.type.rank - 2), k.type.rank - 1, k.type.rank - 2))
    s = b.matmul(q, kt)
    if scale == "mul":
        s = b.mul(s, factor)
    if scale == "div":
        s = b.div(s, F32(4))
    if mask is not None:
        s = b.add(s, mask) if kind == "add" else b.where(mask, s, F32(-np.inf))
    p = b.softmax(s, dim=-1)
    if guard:
        p = b.where(b.isnan(p), F32(0), p)
    return b.matmul(p, v)


def attention_graph(rank=4, mask=None, symbolic=True, **options):
    b = GraphBuilder()
    lead = (2, 3)[-(rank - 2) :]
    length = "L" if symbolic else 5
    q, k, v = (b.input(name, F32, (*lead, length, 8)) for name in "qkv")
    given = None if mask is None else b.input("mask", mask, (length, length))
    b.output("y", attention(b, q, k, v, mask=given, **options))
    return b.graph


@pytest.mark.parametrize("scale", ["mul", "div", "both", "inner", "none"])
def test_attention_is_found(scale):
    out = check(attention_graph(scale=scale), {"scaled_dot_product_attention": 1}, L=5)
    assert out.nodes[0].attrs["scale"] == (1.0 if scale == "none" else 0.25)


def test_masked_attention_is_found():
    check(attention_graph(mask=F32), {"scaled_dot_product_attention": 1}, L=6)
    check(attention_graph(mask=np.bool_, kind="where", guard=True), {"scaled_dot_product_attention": 1}, L=4)


def test_attention_of_rank_three_is_found():
    check(attention_graph(rank=3), {"reshape": 4, "scaled_dot_product_attention": 1}, L=5)


def test_other_softmaxes_are_no_attention():
    b = GraphBuilder()
    q, k, v = (b.input(name, F32, (2, 3, 5, 5)) for name in "qkv")
    s = b.softmax(b.matmul(q, b.permute(k, dims=(0, 1, 3, 2))), dim=-2)
    b.output("y", b.matmul(s, v))
    check(b.graph, {"permute": 1, "matmul": 2, "softmax": 1})
    b = GraphBuilder()
    q, k, v = (b.input(name, F32, (2, 3, 5, 8)) for name in "qkv")
    s = b.softmax(b.matmul(q, b.permute(k, dims=(0, 1, 3, 2))), dim=-1)
    b.output("weights", s)
    b.output("y", b.matmul(s, v))
    check(b.graph, {"permute": 1, "matmul": 2, "softmax": 1})


# Layers


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
    decompose_all(out)
    verify(out)
    assert "conv2d" in ops(out)
    inputs = random_inputs(graph, N=2)
    want = run_reference(graph, inputs, wide=True)["y"]
    np.testing.assert_allclose(run_reference(out, inputs, wide=True)["y"], want, atol=1e-9)


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
