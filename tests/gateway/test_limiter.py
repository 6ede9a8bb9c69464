from soaklib.gateway.limiter import RateLimiter


def limiter_of(time, limit=5):
    return RateLimiter(limit=limit, window_s=60.0, monotonic=time.monotonic)


def test_five_calls_then_refused(fake_time):
    """The sixth call within the window is refused, and told the whole seconds that are left."""
    limiter = limiter_of(fake_time)
    assert [limiter.refuse("a") for _ in range(5)] == [None] * 5
    fake_time.now_s += 0.5
    assert limiter.refuse("a") == 60


def test_the_window_starts_with_the_first_call(fake_time):
    """60 s after the first counted call the agent may call again, not 60 s after the last."""
    limiter = limiter_of(fake_time)
    for _ in range(5):
        limiter.refuse("a")
        fake_time.now_s += 10.0
    assert limiter.refuse("a") == 10
    fake_time.now_s += 10.0
    assert limiter.refuse("a") is None


def test_agents_do_not_share_a_window(fake_time):
    """One agent's calls leave another's alone."""
    limiter = limiter_of(fake_time, limit=1)
    assert [limiter.refuse("a"), limiter.refuse("b"), limiter.refuse("a")] == [None, None, 60]


def test_ended_windows_are_forgotten(fake_time):
    """Agents that no longer call take no memory."""
    limiter = limiter_of(fake_time)
    for number in range(100):
        limiter.refuse(f"agent {number}")
    fake_time.now_s += 61.0
    limiter.refuse("late")
    assert len(limiter) == 1
