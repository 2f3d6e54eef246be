"""The memory planner: no two values that live at once share a byte."""

from hypothesis import given
from hypothesis import strategies as st

from rushlight.runtime.plan.memory import ALIGNMENT, Lifetime, place


@st.composite
def lifetimes(draw: st.DrawFn) -> Lifetime:
    first = draw(st.integers(0, 12))
    return Lifetime(draw(st.integers(0, 1000)), first, first + draw(st.integers(0, 6)))


@given(st.lists(lifetimes(), max_size=24))
def test_values_that_live_at_once_are_apart(lives: list[Lifetime]) -> None:
    offsets, total = place(lives)
    for i, (a, at_a) in enumerate(zip(lives, offsets, strict=True)):
        assert at_a % ALIGNMENT == 0
        assert at_a + a.size <= total or a.size == 0
        for b, at_b in list(zip(lives, offsets, strict=True))[:i]:
            if a.first <= b.last and b.first <= a.last and a.size and b.size:
                assert at_a + a.size <= at_b or at_b + b.size <= at_a


def test_memory_of_a_dead_value_is_used_again() -> None:
    offsets, total = place([Lifetime(640, 0, 1), Lifetime(640, 1, 2), Lifetime(640, 2, 3)])
    assert offsets[0] == offsets[2] != offsets[1]
    assert total == 1280


def test_nothing_needs_no_memory() -> None:
    assert place([]) == ([], 0)
    assert place([Lifetime(0, 0, 3)]) == ([0], 0)
