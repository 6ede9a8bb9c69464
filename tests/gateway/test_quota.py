from datetime import UTC, datetime

import pytest

from soaklib.gateway.quota import QuotaCounters, QuotaKey


def counters_of(time, speed=1.0):
    return QuotaCounters(speed=speed, wall=time.wall)


@pytest.mark.parametrize(
    ("window", "resets_at"),
    [
        ("1h", datetime(2026, 11, 18, 12, tzinfo=UTC)),
        ("24h", datetime(2026, 11, 19, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 22, tzinfo=UTC)),
    ],
)
def test_windows_are_aligned_to_the_clock(fake_time, window, resets_at):
    """An hour ends on the full hour, a day at midnight, a week on Sunday midnight, all UTC."""
    use = counters_of(fake_time).use(QuotaKey("p", "a", window))
    assert datetime.fromtimestamp(use.resets_at_s, UTC) == resets_at


def test_a_new_window_starts_from_nothing(fake_time):
    """A full counter counts again from 0 in the next window, and only then."""
    counters, key = counters_of(fake_time), QuotaKey("p", "a", "1h")
    counters.count(key)
    fake_time.epoch_s = counters.use(key).resets_at_s - 0.001
    assert counters.use(key).used == 1
    fake_time.epoch_s += 0.001
    assert counters.use(key).used == 0


def test_a_faster_soak_has_shorter_windows(fake_time):
    """At a speed of 720 an hour takes 5 wall seconds."""
    counters, key = counters_of(fake_time, speed=720.0), QuotaKey("p", "a", "1h")
    left_s = counters.use(key).resets_at_s - fake_time.wall()
    assert 0.0 < left_s <= 5.0
    counters.count(key)
    fake_time.now_s += left_s
    assert counters.use(key).used == 0


def test_a_deleted_policy_leaves_no_counter(fake_time):
    """Counters go with their policy; those of others stay."""
    counters = counters_of(fake_time)
    counters.count(QuotaKey("p", "a", "1h"))
    counters.count(QuotaKey("q", "a", "1h"))
    counters.forget("p")
    assert len(counters) == 1
    assert counters.use(QuotaKey("q", "a", "1h")).used == 1


def test_windows_do_not_pile_up(fake_time):
    """However many windows pass, a key has one counter."""
    counters, key = counters_of(fake_time), QuotaKey("p", "a", "1h")
    for _ in range(48):
        counters.count(key)
        fake_time.now_s += 3_600.0
    assert len(counters) == 1
