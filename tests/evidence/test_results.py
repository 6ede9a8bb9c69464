import pytest

from soaklib.evidence.results import _same


@pytest.mark.parametrize(
    ("left", "right", "is_same"),
    [
        (86_000_000.0, 86_000_000, True),
        (86_000_000.0, 86_000_001.0, False),
        (99.61000000001, 99.61, True),
        (99.611, 99.61, False),
        (float("nan"), float("nan"), True),
        (True, 1, False),
        ({"ok": [1, 2.5]}, {"ok": [1, 2.5]}, True),
        ({"ok": [1, 2]}, {"ok": [1, 3]}, False),
    ],
)
def test_counts_are_compared_exactly_and_fractions_are_not(left, right, is_same):
    """One call of 86 million is a call; the last digit of a share is the machine's."""
    assert _same(left, right) is is_same
