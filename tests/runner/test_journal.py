"""What is owed its end, on disk."""

import pytest

import soaklib.runner.journal
from soaklib.errors import TargetError
from soaklib.runner.journal import Debt, UndoJournal

CHAOS, OTHER = Debt("chaos", "openai"), Debt("chaos", "serpapi")


@pytest.fixture
def full_disk(monkeypatch):
    """Give what fills the disk."""

    def fails(_):
        raise OSError(28, "No space left on device")

    return lambda: monkeypatch.setattr(soaklib.runner.journal, "whole_file", fails)


def test_what_was_owed_before_is_owed_still_where_a_full_disk_takes_it_no_second_time(tmp_path, full_disk):
    """It may be on already; what is new, and cannot be written down, must not be made and is not owed."""
    journal = UndoJournal(tmp_path)
    journal.owe(CHAOS)
    full_disk()
    for debt in (CHAOS, OTHER):
        with pytest.raises(TargetError, match="No space left on device"):
            journal.owe(debt)
    assert list(journal) == list(UndoJournal(tmp_path)) == [CHAOS]
