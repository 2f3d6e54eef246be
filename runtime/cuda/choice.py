"""Which of several ways to make a call is the fastest on a device: measured once, remembered beside the cubins."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DeviceError
from .cache import cached
from .device import Device, Launch
from .family import Call

REPEATS = 20
"""Runs, one behind the other, that a measurement spreads over; the best of three counts."""
MOST_LAUNCHES = 2000
"""Of a measurement: ways of more launches are repeated less."""


def choose(call: Call, ways: Sequence[list[Launch]], device: Device) -> list[Launch]:
    """One of `ways`, which all give the same bits: the fastest on the device, the first where it cannot tell time.
    What they write is not worth keeping.

    Raises DeviceError where none can be launched, or the cache cannot be written.
    """
    if len(ways) == 1 or not device.tells_time:
        return ways[0]
    key = ["choice", device.name, device.arch, call.row.symbol, call.params.hex(), *map(_text, ways)]
    path = cached(key, ".choice", lambda: str(_fastest(ways, device)).encode())
    return ways[int(path.read_text())]


def _text(way: Sequence[Launch]) -> str:
    kernels = dict.fromkeys(launch.kernel for launch in way)
    sources = "".join(f"{kernel.source}{kernel.macros}" for kernel in kernels)
    return sources + "".join(f"{launch.kernel}{launch.grid}{launch.threads}" for launch in way)


def _fastest(ways: Sequence[list[Launch]], device: Device) -> int:
    times: dict[int, int] = {}
    failure: DeviceError | None = None
    for index, way in enumerate(ways):
        try:
            repeats = max(1, min(REPEATS, MOST_LAUNCHES // max(1, len(way))))
            times[index] = min(device.timed(way, repeats) for _ in range(3 if len(way) <= MOST_LAUNCHES else 1))
        except DeviceError as error:
            failure = failure or error
    if failure is not None and not times:
        raise failure
    return min(times, key=times.__getitem__)
