"""Memory does not grow with the number of runs, whatever their sizes."""

import numpy as np

import rushlight as rl
from benchmarks.load import LARGEST, growth
from rushlight.runtime.method import MAX_BINDINGS

RUNS = 1500
SLACK_KB = 2048
"""What the allocator may keep; a leaked plan or arena a run would come to much more."""


def test_changing_batch_and_length_leave_nothing_behind() -> None:
    """More combinations than plans are kept for, so that plans are made and dropped all the time."""
    assert LARGEST**2 > MAX_BINDINGS
    rng = np.random.default_rng(0)
    b = rl.GraphBuilder()
    x = b.input("x", np.float32, ("N", "L", 64))
    y = b.relu(b.linear(x, rng.standard_normal((64, 64)).astype(np.float32)))
    scores = b.softmax(b.matmul(y, b.permute(x, dims=(0, 2, 1))), dim=2)
    b.output("y", b.mean(b.matmul(scores, y), dim=(1,)))
    first, _, last = growth(rl.load(b.build()), RUNS)
    assert last - first < SLACK_KB
