"""The first elements of lines, in order."""

from __future__ import annotations

from ..device import Device, Launch
from ..family import BLOCKS_A_MULTIPROCESSOR, Call, Family, Row, over_elements, rows_of
from ..geometry import checked
from ..source import Kernel

_TYPES = {"f32": "float", "s64": "int64_t", "s32": "int32_t", "u8": "uint8_t", "s8": "int8_t"}
_SMALLEST_TILE, _LARGEST_TILE = 64, 1024
"""Elements that a block sorts, a power of two: two of a thread, a warp's at least."""
_SMALL_BLOCK = 128
"""Threads. There may be more blocks where they have fewer."""


def _kernels(row: Row) -> list[Kernel]:
    types = (("TYPE", _TYPES[row.types.removesuffix("s64")]),)
    return [Kernel("topk_tiles", types), Kernel("topk_merge", types)]


def _entry_bytes(row: Row) -> int:
    return 16 if row.types == "s64s64" else 8


def _tiles(call: Call) -> tuple[int, int, int, int]:
    """Lines, the elements of a tile, the tiles of a line, and how many of a tile's entries are kept."""
    outer, n, inner, k = (int(call.fields[name]) for name in ("outer", "n", "inner", "k"))
    tile = min(max(1 << (n - 1).bit_length(), _SMALLEST_TILE), _LARGEST_TILE) if n else _SMALLEST_TILE
    return outer * inner, tile, -(-n // tile), min(k, tile)


def _list_bytes(call: Call) -> int:
    """Of the entries of all tiles, where lines have several."""
    lines, _, tiles, pitch = _tiles(call)
    return lines * tiles * pitch * _entry_bytes(call.row) if tiles > 1 else 0


def _launches(call: Call, device: Device) -> list[Launch]:
    """The tiles are sorted, then merged two by two from one list to the other and back."""
    lines, tile, tiles, pitch = _tiles(call)
    if lines * pitch == 0:
        return []
    checked(tiles * tile, "elements of a line")
    sort, merge = _kernels(call.row)
    lists = [call.scratch, call.scratch + _list_bytes(call)]
    threads = tile // 2
    most = BLOCKS_A_MULTIPROCESSOR * max(1, _SMALL_BLOCK // threads) * device.multiprocessors
    argument = call.argument(0, lists[0], tile, tiles, pitch, 1)
    launches = [Launch(sort, (min(lines * tiles, most), 1, 1), threads, tile * _entry_bytes(call.row), argument)]
    span = 1
    while span < tiles:
        argument = call.argument(*lists, tile, tiles, pitch, span)
        launches += over_elements(merge, call, device, lines * (-(-tiles * pitch // 256) * 256), argument=argument)
        lists.reverse()
        span *= 2
    return launches


FAMILY = Family("topk", rows_of("topk"), _kernels, _launches, lambda call, device: 2 * _list_bytes(call))
