from hypothesis import given
from hypothesis import strategies as st

from soaklib.runner.histogram import Histogram


def test_a_duration_that_equals_a_bound_is_counted_below_it():
    """`le` means less or equal; what is above the last bound is in +Inf alone."""
    histogram = Histogram((1_000, 5_000))
    for duration_us in (1_000, 1_001, 5_000, 9_000_000):
        histogram.observe(duration_us)
    assert histogram.cumulative() == [("0.001", 1.0), ("0.005", 3.0), ("+Inf", 4.0)]
    assert histogram.sum_s == 9.007001


def test_an_empty_histogram_has_all_its_buckets():
    """A rate over it is 0 from the first scrape on, and not missing."""
    assert Histogram((1_000,)).cumulative() == [("0.001", 0.0), ("+Inf", 0.0)]
    assert Histogram((1_000,)).sum_s == 0


@given(st.lists(st.integers(0, 10_000)))
def test_each_bucket_counts_what_is_not_above_its_bound(durations_us):
    """As counting by hand gives it, for any durations."""
    histogram = Histogram((10, 100, 1_000))
    for duration_us in durations_us:
        histogram.observe(duration_us)
    expected = [float(sum(d <= bound for d in durations_us)) for bound in (10, 100, 1_000, 10_000)]
    assert [count for _, count in histogram.cumulative()] == expected
