"""How values are said."""

import datetime as dt
import math

import pytest

from soaklib.reports.wording import CLOCK, PERCENTILE, SENTENCE, worded, worded_interval
from soaklib.whitepaper.claims import Claim


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (None, "%", "\N{EN DASH}"),
        (math.nan, "ms", "\N{EN DASH}"),
        (True, "", "yes"),
        (1234567, "calls", "1,234,567"),
        (-3, "", "\N{MINUS SIGN}3"),
        (99.673, "%", "99.673\N{NARROW NO-BREAK SPACE}%"),
        (100.0, "%", "100\N{NARROW NO-BREAK SPACE}%"),
        (0.0, "%", "0\N{NARROW NO-BREAK SPACE}%"),
        (12.345678, "ms", "12.35\N{NARROW NO-BREAK SPACE}ms"),
        (1500.0, "ms", "1,500\N{NARROW NO-BREAK SPACE}ms"),
        (0.00012346, "ms", "0.0001235\N{NARROW NO-BREAK SPACE}ms"),
        (43255.1, CLOCK, "H+12:01"),
        (-98.0, CLOCK, "H+0:00"),
        ("at  least\none", "", "at least one"),
        (">= 97 %", "", "\N{GREATER-THAN OR EQUAL TO} 97 %"),
        ("<= 1, >= 0", "", "\N{LESS-THAN OR EQUAL TO} 1, \N{GREATER-THAN OR EQUAL TO} 0"),
        (0.5, PERCENTILE, "50th"),
        (0.99, PERCENTILE, "99th"),
        (0.999, PERCENTILE, "99.9th"),
        (0.91, PERCENTILE, "91st"),
        (0.12, PERCENTILE, "12th"),
        (9.124, "files", "9.124\N{NARROW NO-BREAK SPACE}files"),
        (0.25, "US dollars", "0.25\N{NARROW NO-BREAK SPACE}US dollars"),
        (
            "Drifts by -2.507 (90 % interval -5 to 1), power 15% there, 34560 points of 1.2345.",
            SENTENCE,
            (
                "Drifts by \N{MINUS SIGN}2.507 (90\N{NARROW NO-BREAK SPACE}% interval \N{MINUS SIGN}5 to 1), power "
                "15\N{NARROW NO-BREAK SPACE}% there, 34,560 points of 1.2345"
            ),
        ),
        (
            "run 20261124T160601Z-2153 at http://127.0.0.1:39151, limit=5400",
            SENTENCE,
            "run 20261124T160601Z-2153 at http://127.0.0.1:39151, limit=5400",
        ),
        ("34560 slots", "", "34560 slots"),
        (dt.datetime(2026, 3, 1, 12, 0, 5, 999, dt.UTC), "", "2026-03-01 12:00:05 UTC"),
    ],
)
def test_each_unit_has_one_wording(value, unit, said):
    """A value is said in one way, which follows from its type and its unit."""
    assert worded(value, unit) == said


@pytest.mark.parametrize("value", [99.9996, 99.9999999, 0.0004, 0.0000001])
def test_a_share_that_is_not_whole_is_not_rounded_to_one(value):
    """Where three places would say 100 % or 0 %, more are shown."""
    assert worded(value, "%").split("\N{NARROW NO-BREAK SPACE}")[0] not in {"100.000", "100", "0.000", "0"}


def test_an_interval_says_its_unit_at_the_end():
    """An interval is two numbers and one unit; where calls were given up, it may have no upper end."""
    assert worded_interval(97.5, 100.0, "%") == "97.5 to 100\N{NARROW NO-BREAK SPACE}%"
    assert worded_interval(3.0, None, "ms") == "at least 3\N{NARROW NO-BREAK SPACE}ms"
    assert worded_interval(3.0, math.inf, "ms") == "at least 3\N{NARROW NO-BREAK SPACE}ms"
    assert worded_interval(None, 3.0, "ms") == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.01149, -2.507, 2.53, ("0.0 ms", "\N{MINUS SIGN}2.5 to 2.5 ms")),
        (-0.01149, -2.507, 2.53, ("0.0 ms", "\N{MINUS SIGN}2.5 to 2.5 ms")),
        (80.54, 44.4, 105.6, ("81 ms", "44 to 106 ms")),
        (1.23456, 1.2344, 1.2347, ("1.23456 ms", "1.23440 to 1.23470 ms")),
        (1.23456, 1.23456, 1.23456, ("1.235 ms", "1.235 to 1.235 ms")),
        (1.23456, 1.2, None, ("1.235 ms", "at least 1.2 ms")),
    ],
)
def test_a_number_has_the_digits_that_its_interval_warrants(value, low, high, said):
    """A value and its interval are said to two digits of the interval's width, and without one to four digits."""
    claim = Claim.made("a", "", "a", {}, value=value, unit="ms", n=None, low=low, high=high)
    found = claim.text, claim.worded("interval")
    assert tuple(text.replace("\N{NARROW NO-BREAK SPACE}", " ") for text in found) == said
