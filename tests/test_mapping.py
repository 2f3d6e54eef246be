"""Constants in mapped files: given back, they come back when they are read; nothing else is touched."""

from pathlib import Path

import numpy as np
import pytest

import rushlight as rl
from benchmarks.load import mapped_kilobytes
from rushlight.runtime.cpu.backend import best_isa, cpu_backend
from rushlight.runtime.mapping import map_file, prefer_huge_pages, release
from rushlight.runtime.plan import Plan
from rushlight.runtime.plan.prepare import prepare
from rushlight.runtime.reference import run_reference

MEGABYTES = 8


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers"
    np.arange(MEGABYTES << 17, dtype=np.int64).tofile(path)
    return path


def test_released_pages_leave_and_come_back(numbers: Path) -> None:
    array = np.frombuffer(map_file(numbers), np.int64)
    total = array.sum()
    assert mapped_kilobytes(numbers)["Rss"] == MEGABYTES << 10
    part = array[100:].reshape(4, -1)
    release(part[1:3])
    assert mapped_kilobytes(numbers)["Rss"] <= (MEGABYTES << 10) * 0.6
    release(part.T)
    assert mapped_kilobytes(numbers)["Rss"] <= 8
    assert array.sum() == total == (len(array) - 1) * len(array) // 2


def test_huge_pages_are_asked_for_and_shared(numbers: Path) -> None:
    """Whether there are any is up to the system; the file is read as before, and given back as before."""
    array = np.frombuffer(map_file(numbers), np.int64)
    prefer_huge_pages(array[3:])
    flags = [line for line in Path("/proc/self/smaps").read_text().splitlines() if line.startswith("VmFlags")]
    if Path("/sys/kernel/mm/transparent_hugepage/enabled").exists():
        assert any(" hg" in line and " ms" in line and " wr" not in line for line in flags)
    assert array.sum() == (len(array) - 1) * len(array) // 2
    release(array)
    assert mapped_kilobytes(numbers)["Rss"] == 0


def test_other_memory_is_left_alone(numbers: Path) -> None:
    own = np.arange(1 << 16)
    private = np.memmap(numbers, np.int64, "c")
    private[:] = 7
    mapped = np.frombuffer(map_file(numbers), np.int64)
    for array in (own, private, own[:0], mapped[:0], mapped[::3]):
        release(array)
        prefer_huge_pages(array)
    np.testing.assert_array_equal(own, np.arange(1 << 16))
    assert (private == 7).all()


def test_planning_drops_what_only_packing_reads() -> None:
    """Arrays that passes made at load, not those of the program, and not what a step reads as it is."""
    rng = np.random.default_rng(1)
    weight, other = (rng.standard_normal((64, 64)).astype(np.float32) for _ in range(2))
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, ("N", 64))
    shared = b.constant(other, "other")
    y = b.add(b.linear(b.relu(x), b.constant(weight, "weight")), b.reshape(x, shape=(x.shape[0], 64)))
    b.output("y", b.mul(b.linear(y, shared), b.linear(y, shared)))
    b.output("kept", b.add(y, b.slice(shared, axes=(0,), starts=(0,), ends=(1,), steps=(1,))))
    program = b.build()
    data = rng.standard_normal((3, 64)).astype(np.float32)
    expected = run_reference(program.graph, {"x": data})
    graph = prepare(program.graph, cpu_backend(best_isa()))
    plan = Plan(graph, cpu_backend(best_isa()), discard=True)
    dropped = {value.name for value in plan.graph.constants() if value.data is not None and not any(value.data.strides)}
    assert dropped == {"weight", "other"}
    for name, answer in rl.load(program).run({"x": data}).items():
        np.testing.assert_allclose(answer, expected[name], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(program.graph.constants()[0].data, weight)  # type: ignore[arg-type]


def test_loading_keeps_one_copy_of_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "m.rush"
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, ("N", 1024))
    for _ in range(4):
        x = b.linear(x, np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32))
    b.output("y", x)
    b.build().save(path)
    model = rl.load(path)
    model(np.ones((2, 1024), np.float32))
    assert mapped_kilobytes(path)["Rss"] < 512
    for value in model.program.graph.constants():
        assert value.data is not None
        np.testing.assert_array_equal(
            value.data, np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
        )
