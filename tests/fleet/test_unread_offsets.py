"""Lanes whose files say in words alone how far their clocks were ahead, as those of earlier builds do."""

import pytest
from lane_files import clock_offset, read, write_conductor, write_lane
from stored_rows import outcome

from soaklib.commands.merge import main
from soaklib.records import EventName

IN_WORDS = "how far its clock was ahead stands in its file in words alone, as earlier builds wrote it: its times"


def in_words(at_us, applied_us):
    """The event of a lane that measured its clock, as an earlier build wrote it."""
    return clock_offset(at_us, applied_us)._replace(data=None)


@pytest.mark.parametrize(
    ("events", "at_us", "what"),
    [
        ([in_words(1_200_000, 200_000), in_words(1_300_000, 300_000)], (1_500_000, 1_200_000), "are its own clock's"),
        (
            [in_words(1_200_000, 200_000), clock_offset(1_300_000, 300_000)], (1_200_000, 900_000),
            "are corrected by its other measurements",
        ),
    ],
    ids=["all", "some"],
)  # fmt: skip
def test_an_offset_that_is_told_in_words_alone_is_told_to_be_not_applied(tmp_path, capsys, events, at_us, what):
    """By the merge, and by an event of the run; the other lane has nothing to tell."""
    planned_at_us, said_at_us = at_us
    write_conductor(tmp_path)
    write_lane(tmp_path, 0, [outcome(0, planned_at_us=1_500_000, lane=0)], events=events)
    write_lane(tmp_path, 1, [outcome(1, planned_at_us=1_500_000, lane=1)], events=[clock_offset(1_200_000, 0)])
    for _ in range(2):
        assert main([str(tmp_path), "--no-judge"]) == 0
        told = f"lane=0 {IN_WORDS} {what}"
        assert capsys.readouterr().err == f"soaklib: {told}\n"
        [event] = read(tmp_path, "select at_us, name, detail from events where name like '%UNKNOWN'")
        assert event == (said_at_us, EventName.CLOCK_OFFSET_UNKNOWN, told)
        assert read(tmp_path, "select planned_at_us from outcomes where lane = 0") == [(planned_at_us,)]
