"""PyTorch modules and exported programs against PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import rushlight as rl  # noqa: E402
from rushlight.exporter.source import as_array  # noqa: E402
from rushlight.exporter.torch.importer import import_program  # noqa: E402
from rushlight.exporter.torch.trace import bind_inputs, evaluation, leaf_names, trace  # noqa: E402
from rushlight.runtime.ir import verify  # noqa: E402
from rushlight.runtime.reference import run_reference  # noqa: E402

Dynamic = dict[str, dict[int, str]]
BATCH: Dynamic = {"x": {0: "N"}}


class Function(nn.Module):
    """A function of x, and of y where it is given, as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function


class Unary(Function):
    def forward(self, x: Any) -> Any:
        return self.function(x)


class Binary(Function):
    def forward(self, x: Any, y: Any) -> Any:
        return self.function(x, y)


def compare(
    module: nn.Module, inputs: Any, dynamic: Dynamic | None = None, *others: Any, tolerance: float = 1e-4
) -> Any:
    """Exports with `inputs` and compares with the module on these and on `others`; the graph."""
    torch.manual_seed(0)
    named = bind_inputs(module, inputs)
    graph = import_program(trace(module, named, dynamic or {}), dynamic or {})
    verify(graph)
    for given in (inputs, *others):
        example = bind_inputs(module, given)
        arrays = {
            name: as_array(value).copy() for name, value in leaf_names(example) if isinstance(value, torch.Tensor)
        }
        with evaluation(module):
            expected = [leaf for leaf in torch.utils._pytree.tree_leaves(module(**example)) if leaf is not None]
        results = run_reference(graph, arrays)
        for result, wanted in zip(results.values(), expected, strict=True):
            array = as_array(wanted)
            assert result.shape == array.shape
            assert result.dtype == array.dtype
            np.testing.assert_allclose(result, array, tolerance, tolerance)
    return graph


def images(*shape: int) -> Any:
    return torch.randn(*shape)


LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv1d": (nn.Conv1d(3, 4, 3, padding=1, stride=2), (3, 9)),
    "conv2d_same": (nn.Conv2d(3, 4, 3, padding="same", dilation=2), (3, 8, 8)),
    "conv2d_groups": (nn.Conv2d(4, 8, 3, groups=4, bias=False), (4, 8, 8)),
    "conv3d": (nn.Conv3d(2, 3, 3), (2, 4, 5, 6)),
    "conv_transpose1d": (nn.ConvTranspose1d(3, 4, 4, stride=2), (3, 5)),
    "conv_transpose2d": (nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1, groups=2), (4, 5, 5)),
    "batch_norm": (nn.BatchNorm2d(3), (3, 4, 4)),
    "batch_norm1d": (nn.BatchNorm1d(5), (5,)),
    "layer_norm": (nn.LayerNorm((3, 4)), (2, 3, 4)),
    "rms_norm": (nn.RMSNorm(6), (2, 6)),
    "group_norm": (nn.GroupNorm(2, 4), (4, 3, 3)),
    "instance_norm": (nn.InstanceNorm2d(3, affine=True), (3, 4, 5)),
    "max_pool1d": (nn.MaxPool1d(3, stride=2, padding=1), (3, 9)),
    "max_pool2d": (nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), (3, 8, 8)),
    "avg_pool1d": (nn.AvgPool1d(2), (3, 8)),
    "avg_pool2d": (nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False), (3, 8, 8)),
    "adaptive_avg_pool1d": (nn.AdaptiveAvgPool1d(3), (2, 7)),
    "adaptive_avg_pool2d": (nn.AdaptiveAvgPool2d((2, 3)), (3, 5, 7)),
    "adaptive_max_pool2d": (nn.AdaptiveMaxPool2d(1), (3, 5, 7)),
    "linear": (nn.Linear(5, 3, bias=False), (4, 5)),
    "gelu_tanh": (nn.GELU("tanh"), (5,)),
    "hardtanh": (nn.Hardtanh(-2, 0.5), (5,)),
    "relu6": (nn.ReLU6(inplace=True), (5,)),
    "softplus": (nn.Softplus(beta=2.0), (5,)),
    "prelu": (nn.PReLU(3), (3, 4)),
    "elu": (nn.ELU(0.7), (5,)),
    "selu": (nn.SELU(), (5,)),
    "celu": (nn.CELU(0.5), (5,)),
    "glu": (nn.GLU(dim=1), (6, 2)),
    "leaky_relu": (nn.LeakyReLU(0.2), (5,)),
    "hardswish": (nn.Hardswish(inplace=True), (5,)),
    "mish": (nn.Mish(), (5,)),
    "softsign": (nn.Softsign(), (5,)),
    "threshold": (nn.Threshold(0.1, 20), (5,)),
    "log_softmax": (nn.LogSoftmax(1), (5, 2)),
    "dropout": (nn.Dropout(0.5), (5,)),
    "embedding_bag_free": (nn.Unflatten(1, (2, 3)), (6, 4)),
    "pixel_shuffle": (nn.PixelShuffle(2), (8, 3, 4)),
    "pixel_unshuffle": (nn.PixelUnshuffle(2), (2, 6, 4)),
    "upsample_nearest": (nn.Upsample(scale_factor=2), (3, 4, 5)),
    "upsample_bilinear": (nn.Upsample(scale_factor=1.5, mode="bilinear"), (3, 4, 6)),
    "upsample_aligned": (nn.Upsample((7, 9), mode="bilinear", align_corners=True), (3, 4, 5)),
    "upsample_bicubic": (nn.Upsample((7, 9), mode="bicubic"), (3, 4, 5)),
    "reflection_pad": (nn.ReflectionPad2d((1, 2, 2, 1)), (3, 4, 5)),
    "replication_pad": (nn.ReplicationPad1d(2), (3, 4)),
    "zero_pad": (nn.ZeroPad2d((-1, 1, 0, 2)), (3, 4, 5)),
    "transformer": (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu"), (5, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str) -> None:
    """The example's batch of 1 is enough for a dynamic batch."""
    layer, shape = LAYERS[name]
    graph = compare(layer, (images(1, *shape),), next_batch(layer), (images(3, *shape),))
    assert "N" in {str(dim) for dim in graph.inputs[0].shape}


def next_batch(layer: nn.Module) -> Dynamic:
    """The first parameter of forward, whose name differs from layer to layer, with a dynamic batch."""
    import inspect

    return {next(iter(inspect.signature(layer.forward).parameters)): {0: "N"}}


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "var": (lambda x: (x.var(1), x.std((1, 2), unbiased=False), torch.var_mean(x, 2, keepdim=True)), (3, 4)),
    "norms": (lambda x: F.normalize(x, dim=1) + x.norm(p=1, dim=1, keepdim=True), (3, 4)),
    "extremes": (lambda x: (x.max(1), x.min(2), x.amax((1, 2)), x.argmax(1), x.max()), (3, 4)),
    "topk": (lambda x: (x.topk(2, 1), x.sort(2, descending=True)), (3, 4)),
    "cumulative": (lambda x: (x.cumsum(1), x.logsumexp(2), x.prod(1), (x > 0).any(1), (x > 0).all()), (3, 4)),
    "views": (lambda x: x.transpose(1, 2).reshape(-1, 12).view(-1, 3, 4).flip(2).movedim(1, 2), (3, 4)),
    "parts": (
        lambda x: (x.chunk(2, 2), x.split(2, 1), x.unbind(1), x[:, -1], x[:, 1:-1, ::2], x.narrow(2, 1, 2)),
        (4, 5),
    ),
    "joins": (lambda x: (torch.cat([x, x * 2], 1), torch.stack([x, x], -1), torch.hstack([x, x])), (3, 4)),
    "repeats": (lambda x: (x.repeat(2, 1, 3), x.repeat_interleave(2, 1), x.tile(1, 2)), (3, 4)),
    "rolls": (lambda x: (x.roll(1, 1), x.roll((1, -2), (1, 2)), x.tril(), x.triu(1)), (3, 4)),
    "numbers": (lambda x: 1 - x / 2 + 2 ** x.clamp(-1, 1) + x**2 - x.abs().sqrt() * 3 + (x // 0.5) + x % 2, (3, 4)),
    "logic": (
        lambda x: torch.where((x > 0) & ~(x > 1) | (x < -1), x, torch.zeros_like(x)).masked_fill(x > 2, 9.0),
        (3,),
    ),
    "integers": (lambda x: (x * 10).long() // 3 + (x * 10).int() % 4 + (x > 0), (3, 4)),
    "conversions": (lambda x: (x.double(), x.half().float(), x.to(torch.int32), x.bool(), x.type_as(x.long())), (3,)),
    "created": (
        lambda x: x + torch.arange(x.shape[-1]) + torch.ones(3, 1) + torch.full((1,), 0.5) + x.new_zeros(4),
        (3, 4),
    ),
    "sizes": (lambda x: x.sum() / x.shape[0] + x.size(1) * torch.arange(x.shape[0]).sum(), (3, 4)),
    "einsum": (lambda x: torch.einsum("nij,nkj->nik", x, x), (3, 4)),
    "indexed": (lambda x: (x[:, [2, 0]], x[:, :, torch.tensor([[0, 1], [1, 3]])], x[:, [0, 1], [2, 3]]), (3, 4)),
    "written": (lambda x: write(x), (3, 4)),
    "scattered": (lambda x: torch.zeros_like(x).scatter(1, x.argmax(1, keepdim=True), 1.0), (3, 4)),
    "trigonometry": (lambda x: x.sin() * x.cos() + x.tan() + x.exp().log1p() + x.erf() + x.sigmoid().rsqrt(), (3,)),
    "rounding": (lambda x: x.round() + x.floor() + x.ceil() + x.trunc() + x.sign() + (x * 3).frac(), (3,)),
    "matrices": (lambda x: torch.baddbmm(x @ x.mT, x, x.mT) + torch.bmm(x, x.mT), (3, 4)),
    "inplace": (lambda x: (x + 1).relu_().add_(2).mul_(3), (3, 4)),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), (2, 5, 4)),
    "three_axes": (lambda x: F.scaled_dot_product_attention(x, x, x), (5, 4)),
    "one_hot": (lambda x: F.one_hot((x > 0).long(), 3), (3, 4)),
    "glued": (lambda x: torch.addcmul(x, x, x, value=0.5) + torch.lerp(x, x * 2, 0.25), (3,)),
}


def write(x: Any) -> Any:
    out = torch.zeros_like(x)
    out[:, 1:] = x[:, :-1]
    out[:, 0] += 2
    return out


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    function, shape = FUNCTIONS[name]
    compare(Unary(function), (images(2, *shape),), BATCH, (images(3, *shape),))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrent(kind: Any, layers: int) -> None:
    layer = kind(5, 6, num_layers=layers, batch_first=True, bidirectional=True)
    compare(layer, (images(1, 4, 5),), {"input": {0: "N", 1: "T"}}, (images(3, 7, 5),))


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.table.weight
        self.register_buffer("offset", torch.ones(4))

    def forward(self, ids: Any, mask: Any | None = None) -> Any:
        x = self.table(ids) + self.offset
        if mask is not None:
            x = x * mask[..., None]
        return {"logits": self.head(x), "states": [x, x.mean(1)], "length": ids.shape[1]}


def test_names_of_inputs_and_outputs_and_tied_weights() -> None:
    ids, mask = torch.arange(6).reshape(2, 3), torch.ones(2, 3)
    dynamic: Dynamic = {"ids": {0: "N", 1: "S"}, "mask": {0: "N", 1: "S"}}
    other = {"ids": torch.arange(4).reshape(1, 4), "mask": torch.zeros(1, 4)}
    graph = compare(Nested(), {"ids": ids, "mask": mask}, dynamic, other)
    assert [str(value.type) for value in graph.inputs] == ["int64[N, S]", "float32[N, S]"]
    assert [name for name, _ in graph.outputs] == ["logits", "states.0", "states.1", "length"]
    weights = [value for value in graph.constants() if value.shape == (7, 4)]
    assert len(weights) == 1
    assert weights[0].name in ("table.weight", "head.weight")
    assert [name for name, _ in compare(Unary(lambda x: (x, x + 1)), (images(2),)).outputs] == ["out0", "out1"]


def test_module_keeps_its_mode() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.9), nn.BatchNorm1d(4))
    module[2].eval()
    modes = [part.training for part in module.modules()]
    before = {name: value.clone() for name, value in module.state_dict().items()}
    program = rl.export(module, (images(2, 4),), dynamic={"input": {0: "N"}})
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    x = images(3, 4)
    with evaluation(module):
        expected = module(x).numpy()
    np.testing.assert_allclose(run_reference(program.graph, {"input": x.numpy()})["output"], expected, 1e-4, 1e-4)


def test_exported_program() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    x = images(2, 3, 6, 6)
    module(x)
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
    program = rl.export(torch.export.export(module.eval(), (x,), dynamic_shapes=shapes), dynamic={"input": {0: "N"}})
    assert str(program.graph.inputs[0].type) == "float32[N, 3, 6, 6]"
    assert program.graph.symbols["N"].high == 64
    given = images(5, 3, 6, 6)
    results = run_reference(program.graph, {"input": given.numpy()})
    np.testing.assert_allclose(results["output"], module(given).detach(), 1e-4, 1e-4)


def test_weights_are_copied() -> None:
    module = nn.Linear(2, 2)
    program = rl.export(module, (images(1, 2),))
    before = [np.array(value.data) for value in program.graph.constants()]
    with torch.no_grad():
        module.weight.add_(1)
    assert all(np.array_equal(value.data, old) for value, old in zip(program.graph.constants(), before, strict=True))


def test_all_unsupported_operators_are_named_at_once() -> None:
    module = Unary(lambda x: (torch.fft.fft(x).real, torch.linalg.svd(x)[1], torch.special.digamma(x), x.nonzero()))
    with pytest.raises(rl.UnsupportedError) as error:
        rl.export(module, (images(3, 3),))
    for name in ("fft", "svd", "digamma", "nonzero"):
        assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("module", "inputs", "dynamic", "message"),
    [
        (nn.Linear(2, 2), None, None, "needs example inputs"),
        (nn.Linear(2, 2), (images(1, 2), images(1, 2)), None, "do not fit forward"),
        (nn.Linear(2, 2), {"y": images(1, 2)}, None, "do not fit forward"),
        (nn.Linear(2, 2), (images(1, 2),), {"x": {0: "N"}}, "the inputs are input"),
        (nn.Linear(2, 2), (images(1, 2),), {"input": {5: "N"}}, "no axis 5"),
        (nn.Linear(2, 2), (images(1, 2),), {"input": {0: 4}}, "must have a name"),
        (Unary(lambda x: x.to(torch.complex64)), (images(2),), None, "complex64"),
        (Unary(lambda x: x if x.sum() > 0 else -x), (images(2),), None, "cannot export"),
        (Unary(lambda x: x.view(4, -1)), (images(4, 2),), {"x": {0: "N"}}, "N|x"),
        ("model.pt2", None, None, "not a format"),
        ("missing.onnx", None, None, "no such file"),
        (3, None, None, "cannot export a int"),
    ],
)
def test_errors_are_one_line(module: Any, inputs: Any, dynamic: Any, message: str) -> None:
    with pytest.raises(rl.RushlightError, match=message) as error:
        rl.export(module, inputs, dynamic)
    assert "\n" not in str(error.value)
