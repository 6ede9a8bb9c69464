"""Moments as people and logs say them."""

import datetime as dt

import pytest

from soaklib.errors import SettingsError
from soaklib.records.moments import soak_s_of, soak_text, utc_stamp


@pytest.mark.parametrize(
    ("soak_s", "text"), [(43_200.0, "H+12"), (42_600.0, "H+11:50"), (15.0, "H+0:00:15"), (0.0, "H+0")]
)
def test_a_moment_is_read_as_it_is_said(soak_s, text):
    """What is written is read back."""
    assert (soak_text(soak_s), soak_s_of(text)) == (text, soak_s)


@pytest.mark.parametrize("text", ["", "12", "H12", "H+", "H+1:60", "H+1:00:60", "H-1", "CHAOS_MODE_ON", float("inf")])
def test_what_is_no_moment_is_refused(text):
    """With what to pass."""
    with pytest.raises(SettingsError, match=r'pass for example "H\+12"'):
        soak_s_of(text)


def test_a_stamp_is_utc_to_the_millisecond():
    """Whatever the time zone it is in."""
    zone = dt.timezone(dt.timedelta(hours=2))
    assert utc_stamp(dt.datetime(2026, 11, 24, 22, 41, 0, 952_167, zone)) == "2026-11-24T20:41:00.952Z"
