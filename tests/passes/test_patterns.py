"""Patterns: activations, norms and attention that a model spells out are found, near misses are not."""

import math

import numpy as np
import pytest

from rushlight.runtime.ir import GraphBuilder

from .harness import F32, check, ops, single, weights

# Activations


def gelu_erf(b, x, half=0.5, root=2**0.5):
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


@pytest.mark.parametrize("kind", ["add", "where"])
def test_a_constant_triangle_is_causal(kind):
    def graph(keep):
        b = GraphBuilder()
        q, k, v = (b.input(name, F32, (2, 3, 5, 8)) for name in "qkv")
        mask = keep if kind == "where" else np.where(keep, 0, -np.inf).astype(F32)
        b.output("y", attention(b, q, k, v, mask=mask, kind=kind))
        return b.graph

    lower = np.tril(np.ones((5, 5), bool))
    out = check(graph(lower), {"scaled_dot_product_attention": 1})
    assert out.nodes[0].attrs["is_causal"]
    assert out.nodes[0].inputs[3] is None
    out = check(graph(np.ones((1, 1, 5, 5), bool)), {"scaled_dot_product_attention": 1})
    assert out.nodes[0].inputs[3] is None
    out = check(graph(lower | (np.eye(5, k=1) > 0)), {"scaled_dot_product_attention": 1})
    assert out.nodes[0].inputs[3] is not None


def spelled_group_norm(b, x, groups, weight=1.0):
    n, c, h, w = x.shape
    inner = b.reshape(x, shape=(n, groups, c // groups * h * w))
    ones = np.full(groups, weight, F32)
    normed = b.group_norm(inner, ones, np.zeros(groups, F32), num_groups=groups, eps=1e-3)
    return b.add(b.mul(b.reshape(normed, shape=(n, c, h, w)), weights(c, 1, 1)), weights(c, 1, 1, seed=1))


def test_group_norm_is_found():
    check(single(lambda b, x: spelled_group_norm(b, x, 3), ("N", 6, 4, 5)), {"group_norm": 1}, N=2)
    graph = single(lambda b, x: spelled_group_norm(b, x, 3, weight=2.0), (1, 6, 4, 5))
    check(graph, {"reshape": 2, "group_norm": 1, "mul": 1, "add": 1})
