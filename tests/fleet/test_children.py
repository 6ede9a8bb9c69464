"""How a lane's process ended, in words."""

import pytest

from soaklib.fleet.children import ending
from soaklib.fleet.report import LaneReport

_LAST = LaneReport(lane=1, error="cannot write run.duckdb: No space left on device")


@pytest.mark.parametrize(
    ("code", "last", "is_told", "logged", "words"),
    [
        (0, None, False, "a warning", ""),
        (143, None, True, "", ""),
        (143, None, False, "", "ended with code 143"),
        (-9, _LAST, True, "", "killed by SIGKILL"),
        (4, None, False, "soaklib send: s", "ended with code 4: soaklib send: s"),
        (4, LaneReport(lane=1), False, "in its log", "ended with code 4: in its log"),
        (4, _LAST, False, "s", "ended with code 4: cannot write run.duckdb: No space left on device"),
    ],
    ids=["well", "told to stop", "stopped by another", "killed", "said nothing", "said no error", "said its error"],
)
def test_an_ending_is_worded(code, last, is_told, logged, words):
    """What a lane said itself counts more than its log, which a full disk cuts short; one told to stop has no words."""
    assert ending(code, last, is_told=is_told, logged=logged) == words


def test_a_report_with_an_error_is_read_as_it_was_written():
    """A lane's last line has why it failed."""
    assert LaneReport.read(_LAST.line()) == _LAST
