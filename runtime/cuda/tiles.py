"""How the blocks of products work, and which way fits a shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .device import Device
from .source import Kernel
from .tensor_maps import TILE_WIDTHS


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


INTEGER, TF32 = "qgemm", "tgemm"
"""Kernels of products on tensor cores; Hopper's own are these with _sm90."""


@dataclass(frozen=True)
class Tile:
    """How a block of the kernels qgemm and tgemm works; see qgemm.cu. BLOCK_K counts bytes."""

    block_m: int
    block_n: int
    block_k: int
    warps_m: int
    warps_n: int
    stages: int

    @property
    def threads(self) -> int:
        return self.warps_m * self.warps_n * 32

    @property
    def shared_bytes(self) -> int:
        pipeline = self.stages * (self.block_m + self.block_n) * self.block_k
        return max(pipeline, self.block_m * (self.block_n + 16))

    @property
    def may_split(self) -> bool:
        """Whether blocks may share the depth of one tile of the result."""
        return self.block_m <= 64

    def is_kernel(self, load_bytes: int, convolve: bool, name: str = INTEGER) -> bool:
        """Whether there is this kernel: narrow copies take registers that large tiles need, and so does rounding."""
        if self.block_n > 128 and convolve and name != INTEGER:
            return False
        return load_bytes >= (16 if self.block_n > 128 else 4 if self.block_m > 64 else 1)

    def kernel(self, load_bytes: int, convolve: bool, name: str = INTEGER) -> Kernel:
        fields = {name.upper(): value for name, value in vars(self).items()}
        return Kernel(name, (*fields.items(), ("LOAD_BYTES", load_bytes), ("CONVOLVE", int(convolve))))


TILES = (
    Tile(128, 256, 64, 2, 4, 4),
    Tile(128, 128, 64, 2, 4, 4),
    Tile(64, 64, 64, 2, 2, 4),
    Tile(16, 64, 128, 1, 4, 4),
)
"""Largest first."""

LOADS = (16, 8, 4, 1)
"""Bytes of a copy of x."""


def load_bytes(*multiples: int) -> int:
    """The widest copy that divides all of these."""
    return next(width for width in LOADS if all(count % width == 0 for count in multiples))


@dataclass(frozen=True)
class FloatTile:
    """How a block of the fgemm kernel works; see fgemm.cu."""

    block_m: int
    block_n: int
    block_k: int
    thread_m: int
    thread_n: int
    stages: int

    @property
    def threads(self) -> int:
        return self.block_m // self.thread_m * (self.block_n // self.thread_n)

    def shared_bytes(self, weight_bytes: int) -> int:
        return self.stages * (self.block_m * (self.block_k + 4) * 4 + self.block_k * self.block_n * weight_bytes)

    def kernel(self, weight: str, load: int) -> Kernel:
        """`weight`: its name among the types of kernels. `load`: floats in a copy of x."""
        fields = {name.upper(): value for name, value in vars(self).items()}
        fields["WEIGHT"] = {"f32": 32, "f16": 16, "bf16": 17}[weight]
        return Kernel("fgemm", (*fields.items(), ("LOAD", load)))


FLOAT_TILES = (
    FloatTile(128, 64, 16, 8, 8, 2),
    FloatTile(64, 64, 16, 4, 8, 3),
    FloatTile(8, 32, 64, 1, 2, 4),
)
"""Largest first."""


def choose_float_tile(m: int, n: int, matrices: int, device: Device) -> FloatTile:
    """The largest tile that gives every multiprocessor a block and is not mostly outside of the result; a flat one for
    few rows."""
    large, small, flat = FLOAT_TILES
    if m <= 2 * flat.block_m:
        return flat
    blocks = ceil_div(m, large.block_m) * ceil_div(n, large.block_n) * matrices
    return large if blocks >= device.multiprocessors and n > large.block_n // 2 else small


@dataclass(frozen=True)
class HopperTile:
    """How a block of the kernels qgemm_sm90 and tgemm_sm90 works; see qgemm_sm90.cu."""

    block_n: int
    stages: int
    blocks: int
    """That share a multiprocessor."""

    block_m = 128
    block_k = 128
    threads = 384

    @property
    def shared_bytes(self) -> int:
        pipeline = self.stages * (self.block_m + self.block_n) * self.block_k
        return pipeline + self.block_m * (self.block_n + 16) + 16 * self.stages

    def kernel(self, convolve: bool = False, chunk: int = TILE_WIDTHS[0], name: str = INTEGER) -> Kernel:
        fields = {name.upper(): value for name, value in vars(self).items()}
        return Kernel(f"{name}_sm90", (*fields.items(), ("CONVOLVE", int(convolve)), ("CHUNK", chunk)))


HOPPER_TILES = (HopperTile(256, 4, 1), HopperTile(128, 6, 1), HopperTile(64, 4, 2))
"""Largest first."""


def choose_chunk(channels: int) -> int:
    """Bytes of a tap that a Hopper kernel multiplies together: those that pad `channels` the least, and of these the
    fewest chunks. Rows of 32 bytes are taken to cost what 64 do, because each is an access of its own."""
    counts = {width: ceil_div(channels, width) for width in TILE_WIDTHS}
    return min(TILE_WIDTHS, key=lambda width: (counts[width] * max(width, 64), counts[width], width))


def usable_tiles(
    width: int, is_mapped: bool, device: Device, convolves: bool = False, name: str = INTEGER
) -> list[Tile | HopperTile]:
    """What may run, largest first. `width`: bytes of a copy of x. `is_mapped`: tensor memory access reads x, of one
    product, as the product needs it. `name`: of the kernel."""
    hopper = HOPPER_TILES if device.is_hopper and is_mapped else ()
    tiles: list[Tile | HopperTile] = [*hopper, *(tile for tile in TILES if tile.is_kernel(width, convolves, name))]
    return [tile for tile in tiles if tile.shared_bytes <= device.shared_bytes]


def choose_tile(tiles: Sequence[Tile | HopperTile], m: int, n: int, matrices: int, device: Device) -> Tile | HopperTile:
    """Of `usable_tiles` the largest that gives every multiprocessor a block and is not mostly outside of the result;
    the last, flat one for few rows."""
    *tall, flat = tiles
    if m <= flat.block_m or not tall:
        return flat
    for tile in tall:
        blocks = ceil_div(m, tile.block_m) * ceil_div(n, tile.block_n) * matrices
        if blocks >= device.multiprocessors and n > tile.block_n // 2:
            return tile
    return tall[-1]
