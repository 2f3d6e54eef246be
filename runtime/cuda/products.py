"""Matrix products and convolutions on tensor cores, of bytes or in TF32: a call of gemm's rows as launches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .device import Device, Launch
from .epilogue import batch, epilogue
from .family import COUNTERS, Call, Row, Tf32Row
from .geometry import checked, count, steps, window
from .packed import IntegerLayout, Tf32Layout, weight_type
from .source import Kernel
from .tensor_maps import TILE_WIDTHS, MatrixMap, PixelMap
from .tiles import (
    HOPPER_TILES,
    INTEGER,
    LOADS,
    TF32,
    TILES,
    HopperTile,
    Tile,
    ceil_div,
    choose_chunk,
    choose_tile,
    load_bytes,
    usable_tiles,
)

_MIN_SPLIT_TILES = 4
"""A block works through at least this many tiles of the depth; below, the pipeline hardly fills."""


def layout_of(row: Row, fields: Any) -> IntegerLayout | Tf32Layout:
    return Tf32Layout.of(fields, weight_type(row)) if isinstance(row, Tf32Row) else IntegerLayout.of(fields)


@dataclass(frozen=True)
class Product:
    """The sizes of a call."""

    call: Call

    @cached_property
    def layout(self) -> IntegerLayout | Tf32Layout:
        return layout_of(self.call.row, self.call.fields)

    @property
    def kernel(self) -> str:
        return _kernel(self.call.row)

    @cached_property
    def m(self) -> int:
        """Raises UnsupportedError where there are more rows than the kernels count."""
        return count(self.call.fields, "images", "oh", "ow")

    @cached_property
    def matrices(self) -> int:
        """Raises UnsupportedError where there are more than the kernels count."""
        return count(self.call.fields, "batch")

    @cached_property
    def elements(self) -> int:
        return self.matrices * self.m * self.layout.n

    @cached_property
    def convolves(self) -> bool:
        """Whether a row of the result is more than the product of one image's only pixel."""
        fields = self.call.fields
        ones = all(fields[name] == 1 for name in ("oh", "ow", "kh", "kw"))
        return not ones or fields["ph"] != 0 or fields["pw"] != 0

    @property
    def load_bytes(self) -> int:
        """Of a copy of x, which starts and ends where channels do."""
        fields = self.call.fields
        steps = [fields[name] for name in ("k", "src_image", "src_row", "src_pixel")] + list(fields["src_batch"])
        return load_bytes(*(int(step) * self.layout.element for step in steps), self.call.operands[0])

    @property
    def chunk(self) -> int:
        """Bytes of a tap that Hopper's kernel multiplies together."""
        return choose_chunk(self.layout.k) if self.convolves else TILE_WIDTHS[0]

    def map_x(self, rows: int) -> MatrixMap | PixelMap:
        """x for tensor memory access, in tiles of so many rows of the result."""
        fields, x, element = self.call.fields, self.call.operands[0], self.layout.element
        if self.convolves:
            return PixelMap.of(fields, x, self.chunk, rows, element)
        return MatrixMap(x, self.layout.k, self.m, int(fields["src_image"]) * element, self.chunk, rows, element)

    @property
    def is_mapped(self) -> bool:
        """Whether tensor memory access reads x as this product needs it: one matrix, and zeros where x is padded."""
        x = self.map_x(HopperTile.block_m)
        zeros = self.call.fields["src_zero_point"] == 0 or isinstance(x, MatrixMap) or not x.is_padded
        return self.matrices == 1 and self.load_bytes == 16 and zeros and x.is_encodable

    def tiles_for(self, device: Device) -> list[Tile | HopperTile]:
        """What may run, largest first."""
        return usable_tiles(self.load_bytes, self.is_mapped, device, self.convolves, self.kernel)

    def tile(self, device: Device) -> Tile | HopperTile:
        return choose_tile(self.tiles_for(device), self.m, self.layout.n, self.matrices, device)

    def splits(self, tile: Tile | HopperTile, device: Device) -> int:
        """In how many parts blocks share the depth."""
        if isinstance(tile, HopperTile) or not tile.may_split or self.elements == 0:
            return 1
        tiles = self.tiles(tile) * self.matrices
        spare = device.multiprocessors // tiles if tiles <= COUNTERS else 1
        return max(1, min(ceil_div(self.layout.depth, tile.block_k) // _MIN_SPLIT_TILES, spare))

    def tiles(self, tile: Tile | HopperTile) -> int:
        return ceil_div(self.m, tile.block_m) * ceil_div(self.layout.n, tile.block_n)

    def blocks(self, tile: Tile, splits: int) -> int:
        return self.tiles(tile) * self.matrices * splits


def _kernel(row: Row) -> str:
    return TF32 if isinstance(row, Tf32Row) else INTEGER


def kernels(row: Row) -> list[Kernel]:
    """All that products of this row may launch."""
    name = _kernel(row)
    loads = [width for width in LOADS if name == INTEGER or width >= Tf32Layout.element]
    ways = [(width, convolves, name) for width in loads for convolves in (False, True)]
    variants = [tile.kernel(*way) for tile in TILES for way in ways if tile.is_kernel(*way)]
    hopper = [(False, TILE_WIDTHS[0]), *((True, chunk) for chunk in TILE_WIDTHS)]
    return [*variants, *(tile.kernel(*way, name) for tile in HOPPER_TILES for way in hopper)]


def scratch_bytes(call: Call, device: Device) -> int:
    """For every tile."""
    product = Product(call)
    if product.elements == 0:
        return 0
    splits = [(tile, product.splits(tile, device)) for tile in TILES]
    return max(product.blocks(tile, n) * tile.block_m * tile.block_n * 4 if n > 1 else 0 for tile, n in splits)


def launches(call: Call, device: Device, tile: Tile | HopperTile | None = None) -> list[Launch]:
    """One, none where the result is empty. `tile`: another than the chosen one. Raises UnsupportedError."""
    product = Product(call)
    if product.elements == 0:
        return []
    tile = tile or product.tile(device)
    if isinstance(tile, HopperTile):
        return [_hopper(tile, product, device)]
    return [_product(tile, product, product.splits(tile, device))]


def ways(call: Call, device: Device) -> list[list[Launch]]:
    """The launches of every tile that gives the same bits, first those of the chosen one: in TF32 only these. Raises
    UnsupportedError."""
    product = Product(call)
    if product.elements == 0 or product.kernel == TF32:
        return [launches(call, device)]
    chosen = product.tile(device)
    others = [tile for tile in product.tiles_for(device) if tile != chosen]
    return [launches(call, device, tile) for tile in (chosen, *others)]


def _epilogue(product: Product) -> dict[str, Any]:
    layout = product.layout
    offsets = product.call.operands[1] + layout.offsets_at if isinstance(layout, IntegerLayout) else 0
    return epilogue(product.call, layout.n, ("residual_row", "dst_row"), offsets)


def _product(tile: Tile, product: Product, splits: int) -> Launch:
    call, fields, layout = product.call, product.call.fields, product.layout
    kernel = tile.kernel(product.load_bytes, product.convolves, product.kernel)
    params = kernel.pack(
        x=call.operands[0],
        weight=call.operands[1] + layout.rows_at,
        zero_points=call.operands[1],
        partial=call.scratch if splits > 1 else 0,
        counters=call.counters if splits > 1 else 0,
        epilogue=_epilogue(product),
        batch={**batch(fields), "src": fields["src_batch"] * layout.element},
        m=product.m,
        n=layout.n,
        pitch=layout.pitch,
        tiles_k=ceil_div(layout.depth, tile.block_k),
        splits=splits,
        matrices=product.matrices,
        channels=max(1, layout.k),
        run=layout.run,
        vectors=layout.vectors // (layout.kw if product.load_bytes == 16 else 1) or 1,
        window=window(fields),
        steps=steps(fields, layout.element),
    )
    blocks = checked(product.blocks(tile, splits), "blocks")
    return Launch(kernel, (blocks, 1, 1), tile.threads, tile.shared_bytes, params, (tile.block_m, tile.block_n))


def _hopper(tile: HopperTile, product: Product, device: Device) -> Launch:
    call, layout, chunk = product.call, product.layout, product.chunk
    kernel = tile.kernel(product.convolves, chunk, product.kernel)
    weight = call.operands[1] + layout.rows_at
    rows = MatrixMap(weight, layout.pitch, layout.n, layout.pitch, chunk, tile.block_n, layout.element)
    chunks, stage = layout.kh * layout.kw * ceil_div(layout.k, chunk), tile.block_k // chunk
    params = kernel.pack(
        x={"opaque": device.tensor_map(product.map_x(tile.block_m))},
        weight={"opaque": device.tensor_map(rows)},
        epilogue=_epilogue(product),
        batch=batch(call.fields),
        window=window(call.fields),
        m=product.m,
        n=layout.n,
        channels=layout.k,
        tiles_k=ceil_div(chunks, stage),
        last_chunks=(chunks - 1) % stage + 1,
    )
    grid = (min(product.tiles(tile), tile.blocks * device.multiprocessors), 1, 1)
    return Launch(kernel, grid, tile.threads, tile.shared_bytes, params, (tile.block_m, tile.block_n))
