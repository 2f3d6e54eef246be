"""The models of the comparison, as ONNX files: `python -m benchmarks.peers.models FOLDER [NAME ...]`.

Public architectures of torchvision and transformers, and three small ones written out here, all with random weights of
a fixed seed; silero-vad comes with its own. Every input has a free batch, nothing else is free.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn


@dataclass(frozen=True)
class Model:
    """A module in evaluation mode and one sample of every input, the batch first."""

    module: nn.Module
    inputs: dict[str, torch.Tensor]


def torchvision_model(name: str) -> Model:
    declare_missing_operators()
    import torchvision

    return Model(torchvision.models.get_model(name, weights=None), {"image": torch.randn(1, 3, 224, 224)})


@functools.cache
def declare_missing_operators() -> torch.library.Library:
    """Let torchvision import where its compiled operators are for another build of torch; no model here uses them. The
    declarations live as long as what is returned."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "roi_align", "ps_roi_align", "roi_pool", "ps_roi_pool", "deform_conv2d"):
        for operator in (name, f"q{name}", f"_{name}_backward"):
            if not hasattr(torch.ops.torchvision, operator):
                library.define(f"{operator}(Tensor a) -> Tensor")
    return library


class Encoder(nn.Module):
    """The last hidden state of a text encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]


def encoder(kind: str, length: int, **sizes: int) -> Model:
    import transformers

    config = getattr(transformers, f"{kind}Config")(**sizes)
    config._attn_implementation = "eager"
    ids = torch.randint(0, config.vocab_size, (1, length))
    return Model(
        Encoder(getattr(transformers, f"{kind}Model")(config)),
        {"input_ids": ids, "attention_mask": torch.ones(1, length, dtype=torch.int64)},
    )


class Block(nn.Sequential):
    """Convolution, batch norm, activation."""

    def __init__(self, ic: int, oc: int, kernel: int, stride: int, activation: type[nn.Module]) -> None:
        super().__init__(nn.Conv2d(ic, oc, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(oc), activation())


class UNet(nn.Module):
    """Four levels of two 3x3 convolutions each way, transposed convolutions up, as in Ronneberger et al. 2015."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 256), classes: int = 8) -> None:
        super().__init__()
        ins = (3, *widths)
        self.down = nn.ModuleList(self.level(i, o) for i, o in zip(ins, widths))
        self.bottom = self.level(widths[-1], 2 * widths[-1])
        self.grow = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in reversed(widths))
        self.up = nn.ModuleList(self.level(2 * w, w) for w in reversed(widths))
        self.head = nn.Conv2d(widths[0], classes, 1)

    @staticmethod
    def level(ic: int, oc: int) -> nn.Sequential:
        return nn.Sequential(Block(ic, oc, 3, 1, nn.ReLU), Block(oc, oc, 3, 1, nn.ReLU))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        kept = []
        for level in self.down:
            image = level(image)
            kept.append(image)
            image = nn.functional.max_pool2d(image, 2)
        image = self.bottom(image)
        for grow, level, skip in zip(self.grow, self.up, reversed(kept)):
            image = level(torch.cat([skip, grow(image)], 1))
        return self.head(image)


class Split(nn.Module):
    """The cross-stage block of the YOLO family: split, residual bottlenecks, concatenation of all, one projection."""

    def __init__(self, ic: int, oc: int, depth: int, shortcut: bool) -> None:
        super().__init__()
        half = oc // 2
        self.shortcut = shortcut
        self.enter = Block(ic, oc, 1, 1, nn.SiLU)
        self.inner = nn.ModuleList(
            nn.Sequential(Block(half, half, 3, 1, nn.SiLU), Block(half, half, 3, 1, nn.SiLU)) for _ in range(depth)
        )
        self.leave = Block(oc + depth * half, oc, 1, 1, nn.SiLU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = list(self.enter(x).chunk(2, 1))
        for inner in self.inner:
            y = inner(parts[-1])
            parts.append(parts[-1] + y if self.shortcut else y)
        return self.leave(torch.cat(parts, 1))


class Detector(nn.Module):
    """A one-stage detector with three strides: SiLU, split blocks, spatial pyramid pooling, a two-way feature pyramid
    with nearest resizing and concatenation, heads for boxes and classes; the shape of the YOLO family, not its code."""

    def __init__(self, width: int = 16, classes: int = 80) -> None:
        super().__init__()
        w = [width * 2**i for i in range(5)]
        self.stem = nn.Sequential(
            Block(3, w[0], 3, 2, nn.SiLU), Block(w[0], w[1], 3, 2, nn.SiLU), Split(w[1], w[1], 1, True)
        )
        self.stage3 = nn.Sequential(Block(w[1], w[2], 3, 2, nn.SiLU), Split(w[2], w[2], 2, True))
        self.stage4 = nn.Sequential(Block(w[2], w[3], 3, 2, nn.SiLU), Split(w[3], w[3], 2, True))
        self.stage5 = nn.Sequential(Block(w[3], w[4], 3, 2, nn.SiLU), Split(w[4], w[4], 1, True))
        self.narrow = Block(w[4], w[3], 1, 1, nn.SiLU)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.spread = Block(4 * w[3], w[4], 1, 1, nn.SiLU)
        self.resize = nn.Upsample(scale_factor=2, mode="nearest")
        self.merge4 = Split(w[4] + w[3], w[3], 1, False)
        self.merge3 = Split(w[3] + w[2], w[2], 1, False)
        self.down3 = Block(w[2], w[2], 3, 2, nn.SiLU)
        self.again4 = Split(w[2] + w[3], w[3], 1, False)
        self.down4 = Block(w[3], w[3], 3, 2, nn.SiLU)
        self.again5 = Split(w[3] + w[4], w[4], 1, False)
        self.boxes = nn.ModuleList(self.head(c, w[2], 64) for c in w[2:])
        self.classes = nn.ModuleList(self.head(c, w[2], classes) for c in w[2:])

    @staticmethod
    def head(ic: int, width: int, out: int) -> nn.Sequential:
        return nn.Sequential(
            Block(ic, width, 3, 1, nn.SiLU), Block(width, width, 3, 1, nn.SiLU), nn.Conv2d(width, out, 1)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        p3 = self.stage3(self.stem(image))
        p4 = self.stage4(p3)
        p5 = self.narrow(self.stage5(p4))
        pooled = [p5]
        for _ in range(3):
            pooled.append(self.pool(pooled[-1]))
        p5 = self.spread(torch.cat(pooled, 1))
        p4 = self.merge4(torch.cat([self.resize(p5), p4], 1))
        p3 = self.merge3(torch.cat([self.resize(p4), p3], 1))
        p4 = self.again4(torch.cat([self.down3(p3), p4], 1))
        p5 = self.again5(torch.cat([self.down4(p4), p5], 1))
        levels = [
            torch.cat([boxes(p), torch.sigmoid(classes(p))], 1).flatten(2)
            for p, boxes, classes in zip((p3, p4, p5), self.boxes, self.classes)
        ]
        return torch.cat(levels, 2)


class Recurrent(nn.Module):
    """Two LSTM layers over 100 steps and a classifier of the last."""

    def __init__(self, features: int = 64, hidden: int = 128, classes: int = 32) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, classes)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(sequence)[0][:, -1])


def image_model(module: Callable[[], nn.Module], size: int) -> Callable[[], Model]:
    return lambda: Model(module(), {"image": torch.randn(1, 3, size, size)})


MODELS: dict[str, Callable[[], Model]] = {
    **{
        name: (lambda name=name: torchvision_model(name))  # type: ignore[misc]
        for name in (
            "resnet50", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "densenet121",
            "regnet_y_1_6gf", "vit_b_16", "swin_t",
        )  # fmt: skip
    },
    "bert_base": lambda: encoder("Bert", 128),
    "distilbert": lambda: encoder("DistilBert", 128),
    "minilm": lambda: encoder("Bert", 32, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536),
    "unet": image_model(UNet, 256),
    "detector": image_model(Detector, 320),
    "lstm": lambda: Model(Recurrent(), {"sequence": torch.randn(1, 100, 64)}),
}  # fmt: skip


def rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename values in all nodes, those of branches too, which see the values around them."""
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                rename(attribute.g, names)


def silero_vad() -> bytes:
    """The 16 kHz model of the silero-vad package, its rate fixed, its state [batch, 2, 128] so that every input has the
    batch first."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("silero_vad: pip install --no-deps silero-vad")
    model = onnx.load(Path(spec.submodule_search_locations[0]) / "data" / "silero_vad_16k_op15.onnx")
    graph, helper = model.graph, onnx.helper
    rename(graph, {"state": "state_first", "stateN": "state_next"})
    del graph.input[:], graph.output[1:]
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(16000, np.int64), "sr"))
    graph.node.insert(0, helper.make_node("Transpose", ["state"], ["state_first"], perm=[1, 0, 2]))
    graph.node.append(helper.make_node("Transpose", ["state_next"], ["stateN"], perm=[1, 0, 2]))
    f32 = onnx.TensorProto.FLOAT
    graph.input.append(helper.make_tensor_value_info("input", f32, ["batch", 576]))
    graph.input.append(helper.make_tensor_value_info("state", f32, ["batch", 2, 128]))
    graph.output.append(helper.make_tensor_value_info("stateN", f32, ["batch", 2, 128]))
    onnx.checker.check_model(model)
    return model.SerializeToString()


def calm(module: nn.Module, seed: int) -> nn.Module:
    """Random weights where a constructor leaves zeros, and batch norms that take the mean of what they see, so that
    activations keep their size."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None
        if isinstance(part, nn.Linear) and not part.weight.any():
            nn.init.normal_(part.weight, std=part.in_features**-0.5)
    return module


def write(name: str, path: Path) -> None:
    """Write one model. The same versions of the packages write the same weights."""
    if name == "silero_vad":
        path.write_bytes(silero_vad())
        return
    torch.manual_seed(0)
    model = MODELS[name]()
    module, inputs = calm(model.module, 1), model.inputs
    if all(x.is_floating_point() for x in inputs.values()):
        module.train()
        with torch.no_grad():
            for _ in range(2):
                module(*(torch.randn(8, *x.shape[1:]) for x in inputs.values()))
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, tuple(inputs.values()), str(path), input_names=list(inputs), output_names=["output"],
            dynamic_axes={key: {0: "batch"} for key in (*inputs, "output")}, opset_version=17, dynamo=False,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=[*MODELS, "silero_vad"])
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    print(
        f"torch {torch.__version__}", *(f"{p} {importlib.metadata.version(p)}" for p in ("torchvision", "transformers"))
    )
    for name in args.names:
        path = args.folder / f"{name}.onnx"
        if not path.exists():
            write(name, path)
        print(f"{path} {path.stat().st_size / 1e6:.1f} MB")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
