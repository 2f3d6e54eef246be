"""The networks of the comparison that no package brings: a U-Net, a detector, an LSTM."""

from __future__ import annotations

import torch
from torch import nn


class Encoder(nn.Module):
    """The last hidden state of a text encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]


class Block(nn.Sequential):
    """Convolution, batch norm, activation."""

    def __init__(self, ic: int, oc: int, kernel: int, stride: int, activation: type[nn.Module]) -> None:
        super().__init__(nn.Conv2d(ic, oc, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(oc), activation())


class UNet(nn.Module):
    """Four levels of two 3x3 convolutions each way, transposed convolutions up, as in Ronneberger et al. 2015."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 256), classes: int = 8) -> None:
        super().__init__()
        ins = (3, *widths)
        self.down = nn.ModuleList(self.level(i, o) for i, o in zip(ins, widths, strict=False))
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
        for grow, level, skip in zip(self.grow, self.up, reversed(kept), strict=True):
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
            for p, boxes, classes in zip((p3, p4, p5), self.boxes, self.classes, strict=True)
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
