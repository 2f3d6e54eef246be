"""References of layers, pools, moves, indexing, attention and recurrence against PyTorch, in float64."""

import numpy as np
import pytest

from rushlight.runtime.errors import ShapeError
from rushlight.runtime.ops import get, registry
from rushlight.runtime.ops.activation import ACTIVATIONS, activate, match_activation
from rushlight.runtime.types import parse_dim, tensor_type

torch = pytest.importorskip("torch")
F = torch.nn.functional


def first(x, layout):
    return x.movedim(-1, 1) if layout == "NHWC" else x


def back(x, layout):
    return x.movedim(1, -1) if layout == "NHWC" else x


def pairs(begins_then_ends):
    """Padding as `F.pad` takes it: last axis first."""
    n = len(begins_then_ends) // 2
    return [begins_then_ends[i + end * n] for i in reversed(range(n)) for end in (0, 1)]


PEER_ACTIVATIONS = {
    "none": lambda x, alpha, beta: x,
    "relu": lambda x, alpha, beta: F.relu(x),
    "clamp": lambda x, alpha, beta: x.clamp(alpha, beta),
    "sigmoid": lambda x, alpha, beta: x.sigmoid(),
    "tanh": lambda x, alpha, beta: x.tanh(),
    "silu": lambda x, alpha, beta: F.silu(x),
    "gelu": lambda x, alpha, beta: F.gelu(x),
    "gelu_tanh": lambda x, alpha, beta: F.gelu(x, approximate="tanh"),
    "hardswish": lambda x, alpha, beta: F.hardswish(x),
    "hardsigmoid": lambda x, alpha, beta: F.hardsigmoid(x),
    "leaky_relu": lambda x, alpha, beta: F.leaky_relu(x, alpha),
    "elu": lambda x, alpha, beta: F.elu(x, alpha),
    "mish": lambda x, alpha, beta: F.mish(x),
    "softplus": lambda x, alpha, beta: F.softplus(x, threshold=1e9),
}


def convolution(function):
    def run(x, w, bias=None, residual=None, *, stride, padding, dilation, groups, layout="NCHW", **act):
        y = back(function(F.pad(first(x, layout), pairs(padding)), w, bias, stride, 0, dilation, groups), layout)
        y = y if residual is None else y + residual
        return PEER_ACTIVATIONS[act["activation"]](y, act["alpha"], act["beta"]) if act else y

    return run


def transposed(function):
    def run(x, w, bias=None, *, stride, padding, output_padding, dilation, groups, layout="NCHW"):
        y = function(first(x, layout), w, None, stride, 0, 0, groups, dilation)
        n = len(stride)
        y = F.pad(y, pairs((*(0,) * n, *output_padding)))
        for i in range(n):
            y = y.narrow(2 + i, padding[i], y.shape[2 + i] - padding[i] - padding[n + i])
        return back(y if bias is None else y + bias.view(-1, *(1,) * n), layout)

    return run


def linear(x, w, bias=None, residual=None, *, activation, alpha, beta):
    y = F.linear(x, w, bias)
    return PEER_ACTIVATIONS[activation](y if residual is None else y + residual, alpha, beta)


def max_pool(x, *, kernel_size, stride, padding, dilation, ceil_mode, layout):
    if ceil_mode and padding[:2] != padding[2:]:
        return None
    x = first(x, layout).double()
    if padding[:2] != padding[2:]:
        x, padding = F.pad(x, pairs(padding), value=-1e9), (0, 0)
    return back(F.max_pool2d(x, kernel_size, stride, padding[:2], dilation, ceil_mode), layout)


def avg_pool(x, *, kernel_size, stride, padding, ceil_mode, count_include_pad, layout):
    if padding[:2] != padding[2:]:
        return None
    return back(F.avg_pool2d(first(x, layout), kernel_size, stride, padding[:2], ceil_mode, count_include_pad), layout)


def interpolate(x, *, size, mode, coordinates, rounding, scales, layout):
    modes = {
        ("nearest", "asymmetric", "floor"): ("nearest", None),
        ("nearest", "half_pixel", "round_prefer_ceil"): ("nearest-exact", None),
        ("linear", "half_pixel", "floor"): ("bilinear", False),
        ("linear", "align_corners", "floor"): ("bilinear", True),
        ("cubic", "half_pixel", "floor"): ("bicubic", False),
        ("cubic", "align_corners", "floor"): ("bicubic", True),
    }
    if scales is not None or (mode, coordinates, rounding) not in modes:
        return None
    name, corners = modes[mode, coordinates, rounding]
    return back(F.interpolate(first(x, layout), size, mode=name, align_corners=corners), layout)


def attention(q, k, v, mask=None, *, is_causal, scale, enable_gqa, rows_first):
    if rows_first:
        out = attention(
            *(x.transpose(1, 2) for x in (q, k, v)),
            mask,
            is_causal=is_causal,
            scale=scale,
            enable_gqa=enable_gqa,
            rows_first=False,
        )
        return out.transpose(1, 2)
    if mask is not None and is_causal:
        mask, is_causal = mask & torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril(), False
    return F.scaled_dot_product_attention(q, k, v, mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa)


def window_attention(q, k, v, rows, bias=None, mask=None, *, scale):
    windows, length = rows.shape
    batch, heads = q.shape[0], q.shape[2]
    q, k, v = (x[:, rows].transpose(2, 3) for x in (q, k, v))
    total = torch.zeros(batch, windows, heads, length, length, dtype=q.dtype)
    if bias is not None:
        total = total + bias
    if mask is not None:
        total = total + mask[:, None]
    out = F.scaled_dot_product_attention(q, k, v, total, scale=scale).transpose(2, 3)
    return out.flatten(1, 2)[:, torch.argsort(rows.flatten())]


def recurrent(cell, states):
    def run(x, *operands, batch_first, bidirectional, reverse, linear_before_reset=True):
        if 0 in x.shape or not linear_before_reset:
            return None
        initial, (w_ih, w_hh, b_ih, b_hh) = operands[:states], operands[states:]
        x = x.flip(0) if reverse else x
        layer = cell(x.shape[-1], w_hh.shape[-1], 1, b_ih is not None, batch_first, 0.0, bidirectional).double()
        tensors = {"weight_ih_l0": w_ih, "weight_hh_l0": w_hh, "bias_ih_l0": b_ih, "bias_hh_l0": b_hh}
        named = {
            name + suffix: tensor[direction]
            for direction, suffix in enumerate(("", "_reverse")[: len(w_ih)])
            for name, tensor in tensors.items()
            if tensor is not None
        }
        layer.load_state_dict(named)
        with torch.no_grad():
            y, last = layer(x, tuple(initial) if states == 2 else initial[0])
        return (y.flip(0) if reverse else y, *(last if states == 2 else [last]))

    return run


def scan(cell, states):
    """The layer whose input weights pass every direction its own products."""
    layer = recurrent(cell, states)

    def run(x, *operands, **attrs):
        initial, w_hh = operands[:states], operands[states]
        directions, gates, hidden = w_hh.shape
        w_ih = torch.eye(directions * gates, dtype=torch.float64).reshape(directions, gates, -1)
        b_ih, b_hh = torch.zeros(2, directions, gates, dtype=torch.float64)
        if len(operands) > states + 1 and operands[-1] is not None:
            b_hh[:, -hidden:] = operands[-1]
        return layer(x, *initial, w_ih, w_hh, b_ih, b_hh, **attrs)

    return run


def scatter(x, index, src, *, dim, reduction):
    index = index % x.shape[dim]
    if reduction == "none":
        return x.scatter(dim, index, src)
    return x.scatter_reduce(dim, index, src, {"add": "sum", "mul": "prod"}.get(reduction, reduction))


def index_select(x, index, *, dim):
    dim = dim % x.ndim
    flat = x.index_select(dim, (index % x.shape[dim]).reshape(-1))
    return flat.reshape(*x.shape[:dim], *index.shape, *x.shape[dim + 1 :])


def pad(x, *, pads, mode, value):
    if mode == "constant":
        value = bool(value) if x.dtype == torch.bool else value
        return F.pad(x.double(), pairs(pads), value=value)
    n = x.ndim
    moved = [i for i in range(n) if pads[i] or pads[n + i]]
    widths = [pads[moved[0]], pads[n + moved[0]]]
    assert moved == [n - 1] or mode == "edge"
    if mode == "edge":
        return F.pad(x[None, None], pairs(pads), mode="replicate")[0, 0]
    return F.pad(x, widths, mode="reflect")


def slice_(x, *, axes, starts, ends, steps):
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        x = x.index_select(axis, torch.arange(start, end, step))
    return x


PEERS = {
    "linear": linear,
    "matmul": torch.matmul,
    "conv1d": convolution(F.conv1d),
    "conv2d": convolution(F.conv2d),
    "conv3d": convolution(F.conv3d),
    "conv_transpose1d": transposed(F.conv_transpose1d),
    "conv_transpose2d": transposed(F.conv_transpose2d),
    "max_pool2d": max_pool,
    "avg_pool2d": avg_pool,
    "adaptive_avg_pool2d": lambda x, output_size, layout: back(
        F.adaptive_avg_pool2d(first(x, layout), output_size), layout
    ),
    "interpolate": interpolate,
    "scaled_dot_product_attention": attention,
    "window_attention": window_attention,
    "lstm": recurrent(torch.nn.LSTM, 2),
    "gru": recurrent(torch.nn.GRU, 1),
    "lstm_scan": scan(torch.nn.LSTM, 2),
    "gru_scan": scan(torch.nn.GRU, 1),
    "reshape": lambda x, shape: x.reshape(shape),
    "permute": lambda x, dims: x.permute(dims) if dims else x,
    "expand": lambda x, shape: x.expand(shape),
    "slice": slice_,
    "concat": lambda *tensors, dim: torch.cat(tensors, dim),
    "pad": pad,
    "flip": torch.flip,
    "tile": lambda x, repeats: x.repeat(repeats),
    "gather": lambda x, index, dim: torch.gather(x, dim, index % x.shape[dim]),
    "index_select": index_select,
    "scatter": scatter,
    "topk": lambda x, k, dim, largest, sorted: (
        torch.topk(x, k, dim, largest, sorted) if x.dtype == torch.float64 else None
    ),
    "one_hot": lambda index, num_classes: F.one_hot(index.long(), num_classes),
    "tril": torch.tril,
    "triu": torch.triu,
    "full": lambda shape, value, dtype: torch.full(shape, value, dtype=getattr(torch, dtype)),
    "arange": lambda bounds, dtype: (
        torch.arange(*bounds, dtype=getattr(torch, dtype)) if (bounds[1] - bounds[0]) * bounds[2] >= 0 else None
    ),
}


def wide(array):
    if array is None:
        return None
    return array.astype(np.float64) if array.dtype == np.float32 else array


def run_onnx(op, arrays, **attrs):
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    names = [f"i{i}" for i in range(len(arrays))]
    infos = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in zip(names, arrays, strict=True)
    ]
    out = onnx.helper.make_tensor_value_info("out", infos[0].type.tensor_type.elem_type, None)
    node = onnx.helper.make_node(op, names, ["out"], **attrs)
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", infos, [out]), opset_imports=[onnx.helper.make_opsetid("", 18)]
    )
    return reference.ReferenceEvaluator(model).run(None, dict(zip(names, arrays, strict=True)))[0]


@pytest.mark.parametrize(("name", "peer"), [("gather_nd", "GatherND"), ("scatter_nd", "ScatterND")])
def test_agrees_with_onnx(name, peer):
    op = get(name)
    for case in op.cases():
        attrs = op.complete_attrs(case.attrs)
        (ours,) = op.run_reference(case.inputs, attrs)
        np.testing.assert_array_equal(ours, run_onnx(peer, case.inputs, **attrs))


@pytest.mark.parametrize("name", PEERS)
def test_agrees_with_torch(name):
    op = get(name)
    compared = 0
    for index, case in enumerate(op.cases()):
        attrs = op.complete_attrs(case.attrs)
        inputs = [wide(array) for array in case.inputs]
        peer = PEERS[name](*(None if a is None else torch.from_numpy(a.copy()) for a in inputs), **attrs)
        if peer is None:  # PyTorch does not have this combination
            continue
        compared += 1
        results = op.run_reference(inputs, attrs)
        tensors = (peer,) if isinstance(peer, torch.Tensor) else tuple(peer)
        for ours, theirs in zip(results, tensors, strict=True):
            assert ours.shape == tuple(theirs.shape), f"case {index}"
            np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-9, atol=1e-9, err_msg=f"case {index} {case.attrs}")
    assert compared > 0


def test_every_activation_matches_its_own_operator():
    x = np.linspace(-8, 8, 41)
    for name in ACTIVATIONS:
        alpha, beta = (-1.0, 2.0) if name == "clamp" else (0.3, 0.0)
        wanted = PEER_ACTIVATIONS[name](torch.from_numpy(x), alpha, beta).numpy()
        np.testing.assert_allclose(activate(x, name, alpha, beta), wanted, rtol=1e-9, atol=1e-12)
    assert match_activation("clamp", {"min": 0.0, "max": None}) == {
        "activation": "clamp",
        "alpha": 0.0,
        "beta": float("inf"),
    }
    assert match_activation("exp", {}) is None


def test_control_flow_follows_its_condition():
    cond, loop = get("cond"), get("while_loop")
    for case in cond.cases():
        taken = np.maximum(case.inputs[1], 0) if case.inputs[0] else -case.inputs[1]
        np.testing.assert_array_equal(cond.run_reference(case.inputs, case.attrs)[0], taken)
    for case in loop.cases():
        count, x = loop.run_reference(case.inputs, case.attrs)
        assert count == 5
        np.testing.assert_array_equal(x, case.inputs[1] * 0.5 ** (5 - case.inputs[0]))


# Symbolic shapes


def shape_of(op, *shapes, **attrs):
    definition = get(op)
    types = [None if shape is None else tensor_type(np.float32, shape) for shape in shapes]
    return definition.infer_types(types, definition.complete_attrs(attrs))[0].shape


def dims(*texts):
    return tuple(parse_dim(str(text)) for text in texts)


def test_symbolic_sizes_of_windows():
    assert shape_of("conv2d", ("N", 3, "H", "W"), (8, 3, 3, 5), stride=(2, 1), padding=(1, 2, 1, 2)) == dims(
        "N", 8, "(H-1)//2+1", "W"
    )
    assert shape_of("conv_transpose2d", (1, 3, "H", 4), (3, 8, 2, 2), stride=(2, 2)) == dims(1, 8, "2*H", 8)
    assert shape_of("max_pool2d", ("N", "H", "W", 3), kernel_size=(2, 2), stride=(2, 2), layout="NHWC") == dims(
        "N", "H//2", "W//2", 3
    )


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_symbolic_ceil_mode_agrees_with_torch(kernel, padding, stride):
    attrs = {"kernel_size": (kernel, 1), "stride": (stride, 1), "ceil_mode": True}
    height = shape_of("max_pool2d", (1, 1, "H", 1), padding=(padding, 0, padding, 0), **attrs)[2]
    for size in range(kernel, 12):
        peer = F.max_pool2d(torch.zeros(1, 1, size, 1), (kernel, 1), (stride, 1), (padding, 0), ceil_mode=True)
        assert (height if isinstance(height, int) else height.evaluate({"H": size})) == peer.shape[2]


def test_symbolic_moves():
    assert shape_of("reshape", ("N", 4, "S"), shape=dims("N*S", 4)) == dims("N*S", 4)
    assert shape_of("slice", ("N", 4), axes=(0,), starts=(1,), ends=dims("N"), steps=(2,)) == dims("(N)//2", 4)
    assert shape_of("concat", ("N", 4), ("M", 4), dim=0) == dims("M+N", 4)
    assert shape_of("pad", ("N", 4), pads=(1, 0, 2, 3)) == dims("N+3", 7)
    assert shape_of("matmul", ("B", 1, "L", 8), (4, 8, "S")) == dims("B", 4, "L", "S")


@pytest.mark.parametrize(
    ("op", "shapes", "attrs"),
    [
        ("reshape", [("N", 4)], {"shape": dims("N", 5)}),
        ("reshape", [("N", 4)], {"shape": dims("4*M")}),
        ("reshape", [(3, 4)], {"shape": (-3, -4)}),
        ("permute", [(3, 4)], {"dims": (0, 0)}),
        ("permute", [(3, 4)], {"dims": (0,)}),
        ("expand", [("N",)], {"shape": (3,)}),
        ("slice", [(3,)], {"axes": (0,), "starts": (0,), "ends": (4,), "steps": (1,)}),
        ("slice", [(3,)], {"axes": (0,), "starts": (0,), "ends": (3,), "steps": (0,)}),
        ("concat", [(3, 4), (3, 5)], {"dim": 0}),
        ("pad", [(3,)], {"pads": (0, -1)}),
        ("pad", [(3,)], {"pads": (0, 3), "mode": "reflect"}),
        ("conv2d", [(1, 3, 8, 8), (4, 2, 3, 3)], {}),
        ("conv2d", [(1, 3, 8, 8), (4, 3, 3, 3)], {"padding": (1, 1)}),
        ("conv2d", [(1, 3, 8, 8), (4, 3, 3, 3)], {"stride": (0, 1)}),
        ("conv2d", [(1, 3, 2, 8), (4, 3, 3, 3)], {}),
        ("conv2d", [(1, 3, 8, 8), (4, 3, 1, 1), (5,)], {}),
        ("conv2d", [(1, 3, 8, 8), (4, 3, 1, 1), (4,), (1, 4, 8, 7)], {}),
        ("conv2d", [(1, "C", 8, 8), (4, 3, 1, 1)], {}),
        ("conv_transpose2d", [(1, 3, 1, 1), (3, 4, 2, 2)], {"padding": (1, 1, 1, 1)}),
        ("max_pool2d", [(1, 3, 8, 8)], {"kernel_size": (2, 2), "stride": (2, 2), "padding": (2, 0, 0, 0)}),
        ("linear", [(4, 3), (5, 4)], {}),
        ("linear", [(4, 3), (5, 3), None, (4, 4)], {}),
        ("matmul", [(4, 3), (4, 3)], {}),
        ("scaled_dot_product_attention", [(1, 4, 3, 8), (1, 2, 3, 8), (1, 2, 3, 8)], {}),
        ("interpolate", [(1, 3, 4, 4)], {"size": (0, 4)}),
        ("topk", [(4,)], {"k": 5}),
    ],
)
def test_what_does_not_fit_is_an_error(op, shapes, attrs):
    with pytest.raises(ShapeError, match=f"^{op}: "):
        shape_of(op, *shapes, **attrs)


def test_every_operator_here_is_compared():
    others = {"gather_nd", "scatter_nd", "dim_values", "cond", "while_loop"}
    families = {"linear", "conv", "pool", "move", "index", "create", "attention", "rnn", "resize", "control"}
    assert {op.name for op in registry().values() if op.family in families} == set(PEERS) | others
