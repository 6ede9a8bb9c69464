"""How a claim's value is said: one way for each unit, so that a number reads the same wherever it stands."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Final, TypeAlias

__all__ = [
    "CLOCK",
    "NOT_KNOWN",
    "PERCENTILE",
    "SAID_WITH_VALUE",
    "SENTENCE",
    "Value",
    "places_for",
    "worded",
    "worded_interval",
]

CLOCK: Final = "soak time"
"""Unit of a moment of the soak, soak seconds since its start; said as H+8:00."""

PERCENTILE: Final = "share of calls"
"""Unit of a quantile; said as the 99th percentile is: 99th."""

SENTENCE: Final = "sentence"
"""Unit of words about this run that the library put together: their numbers are said as those of claims are."""

NOT_KNOWN: Final = "\N{EN DASH}"
_THIN: Final = "\N{NARROW NO-BREAK SPACE}"
SAID_WITH_VALUE: Final = frozenset(
    {"%", "ms", "s", "MiB", "MiB a soak-hour", "soak s", "soak h", "files", "US dollars"}
)
"""Units that are said with the value; all others (calls, rows) are said by the sentence around it."""

_PERCENTS: Final = frozenset({"%", "percentage points"})
_SIGNS: Final = {">=": "\N{GREATER-THAN OR EQUAL TO}", "<=": "\N{LESS-THAN OR EQUAL TO}"}
_MINUS: Final = "\N{MINUS SIGN}"
_ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}
_TEENS: Final = frozenset({11, 12, 13})

_WHOLE_NUMBER: Final = re.compile(r"(?<![\w.,:/=+-])\d{4,}(?![\w:/-]|[.,]\d)")
_NEGATIVE: Final = re.compile(r"(?<![\w.,:/=-])-(?=\d)")
_BARE_PERCENT: Final = re.compile(r"(?<=\d) ?%")

_PERCENT_PLACES: Final = 3
_MOST_PLACES: Final = 9
_DIGITS: Final = 4
_WHOLE: Final = 100.0
_MINUTE_S: Final = 60.0
_MINUTES: Final = 60

Value: TypeAlias = str | int | float | bool | dt.datetime | None


def worded(value: Value, unit: str, places: int | None = None) -> str:
    """Give a value as people read it.

    A share that is not whole is never rounded to a whole one: 99.99996 % stays apart from 100 %, and 0.00004 % from 0.

    Parameters
    ----------
    value
        A number, a text, a truth, or None for what is not known.
    unit
        As in the claim; ``""`` for none.
    places
        Decimals, as :func:`places_for` gives them; None for four digits in all, and three decimals of a percent. More
        are said where a percent would become a whole one.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _with_unit(_number(value, unit, places), unit)
    match value:
        case None:
            return NOT_KNOWN
        case bool():
            return "yes" if value else "no"
        case dt.datetime():
            return f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
    for typed, sign in _SIGNS.items():
        value = value.replace(typed, sign)
    said = " ".join(value.split())
    return _typeset(said) if unit == SENTENCE else said


def worded_interval(low: float | None, high: float | None, unit: str) -> str:
    """Give an interval as people read it, its unit said at the end; one without an upper end is said to be that."""
    if low is None:
        return NOT_KNOWN
    if high is None or high == math.inf:
        return f"at least {_with_unit(_number(low, unit), unit)}"
    places = places_for(low, high)
    return f"{_number(low, unit, places)} to {_with_unit(_number(high, unit, places), unit)}"


def places_for(low: float | None, high: float | None) -> int | None:
    """Give the decimals that an interval warrants, two digits of its width; None where it has no width."""
    if low is None or high is None or not 0 < high - low < math.inf:
        return None
    return min(max(0, 1 - math.floor(math.log10(high - low))), _MOST_PLACES)


def _typeset(sentence: str) -> str:
    """Say the numbers of a sentence as those of claims are said; the full stop is the paper's to put."""
    sentence = _WHOLE_NUMBER.sub(lambda found: f"{int(found[0]):,}", sentence)
    sentence = _NEGATIVE.sub(_MINUS, sentence)
    return _BARE_PERCENT.sub(f"{_THIN}%", sentence).removesuffix(".")


def _with_unit(number: str, unit: str) -> str:
    return f"{number}{_THIN}{unit}" if unit in SAID_WITH_VALUE and number != NOT_KNOWN else number


def _number(value: float, unit: str, places: int | None = None) -> str:
    if not math.isfinite(value):
        return NOT_KNOWN
    if unit == CLOCK:
        return _clock(value)
    if unit == PERCENTILE:
        return _ordinal(100 * value)
    if isinstance(value, int):
        text = f"{value:,}"
    elif unit in _PERCENTS:
        text = _percent(value, places)
    elif places is not None:
        text = f"{round(value, places) + 0.0:,.{places}f}"  # no minus before nothing
    else:
        text = _significant(value)
    return text.replace("-", _MINUS)


def _ordinal(percent: float) -> str:
    """Give 50 as 50th and 99.9 as 99.9th."""
    text = _significant(percent)
    whole = int(percent) if "." not in text else 0
    return text + ("th" if whole % 100 in _TEENS else _ENDINGS.get(whole % 10, "th"))


def _percent(value: float, warranted: int | None) -> str:
    least = _PERCENT_PLACES if warranted is None else min(warranted, _PERCENT_PLACES)
    for places in range(least, _MOST_PLACES):
        text = f"{value:,.{places}f}"
        if (float(text.replace(",", "")) in {0.0, _WHOLE, -_WHOLE}) == (value in {0.0, _WHOLE, -_WHOLE}):
            break
    if value == round(value):
        return f"{value:,.0f}"
    return text


def _clock(soak_s: float) -> str:
    minutes = max(0, round(soak_s / _MINUTE_S))
    return f"H+{minutes // _MINUTES}:{minutes % _MINUTES:02}"


def _significant(value: float) -> str:
    if value == 0:
        return "0"
    places = max(0, _DIGITS - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(places, _MOST_PLACES)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
