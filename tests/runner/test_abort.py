import pytest

from soaklib.errors import SettingsError
from soaklib.plan.loading import load_settings
from soaklib.runner.abort import AbortRule


def fed(rule, *counts):
    """Feed a rule with (soak second, ok, failed) and give what it said to each."""
    return [rule.is_met(soak_s, {"ok": ok, "timeout": failed}) for soak_s, ok, failed in counts]


def test_a_stretch_below_the_floor_ends_the_run_and_not_before_it_is_over():
    """Nothing succeeds for ten minutes: met at the tenth, not at the ninth."""
    rule = AbortRule.parse("success_rate < 50 for 10m")
    assert fed(rule, (0, 100, 0), (300, 100, 50), (540, 100, 90), (600, 100, 100)) == [False, False, False, True]


def test_a_good_stretch_before_does_not_hide_a_bad_one():
    """An hour of success is outside the last ten minutes."""
    rule = AbortRule.parse("success_rate < 50 for 10m")
    assert fed(rule, (0, 0, 0), (3600, 9000, 0), (3900, 9000, 300), (4200, 9000, 600))[-1]


@pytest.mark.parametrize(
    "counts",
    [
        [(0, 0, 0), (600, 60, 40)],  # 60 %
        [(0, 0, 0), (600, 0, 0)],  # nothing planned
        [(0, 0, 500), (600, 100, 500)],  # it has recovered
    ],
)
def test_a_run_that_is_not_hopeless_goes_on(counts):
    """Above the floor, idle, or recovered."""
    assert not fed(AbortRule.parse("success_rate < 50 for 10m"), *counts)[-1]


def test_denials_are_not_counted():
    """A quota that denies half of the calls is for the verdicts."""
    rule = AbortRule.parse("success_rate<50 for 60s")
    assert not rule.is_met(0, {})
    assert not rule.is_met(60, {"ok": 10, "denied": 500, "skipped": 500})


def test_calls_that_nobody_lived_to_send_are_not_counted():
    """A lane that comes back writes rows for hours in which it saw nothing."""
    rule = AbortRule.parse("success_rate<50 for 60s")
    assert not rule.is_met(0, {})
    assert not rule.is_met(60, {"ok": 10, "missed": 500})


@pytest.mark.parametrize(
    "text", ["success_rate > 50 for 10m", "success_rate < 50", "x < 1 for 1m", "success_rate < 50 for 10"]
)
def test_another_form_is_refused_with_the_right_one(text):
    """Before anything runs."""
    with pytest.raises(SettingsError, match="must have the form"):
        load_settings(["--abort-when", text])


@pytest.mark.parametrize(
    "text",
    [
        "success_rate < 0 for 10m",
        "success_rate < 100.5 for 10m",
        "success_rate < 50 for 0m",
        f"success_rate < 50 for {400 * '9'}m",
    ],
)
def test_a_condition_that_is_never_or_always_met_is_refused(text):
    """None is below 0, each is below 101, and no stretch of no length is looked at; the edge itself is taken."""
    with pytest.raises(SettingsError, match="must be of more than 0 and at most 100 percent, for some time"):
        load_settings(["--abort-when", text])
    assert load_settings(["--abort-when", "success_rate < 100 for 0.5s"]).abort_when == "success_rate < 100 for 0.5s"
