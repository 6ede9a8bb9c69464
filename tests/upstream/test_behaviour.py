"""What befalls a request, and what may be asked for over /control."""

import math
from statistics import median

import pytest

from soaklib.upstream.behaviour import MODES, Behaviour, BehaviourError
from soaklib.upstream.limiter import Limiter

START = Behaviour()


def test_what_befalls_a_request_is_a_function_of_seed_and_number():
    """Two of one seed do the same to the same requests; another seed does something else."""
    behaviour = Behaviour(mode="500", share=0.5)
    fates = [behaviour.fate(7, number, "m") for number in range(200)]
    assert fates == [behaviour.fate(7, number, "m") for number in range(200)]
    assert fates != [behaviour.fate(8, number, "m") for number in range(200)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_share_is_kept(share):
    """As many requests are misbehaved to as the share says."""
    behaviour = Behaviour(mode="reset", share=share)
    hits = sum(behaviour.fate(3, number, "m").mode == "reset" for number in range(10_000))
    assert hits == pytest.approx(share * 10_000, abs=4 * math.sqrt(10_000 * share * (1 - share)))


def test_only_those_that_are_named():
    """A model or tool that is not named is left alone."""
    behaviour = Behaviour(mode="reset", only=("large",))
    assert [behaviour.fate(0, 1, name).mode for name in ("large", "small")] == ["reset", "none"]


def test_latencies_are_lognormal():
    """The median and the spread are as they were asked for; without a spread all are the same."""
    behaviour = Behaviour(latency_ms=40, latency_spread=0.5)
    logs = [math.log(behaviour.fate(1, number, "m").latency_s) for number in range(5_000)]
    assert median(logs) == pytest.approx(math.log(0.040), abs=0.03)
    mean = sum(logs) / len(logs)
    assert math.sqrt(sum((one - mean) ** 2 for one in logs) / len(logs)) == pytest.approx(0.5, abs=0.02)
    assert {Behaviour(latency_ms=40, latency_spread=0).fate(1, n, "m").latency_s for n in range(9)} == {0.040}


@pytest.mark.parametrize(
    "said",
    [
        [], "x", {"nonsense": 1}, {"mode": "nonsense"}, {"mode": "399"}, {"mode": "600"}, {"mode": 500}, {"share": 2},
        {"share": "1"}, {"share": True}, {"frames": 0}, {"frames": 1.5}, {"latency_ms": -1}, {"latency_ms": None},
        {"only": "m"}, {"only": [1]}, {"window_s": 0}, {"rate_limit": -1}, {"usage": 1}, {"latency_spread": 9},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_behaviour_is_refused(said):
    """A key that there is not, a value of another type or out of range: refused with a sentence."""
    with pytest.raises(BehaviourError):
        Behaviour.read(said, START)


@pytest.mark.parametrize("mode", [*MODES, "400", "429", "599"])
def test_every_mode_can_be_asked_for(mode):
    """What is left out is as at the start."""
    start = Behaviour(frames=3)
    assert Behaviour.read({"mode": mode, "rate_limit": None, "only": ["m"]}, start) == Behaviour(
        mode=mode, frames=3, only=("m",)
    )


def test_a_limit_is_a_fixed_window_of_each_caller():
    """The window begins with a caller's first request; what is refused does not lengthen it."""
    limiter = Limiter()
    at = lambda now_s, caller="a": limiter.lets_through(caller, 2, 60.0, now_s)  # noqa: E731 - said once, here
    assert [at(now_s) for now_s in (0, 10, 20, 59)] == [True, True, False, False]
    assert [limiter.left_s(caller, 60.0, 59) for caller in ("a", "nobody")] == [1, 0]
    assert at(59, "b")
    assert [at(now_s) for now_s in (60, 61, 62)] == [True, True, False]
    assert limiter.lets_through("a", None, 60.0, 62)
    assert limiter.lets_through("a", 3, 60.0, 63)  # what was refused took no place
