"""The most sparing explanation of two counts that part."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soaklib.analysis.books.balance import Jump, jumps, path

INTERVALS = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 3)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ([(0, 0), (0, 0), (0, 0)], []),
        ([(0, 0), (-1, 1), (0, 2)], []),
        ([(0, 0), (-7, -7), (-7, -7)], [Jump(1, -7, 1)]),
        ([(0, 0), (-7, -6), (-7, -7)], [Jump(1, -7, 1)]),  # six for sure at first, and seven explain both
        ([(0, 0), (-1, 0), (-1, -1)], [Jump(2, -1, 1)]),  # hidden at first
        ([(0, 0), (3, 3), (0, 0)], [Jump(1, 3, 1), Jump(2, -3, 2)]),
        ([(0, 0), (2, 5), (4, 9)], [Jump(1, 4, 1)]),
        ([(-2, 0), (1, 1)], [Jump(1, 1, 1)]),
        ([], []),
    ],
)
def test_changes_are_as_few_and_as_small_as_can_be(bounds, expected):
    """Readings that agree need no change; a change is put where it is certain, with how old it may be."""
    assert jumps([low for low, _ in bounds], [high for _, high in bounds]) == expected


@given(INTERVALS)
def test_no_other_path_is_more_sparing(bounds):
    """Against every whole-numbered path through the bounds: none has fewer changes, none of those changes less."""

    def cost(values):
        steps = [b - a for a, b in pairwise(values)]
        return sum(step != 0 for step in steps), sum(map(abs, steps))

    found = path([low for low, _ in bounds], [high for _, high in bounds])
    assert all(low <= value <= high for value, (low, high) in zip(found, bounds, strict=True))
    assert cost(found) == min(map(cost, product(*(range(low, high + 1) for low, high in bounds))))
