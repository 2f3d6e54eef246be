"""The packed weights of a plan: one block of memory, in huge pages where there are any, and no more than needed."""

import mmap
from pathlib import Path

import numpy as np
import pytest

import rushlight as rl
from rushlight.runtime.cpu import _core
from rushlight.runtime.cpu.backend import best_isa, cpu_backend
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.prepare import prepare

HUGE = 2 << 20
THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def mapping_of(address: int) -> dict[str, int]:
    """Fields of /proc/self/smaps, in bytes, of the mapping that holds an address; nothing where none does."""
    found: dict[str, int] = {}
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split()
        if "-" in head[0] and not head[0].endswith(":"):
            begin, end = (int(part, 16) for part in head[0].split("-"))
            inside = begin <= address < end
            if inside:
                found = {"begin": begin, "end": end}
        elif inside and head[-1] == "kB":
            found[head[0][:-1]] = int(head[1]) << 10
    return found


def test_weights_lie_one_behind_the_other() -> None:
    rng = np.random.default_rng(0)
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, ("N", 40))
    for size in (40, 7, 1000, 520):
        x = b.linear(x, rng.standard_normal((size, x.shape[-1])).astype(np.float32))
    b.output("y", x)
    program = b.build()
    backend = cpu_backend(best_isa())
    weights = Plan(prepare(program.graph, backend), backend, threads=2).packed_weights
    assert len(weights) == 4
    begins = [weight.data.ctypes.data for weight in weights]
    ends = [begin + weight.data.nbytes for begin, weight in zip(begins, weights, strict=True)]
    assert not any(begin % 64 for begin in begins)
    assert all(0 <= begin - end < 64 for begin, end in zip(begins[1:], ends, strict=False))
    data = rng.standard_normal((3, 40)).astype(np.float32)
    expected = rl.runtime.reference.run_reference(program.graph, {"x": data})["y"]
    np.testing.assert_allclose(rl.load(program)(data), expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("size", [1, 4097, HUGE - 1, HUGE, HUGE + 1, 2 * HUGE + 9000, 3 * HUGE])
def test_memory_is_of_the_size_that_was_asked_for(size: int) -> None:
    memory = np.asarray(_core.weight_memory(size))
    assert (memory.dtype, memory.shape, memory.ctypes.data % 64) == (np.uint8, (size,), 0)
    memory[:] = 7
    if size < HUGE:
        return
    address = memory.ctypes.data
    assert address % HUGE == 0
    found = mapping_of(address)
    end = -(-(address + size) // mmap.PAGESIZE) * mmap.PAGESIZE
    assert found["begin"] <= address
    assert end <= found["end"]
    view = memory[5:9]
    del memory
    assert (view == 7).all()
    del view
    assert not mapping_of(address)


@pytest.mark.skipif(not THP.exists() or "[never]" in THP.read_text(), reason="this system has no huge pages")
def test_whole_huge_pages_are_used_and_no_part_of_one() -> None:
    rest = 3 * mmap.PAGESIZE
    memory = np.asarray(_core.weight_memory(4 * HUGE + rest))
    memory[:] = 1
    found = mapping_of(memory.ctypes.data)
    assert found["AnonHugePages"] % HUGE == 0
    if found["end"] - found["begin"] == 4 * HUGE + rest:  # else it is counted with a neighbour
        assert found["AnonHugePages"] == 4 * HUGE
        assert found["Rss"] == 4 * HUGE + rest
