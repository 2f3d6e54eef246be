"""EfficientNet-Lite0 from the tensors of a PyTorch checkpoint.

Architecture: Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (2019), in the Lite
variant of TensorFlow's model garden: ReLU6 instead of swish, no squeeze-and-excitation.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

import numpy as np

from rushlight.runtime.errors import FormatError
from rushlight.runtime.ir import GraphBuilder, Value
from rushlight.runtime.ops import Array
from rushlight.runtime.program import Program

SIZE = 224
CLASSES = 1000
HALVING_BLOCKS = frozenset({1, 3, 5, 11})
"""Blocks whose depthwise convolution has stride 2; the tensors do not tell."""
EPSILON = 1e-3
"""Of all batch norms."""
PIXEL_MEAN, PIXEL_DEVIATION = 127.0, 128.0
"""Pixels become (byte - 127) / 128, as in training."""


def build_network(weights: Mapping[str, Array]) -> Program:
    """The program: image UINT8 [N, 224, 224, 3] (RGB) -> logits FP32 [N, 1000]. Raises FormatError."""
    return _Network(weights).build()


class _Network:
    def __init__(self, weights: Mapping[str, Array]) -> None:
        self._weights = weights
        self._b = GraphBuilder()

    def build(self) -> Program:
        b = self._b
        image = b.input("image", np.uint8, ("N", SIZE, SIZE, 3))
        centred = b.sub(b.cast(image, dtype="float32"), b.constant(PIXEL_MEAN, "pixel_mean"))
        x = b.mul(centred, b.constant(1 / PIXEL_DEVIATION, "pixel_scale"), name="pixels")
        x = self._conv(x, "_conv_stem", "_bn0", stride=2)
        for index in count():
            if f"_blocks.{index}._depthwise_conv.weight" not in self._weights:
                break
            x = self._block(x, f"_blocks.{index}", 2 if index in HALVING_BLOCKS else 1)
        x = self._conv(x, "_conv_head", "_bn1")
        x = b.mean(x, dim=(1, 2), keepdim=False, name="pool")
        weight, bias = (b.constant(self._tensor(f"_fc.{part}"), f"_fc.{part}") for part in ("weight", "bias"))
        b.output("logits", b.linear(x, weight, bias, name="_fc"))
        program: Program = b.build()
        return program

    def _block(self, x: Value, name: str, stride: int) -> Value:
        out = x
        if f"{name}._expand_conv.weight" in self._weights:
            out = self._conv(out, f"{name}._expand_conv", f"{name}._bn0")
        out = self._conv(out, f"{name}._depthwise_conv", f"{name}._bn1", stride, groups=out.shape[3])
        out = self._conv(out, f"{name}._project_conv", f"{name}._bn2", clamps=False)
        if stride == 1 and out.shape[3] == x.shape[3]:
            out = self._b.add(out, x, name=f"{name}.add")
        return out

    def _conv(self, x: Value, conv: str, norm: str, stride: int = 1, groups: int = 1, clamps: bool = True) -> Value:
        """Convolution without bias, batch norm and, where `clamps`, ReLU6."""
        b = self._b
        weight = self._tensor(f"{conv}.weight")
        padding = _same_padding(x.shape[1], weight.shape[2], stride)
        out = b.conv2d(
            x,
            b.constant(weight, f"{conv}.weight"),
            stride=(stride, stride),
            padding=padding,
            groups=groups,
            layout="NHWC",
            name=conv,
        )
        parts = {part: self._tensor(f"{norm}.{part}") for part in ("running_mean", "running_var", "weight", "bias")}
        constants = [b.constant(array, f"{norm}.{part}") for part, array in parts.items()]
        normal: Value = b.batch_norm(out, *constants, eps=EPSILON, layout="NHWC", name=norm)
        if not clamps:
            return normal
        clamped: Value = b.clamp(normal, min=0.0, max=6.0, name=f"{conv}.relu6")
        return clamped

    def _tensor(self, name: str) -> Array:
        if name not in self._weights:
            raise FormatError(f"the weights lack '{name}'")
        return self._weights[name]


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int, int, int]:
    """TensorFlow's "same" padding of a square: (top, left, bottom, right); what is odd goes to the end."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return (total // 2, total // 2, total - total // 2, total - total // 2)
