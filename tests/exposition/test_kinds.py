"""What counts, by TYPE and by name."""

import pytest

from soaklib.exposition.kinds import counts, kinds_of

TEXT = b"""# HELP calls Calls.
# TYPE calls counter
# TYPE calls gauge
# TYPE seats_total gauge
#  TYPE  "my.calls"  counter\r
# TYPE took histogram
# TYPE held gaugehistogram
# TYPE loose untyped
# TYPE done counter
"""


def test_kinds():
    """Each family has its first TYPE, quoted or not."""
    assert kinds_of(TEXT) == {
        "calls": "counter", "seats_total": "gauge", "my.calls": "counter", "took": "histogram",
        "held": "gaugehistogram", "loose": "untyped", "done": "counter",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("calls", True), ("my.calls", True), ("done_total", True), ("done_created", False), ("seats_total", False),
        ("took_bucket", True), ("took_sum", True), ("took_count", True), ("held_bucket", False), ("held_sum", False),
        ("loose", False), ("loose_total", True), ("other_total", True), ("other_count", True), ("other", False),
    ],
)  # fmt: skip
def test_counts(metric, expected):
    """The TYPE tells, and the name where there is none."""
    assert counts(metric, kinds_of(TEXT)) is expected
