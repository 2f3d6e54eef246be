"""Patterns as they come out of PyTorch's ONNX exporter, and random graphs: passes keep what they compute."""

import io
import warnings

import numpy as np
import pytest

from rushlight.runtime.ir import GraphBuilder
from rushlight.runtime.passes import canonicalize, decompose, fuse_epilogues
from rushlight.runtime.reference import run_reference

from .harness import F32, check_same, ops, weights

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
nn = torch.nn


class Attention(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.how = how

    def forward(self, x):
        q, k, v = (layer(x).view(x.shape[0], x.shape[1], 2, 8).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if self.how == "manual":
            y = torch.softmax(q @ k.transpose(-1, -2) / 8**0.5, -1) @ v
        else:
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.how == "causal")
        return self.o(y.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.attention, self.first, self.second = Attention(how), nn.LayerNorm(16), nn.LayerNorm(16)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        x = x + self.attention(self.first(x))
        return x + self.down(nn.functional.gelu(self.up(self.second(x))))


class RmsNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(16) + 0.5)

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


def conv_norm(inputs, outputs, size, act, **attrs):
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False, **attrs)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), act())


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = conv_norm(channels, channels, 3, nn.ReLU6)
        self.second = conv_norm(channels, channels, 3, nn.Identity)

    def forward(self, x):
        return torch.relu(self.second(self.first(x)) + x)


MODELS = {
    "manual": (lambda: Block("manual"), (2, 5, 16), {"layer_norm": 2, "linear": 6, "scaled_dot_product_attention": 1}),
    "fused": (lambda: Block("plain"), (2, 5, 16), {"layer_norm": 2, "linear": 6, "scaled_dot_product_attention": 1}),
    "causal": (lambda: Attention("causal"), (2, 5, 16), {"linear": 4, "scaled_dot_product_attention": 1}),
    "rms_norm": (RmsNorm, (2, 5, 16), {"rms_norm": 1}),
    "residual": (
        lambda: nn.Sequential(conv_norm(3, 8, 3, nn.Hardswish, stride=2), Residual(8)),
        (2, 3, 9, 8),
        {"conv2d": 3},
    ),
    "activations": (
        lambda: nn.Sequential(
            *(
                conv_norm(3, 3, 3, act)
                for act in (nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.GELU, nn.ELU, nn.LeakyReLU, nn.ReLU6)
            )
        ),
        (2, 3, 5, 5),
        {"conv2d": 8},
    ),
    "padding": (
        lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 4, 3, 2), nn.ZeroPad2d(1), nn.AvgPool2d(2)),
        (2, 3, 8, 9),
        {"conv2d": 1, "avg_pool2d": 1},
    ),
    "transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2), nn.BatchNorm2d(4)),
        (2, 3, 4, 5),
        {"conv_transpose2d": 1},
    ),
    "group_norm": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 1), nn.GroupNorm(2, 8)),
        (2, 3, 4, 5),
        {"conv2d": 1, "group_norm": 1},
    ),
}


def export(model, x, opset):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is deprecated, but the other one needs one more package
        torch.onnx.export(
            model,
            (x,),
            file,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "N"}},
            do_constant_folding=False,
        )
    return onnx.load_from_string(file.getvalue())


@pytest.mark.parametrize("opset", [14, 17])
@pytest.mark.parametrize("name", MODELS)
def test_exported_patterns_are_found(name, opset):
    from rushlight.exporter.onnx.importer import import_model

    make, shape, expected = MODELS[name]
    torch.manual_seed(0)
    model = make().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    x = torch.randn(*shape)
    graph, _ = import_model(export(model, x, opset))
    canonicalize(graph)
    fuse_epilogues(graph)
    moves = {"reshape", "permute"}
    assert {op: count for op, count in ops(graph).items() if op not in moves} == expected
    with torch.no_grad():
        want = model(x).numpy()
    np.testing.assert_allclose(run_reference(graph, {"x": x.numpy()})["y"], want, rtol=1e-4, atol=1e-5)


UNARY = ("relu", "sigmoid", "tanh", "neg", "abs", "erf", "softplus", "hardsigmoid", "square", "gelu")
BINARY = ("add", "sub", "mul", "maximum", "minimum")


def random_graph(seed):
    """Some dozen operators on values that are read at random, so that patterns appear whole and in part."""
    rng = np.random.default_rng(seed)
    b = GraphBuilder()
    values = [b.input("x", F32, (2, 4, 6)), b.input("z", F32, (2, 4, 6))]

    def pick():
        return values[max(0, len(values) - 1 - int(rng.geometric(0.5)) + 1)]

    def number():
        return F32(rng.choice([0.0, 1.0, 3.0, 6.0, 0.5, 1 / 6, -1.0, 2.0]))

    def swap(x):
        return b.permute(x, dims=(0, 2, 1))

    def norm(x):
        d = b.sub(x, b.mean(x, dim=(-1,), keepdim=True))
        return b.div(d, b.sqrt(b.add(b.mean(b.mul(d, d), dim=(-1,), keepdim=True), F32(1e-2))))

    makers = [
        lambda: getattr(b, rng.choice(UNARY))(pick()),
        lambda: getattr(b, rng.choice(BINARY))(pick(), pick()),
        lambda: getattr(b, rng.choice(BINARY))(pick(), number()),
        lambda: getattr(b, rng.choice(BINARY))(number(), pick()),
        lambda: getattr(b, rng.choice(BINARY))(pick(), weights(*rng.choice([[1, 6], [4, 1], [1, 1]]))),
        lambda: b.div(pick(), F32(rng.choice([6.0, 2.0]))),
        lambda: b.clamp(pick(), min=float(rng.choice([-1.0, 0.0])), max=float(rng.choice([1.0, 6.0]))),
        lambda: b.clamp(b.add(pick(), F32(3)), min=0.0, max=6.0),
        lambda: (lambda x: b.mul(x, b.sigmoid(x)))(pick()),
        lambda: norm(pick()),
        lambda: swap(b.tanh(swap(pick()))),
        lambda: b.reshape(b.reshape(pick(), shape=(8, 6)), shape=(2, 4, 6)),
        lambda: b.slice(
            b.concat(pick(), pick(), dim=1), axes=(1,), starts=(int(rng.integers(5)),), ends=(8,), steps=(1,)
        ),
        lambda: b.matmul(pick(), weights(6, 6, scale=0.4)),
        lambda: b.linear(pick(), weights(6, 6, scale=0.4), weights(6)),
        lambda: b.matmul(b.softmax(b.matmul(pick(), swap(pick())), dim=-1), pick()),
    ]
    for _ in range(30):
        made = makers[int(rng.integers(len(makers)))]()
        if made.shape != (2, 4, 6):
            made = b.expand(b.mean(made, dim=(1,), keepdim=True), shape=(2, 4, 6))
        values.append(made)
    for i, value in enumerate(values[-3:]):
        b.output(f"y{i}", value)
    return b.graph


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_compute_the_same(seed):
    graph = random_graph(seed)
    out = graph.clone()
    canonicalize(out)
    check_same(graph, out, 1e-5)
    fuse_epilogues(out)
    check_same(graph, out, 1e-5)
    while decompose(out, lambda node: node.op.decompose is None):
        pass
    check_same(graph, out, 1e-5)
