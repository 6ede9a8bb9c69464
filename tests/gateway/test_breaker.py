from soaklib.gateway.breaker import Breaker, BreakerState


def breaker_of(time, window_s=60.0):
    return Breaker(threshold=5, window_s=window_s, open_s=30.0, monotonic=time.monotonic)


def fail(breaker, times=1):
    for _ in range(times):
        breaker.record(breaker.admit(), success=False)


def test_four_failures_leave_it_closed(fake_time):
    """One failure less than the threshold does not open it."""
    breaker = breaker_of(fake_time)
    fail(breaker, 4)
    assert (breaker.state, breaker.failures) == (BreakerState.CLOSED, 4)


def test_the_fifth_failure_opens_it(fake_time):
    """At the threshold it opens and tells how many failures did that."""
    breaker = breaker_of(fake_time)
    fail(breaker, 5)
    assert (breaker.state, breaker.failures, breaker.admit()) == (BreakerState.OPEN, 5, None)


def test_it_forgets_a_failure_after_the_window(fake_time):
    """Failures spread wider than the window never open it."""
    breaker = breaker_of(fake_time)
    for _ in range(20):
        fail(breaker)
        fake_time.now_s += 15.0
    assert breaker.state is BreakerState.CLOSED


def test_without_a_window_it_never_forgets(fake_time):
    """As on the real gateway, five failures open it however far apart they are."""
    breaker = breaker_of(fake_time, window_s=None)
    for _ in range(5):
        fail(breaker)
        fake_time.now_s += 1e6
    assert breaker.failures == 5
    assert breaker._opened_at_s == 4e6


def test_a_success_does_not_wash_failures_away(fake_time):
    """Successes between failures leave the count as it is."""
    breaker = breaker_of(fake_time)
    for _ in range(5):
        breaker.record(breaker.admit(), success=True)
        fail(breaker)
    assert breaker.state is BreakerState.OPEN


def test_it_stays_open_without_traffic(fake_time):
    """Only a call moves it out of the open state."""
    breaker = breaker_of(fake_time)
    fail(breaker, 5)
    fake_time.now_s += 1e6
    assert breaker.state is BreakerState.OPEN


def test_one_probe_at_a_time(fake_time):
    """Half-open lets one call through and fails the others fast."""
    breaker = breaker_of(fake_time)
    fail(breaker, 5)
    fake_time.now_s += 29.999
    assert breaker.admit() is None
    fake_time.now_s += 0.001
    assert breaker.admit() is not None
    assert (breaker.state, breaker.admit()) == (BreakerState.HALF_OPEN, None)


def test_a_good_probe_closes_it(fake_time):
    """After a successful probe it starts from no failures."""
    breaker = breaker_of(fake_time)
    fail(breaker, 5)
    fake_time.now_s += 30.0
    breaker.record(breaker.admit(), success=True)
    assert (breaker.state, breaker.failures) == (BreakerState.CLOSED, 0)


def test_a_bad_probe_opens_it_again(fake_time):
    """After a failed probe it is open for another whole period, with one failure."""
    breaker = breaker_of(fake_time)
    fail(breaker, 5)
    fake_time.now_s += 30.0
    fail(breaker)
    assert (breaker.state, breaker.failures) == (BreakerState.OPEN, 1)
    fake_time.now_s += 29.0
    assert breaker.admit() is None


def test_a_straggler_does_not_count(fake_time):
    """A call admitted before the breaker opened changes nothing when it ends afterwards."""
    breaker = breaker_of(fake_time)
    straggler = breaker.admit()
    fail(breaker, 5)
    fake_time.now_s += 30.0
    probe = breaker.admit()
    breaker.record(straggler, success=True)
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.record(probe, success=True)
    breaker.record(straggler, success=False)
    assert (breaker.state, breaker.failures) == (BreakerState.CLOSED, 0)


def test_a_lost_probe_opens_it_again(fake_time):
    """A probe that never ended does not leave the breaker half-open for ever."""
    breaker = breaker_of(fake_time)
    fail(breaker, 5)
    fake_time.now_s += 30.0
    breaker.abandon(breaker.admit())
    assert breaker.state is BreakerState.OPEN


def test_a_lost_call_while_closed_is_no_failure(fake_time):
    """Abandoning an ordinary call does not count."""
    breaker = breaker_of(fake_time)
    breaker.abandon(breaker.admit())
    assert breaker.failures == 0
