"""Steps that run in bands give the bits that they give alone, whatever the bands' height, the batch and the threads."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import rushlight as rl
from rushlight.runtime.explain import explain
from rushlight.runtime.ir import GraphBuilder, Value
from rushlight.runtime.plan import bands, groups
from rushlight.runtime.plan.bands import BandCall, Member, Move, Schedule, Window, schedule
from rushlight.runtime.program import Program

Array = npt.NDArray[Any]

GENERATOR = np.random.default_rng(3)
ALONE = 1 << 60


def weights(*shape: int) -> Array:
    return GENERATOR.standard_normal(shape).astype(np.float32)


def conv(b: GraphBuilder, x: Value, filters: Array, *, residual: bool = False, **attrs: Any) -> Value:
    y = b.conv2d(x, b.constant(filters), b.constant(weights(filters.shape[0])), **attrs)
    return b.relu(b.add(y, x)) if residual else b.relu(y)


def block(
    b: GraphBuilder, x: Value, c: int, wide: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> Value:
    """1 x 1, depthwise, 1 x 1, and what they are added to where the sizes allow it."""
    y = conv(b, x, weights(wide, c, 1, 1))
    pad = dilation * (kernel // 2)
    shape = {"stride": (stride, stride), "padding": (pad,) * 4, "dilation": (dilation, dilation)}
    y = conv(b, y, weights(wide, 1, kernel, kernel), groups=wide, **shape)
    y = b.conv2d(y, b.constant(weights(c, wide, 1, 1)), None)
    return b.add(y, x) if stride == 1 else y


def network(case: str) -> Program:
    b = GraphBuilder()
    x = b.input("x", np.float32, ("n", 3, 41, 23))
    y = conv(b, x, weights(12, 3, 3, 3), stride=(2, 2), padding=(1, 1, 1, 1))
    if case == "blocks":
        for stride in (1, 2, 1):
            y = block(b, y, 12, 40, stride=stride)
    elif case == "tall filters":
        y = block(b, y, 12, 17, kernel=5)
        y = block(b, y, 12, 33, kernel=7, stride=2)
        y = block(b, y, 12, 20, kernel=3, dilation=2)
    elif case == "gates":
        for kernel, stride in ((3, 1), (5, 2)):
            y = conv(b, y, weights(24, 12, 1, 1))
            y = conv(b, y, weights(24, 1, kernel, kernel), groups=24, stride=(stride,) * 2, padding=(kernel // 2,) * 4)
            gate = b.conv2d(b.mean(y, dim=(2, 3), keepdim=True), b.constant(weights(24, 24, 1, 1)), None)
            y = b.conv2d(b.mul(y, b.sigmoid(gate)), b.constant(weights(12, 24, 1, 1)), None)
    elif case == "pools":
        y = b.max_pool2d(y, kernel_size=(3, 3), stride=(2, 1), padding=(1, 1, 1, 1))
        y = b.silu(conv(b, y, weights(16, 12, 3, 3), padding=(1, 1, 1, 1)))
        y = conv(b, y, weights(8, 16, 1, 1))
        y = b.avg_pool2d(y, kernel_size=(2, 3), stride=(2, 2), padding=(0, 1, 1, 1), count_include_pad=True)
        y = b.mul(conv(b, y, weights(6, 8, 1, 1)), b.constant(weights(6, 1, 1)))
    else:
        y = conv(b, y, weights(8, 12, 3, 2), padding=(2, 0, 0, 1), stride=(3, 1))
        y = conv(b, y, weights(16, 4, 1, 1), groups=2, stride=(2, 2))
        y = conv(b, y, weights(5, 16, 2, 2), padding=(0, 1, 1, 0))
    b.output("y", y)
    return b.build()


CASES = ("blocks", "tall filters", "gates", "pools", "ragged")


@pytest.fixture(params=[(1, 1), (4 << 10, 1), (12 << 10, 1), (40 << 10, 1 << 10), (1 << 20, 1)])
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands of every height, from none that fit to many images."""
    band, far = request.param
    monkeypatch.setattr(bands, "BAND_BYTES", band)
    monkeypatch.setattr(groups, "FAR_BYTES", far)


def run_alone(program: Program, x: Array, monkeypatch: pytest.MonkeyPatch) -> Array:
    with monkeypatch.context() as patch:
        patch.setattr(groups, "FAR_BYTES", ALONE)
        return rl.load(program, threads=1).run({"x": x})["y"]


@pytest.mark.parametrize("is_int8", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("limits")
def test_bands_give_the_same_bits(case: str, is_int8: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    program = network(case)
    x = weights(7, 3, 41, 23)
    if is_int8:
        program = rl.quantize(program, {"x": x})
    expected = run_alone(program, x, monkeypatch)
    for threads in (1, 2, 3):
        model = rl.load(program, threads=threads)
        for batch in (7, 1, 2):
            np.testing.assert_array_equal(model.run({"x": x[:batch]})["y"], expected[:batch])


def test_what_only_bands_read_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    program, x = network("blocks"), weights(16, 3, 41, 23)
    sizes: list[int] = []
    for far in (ALONE, 1):
        monkeypatch.setattr(groups, "FAR_BYTES", far)
        monkeypatch.setattr(bands, "BAND_BYTES", 32 << 10)
        model = rl.load(program, threads=1)
        model.run({"x": x})
        sizes.append(model.main.execution({"n": 16}).arena_bytes)
    assert sizes[1] < sizes[0] * 2 / 3


def test_explain_has_a_line_for_every_member(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "FAR_BYTES", 1)
    monkeypatch.setattr(bands, "BAND_BYTES", 32 << 10)
    found = explain(rl.load(network("blocks"), threads=2), {"x": weights(4, 3, 41, 23)})
    in_bands = [step for step in found.steps if "steps at once in bands of" in step.reason]
    assert len(in_bands) >= 9
    assert all(step.nanoseconds > 0 for step in in_bands)


def members(rows: int, images: int, *windows: Window) -> list[Member]:
    made: list[Member] = []
    for window in windows:
        result = (rows + window.top * 2 - window.extent) // window.stride + 1
        made.append(Member(images, result, rows, window, 1000, 1000))
        rows = result
    return made


def check(plan: Schedule, chain: list[Member]) -> None:
    """Follows every row through the band memory: all that is read was written, and the last results are complete."""
    done: set[tuple[int, int]] = set()
    for part in plan.parts:
        for repeat in range(part.repeats):
            for task in part.tasks:
                held: dict[int, tuple[int, int]] = {}  # by address: member, row
                for call in task:
                    if isinstance(call, Move):
                        assert call.target + call.size <= call.source
                        for at in range(0, call.size, 1000):
                            held[call.target + at] = held.pop(call.source + at)
                        continue
                    follow(call, chain, held, part.images)
                    if call.target_at is None:
                        first = part.first + repeat * part.images
                        rows = {(first + i, call.row + r) for i in range(part.images) for r in range(call.part.rows)}
                        assert not rows & done
                        done |= rows
    last = chain[-1]
    assert done == {(image, row) for image in range(last.images) for row in range(last.rows)}


def follow(call: BandCall, chain: list[Member], held: dict[int, tuple[int, int]], images: int) -> None:
    member, part = chain[call.member], call.part
    low, high = member.needed(call.row, call.row + part.rows)
    if part.source_rows == member.source_rows:  # whole images, with rows that nobody needs
        low, high = 0, member.source_rows
    assert (call.source_row, part.source_rows, part.images) == (low, high - low, images)
    assert part.top == member.window.top - call.row * member.window.stride + low
    assert images == 1 or (call.row, part.rows) == (0, member.rows)
    if call.source_at is not None:
        for row in range(images * (high - low)):
            assert held[call.source_at + row * 1000] == (call.member - 1, low + row % (high - low))
    if call.target_at is not None:
        for row in range(images * part.rows):
            held[call.target_at + row * 1000] = (call.member, call.row + row % part.rows)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("images", [1, 3, 8])
@pytest.mark.parametrize("band_bytes", [9_000, 17_000, 50_000, 1_000_000])
def test_every_row_is_made_once_and_held_while_it_is_read(
    threads: int, images: int, band_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bands, "BAND_BYTES", band_bytes)
    kinds = [Window(1, 1, 0), Window(3, 1, 1), Window(3, 2, 1), Window(5, 2, 2), Window(1, 2, 0), Window(2, 3, 0)]
    scheduled = 0
    for first, second in pairwise(kinds * 2):
        chain = members(37, images, Window(), first, second)
        plan = schedule(chain, threads)
        if plan is not None:
            scheduled += 1
            check(plan, chain)
    assert scheduled >= (8 if band_bytes > 9_000 else 1)
