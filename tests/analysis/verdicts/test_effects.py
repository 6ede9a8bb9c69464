"""Whether an effect shows: shares minute by minute, whose truth is known."""

import pytest

from soaklib.analysis.verdicts.criteria.effects import shown, together

MINUTES = 30
CALLS = [180] * MINUTES
BURST = [30 if minute == 3 else 0 for minute in range(MINUTES)]
USUAL = 0.0005


@pytest.mark.parametrize("affected", [[90] * MINUTES, [46] * MINUTES, [180, 0] * (MINUTES // 2), [180, 0, 0] * 10])
def test_half_of_what_is_meant_shows(affected):
    """Whether it comes evenly, or in minutes in which all fails, as behind a breaker that is open."""
    found = shown(affected, CALLS, usual=USUAL, meant=0.5)
    assert (found.state, found.why) == ("pass", "")


@pytest.mark.parametrize("affected", [BURST, [0] * MINUTES, [20] * MINUTES])
def test_less_than_half_fails(affected):
    """One outage of ten seconds, none, or a constant trickle, however significant."""
    found = shown(affected, CALLS, usual=USUAL, meant=0.5)
    assert (found.state, found.share.rate) == ("fail", sum(affected) / sum(CALLS))
    assert found.why == (", less than half of the 50 % that are meant" if any(affected) else "")


@pytest.mark.parametrize(
    ("sent", "meant", "state"), [(8, 0.5, "insufficient"), (10, 0.5, "insufficient"), (11, 0.5, "fail"),
                                 (60, 0.5, "fail"), (60, 0.05, "insufficient")]
)  # fmt: skip
def test_few_calls_without_any_effect_tell_nothing(sent, meant, state):
    """Not where a change that works would leave as few often enough."""
    found = shown([0], [sent], usual=0.0, meant=meant)
    assert (found.state, "too few to tell" in found.why) == (state, state == "insufficient")


def test_bursts_that_may_be_chance_are_no_pass_and_no_failure():
    """A fifth of the calls, all of them in six of thirty minutes."""
    found = shown([180, 0, 0, 0, 0] * 6, CALLS, usual=USUAL, meant=0.5)
    assert (found.state, "nobody can tell whether they are half of the 50 %" in found.why) == ("insufficient", True)


def test_an_effect_of_no_stated_size_is_held_against_chance_alone():
    """A trickle passes; one burst may have come without the change."""
    assert shown([20] * MINUTES, CALLS, usual=USUAL, meant=None).state == "pass"
    assert shown([0] * MINUTES, CALLS, usual=USUAL, meant=None).state == "fail"
    burst = shown(BURST, CALLS, usual=USUAL, meant=None)
    assert (burst.state, burst.why) == ("insufficient", ", in bursts that may have come without it")


def test_several_changes_pass_together():
    """One that does not show fails them all, and one of which nobody can tell passes none."""
    shows, does_not = ([90], [180]), ([0], [180])
    of = [shown(*one, usual=0.0, meant=0.5) for one in (shows, does_not, ([0], [8]))]
    assert [one.state for one in of] == ["pass", "fail", "insufficient"]
    assert (together(of), together(of[::2]), together(of[:1])) == ("fail", "insufficient", "pass")
