import pytest

from soaklib.gateway.chaos import Chaos, ChaosEffect, ChaosSetting


def strikes(chaos, tool="openai", times=1_000):
    return [chaos.strike(tool) for _ in range(times)]


def test_half_of_the_calls_are_hit():
    """At 50 % about half of the calls fail: 1,000 draws within four standard deviations."""
    chaos = Chaos(seed=3)
    chaos.inject("openai", ChaosSetting("500", 50.0))
    hit = sum(effect is not None for effect in strikes(chaos))
    assert abs(hit - 500) < 4 * 15.8


@pytest.mark.parametrize(("pct", "hit"), [(0.0, 0), (100.0, 1_000)])
def test_none_and_all(pct, hit):
    """0 % hits no call and 100 % hits every one."""
    chaos = Chaos(seed=3)
    chaos.inject("openai", ChaosSetting("500", pct))
    assert sum(effect is not None for effect in strikes(chaos)) == hit


def test_only_the_tool_that_was_meant():
    """Other tools are left alone, and so is the same one after the chaos was cleared."""
    chaos = Chaos(seed=3)
    chaos.inject("openai", ChaosSetting("500", 100.0))
    assert chaos.strike("serpapi") is None
    chaos.clear("openai")
    chaos.clear("openai")
    assert (chaos.strike("openai"), chaos.active()) == (None, [])


def test_what_each_mode_does():
    """500 fails at once, timeout after 30 s, jitter goes on after 1 to 6 s."""
    chaos = Chaos(seed=3)
    chaos.inject("openai", ChaosSetting("500", 100.0))
    assert chaos.strike("openai") == ChaosEffect(0.0, "Chaos: Simulated 500 error")
    chaos.inject("openai", ChaosSetting("timeout", 100.0))
    assert chaos.strike("openai") == ChaosEffect(30.0, "Chaos: Simulated timeout")
    chaos.inject("openai", ChaosSetting("jitter", 100.0))
    effects = strikes(chaos)
    assert {effect.error for effect in effects} == {None}
    delays_s = [effect.delay_s for effect in effects]
    assert 1.0 <= min(delays_s) < 1.05
    assert 5.95 < max(delays_s) <= 6.0


def test_the_seed_decides():
    """The same seed hits the same calls of a tool, whatever other tools do in between; another seed does not."""

    def pattern(seed, *, disturbed):
        chaos = Chaos(seed)
        for tool in ("openai", "serpapi"):
            chaos.inject(tool, ChaosSetting("500", 50.0))
        hits = []
        for _ in range(64):
            if disturbed:
                chaos.strike("serpapi")
            hits.append(chaos.strike("openai") is not None)
        return hits

    assert pattern(1, disturbed=False) == pattern(1, disturbed=True)
    assert pattern(1, disturbed=False) != pattern(2, disturbed=False)
