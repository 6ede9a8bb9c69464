"""Notes of changes by hand, on their way into the event log of a run that is going on."""

import asyncio
from pathlib import Path

import pytest
from kept_events import KeptEvents

from soaklib.runner.inbox import leave_note, watch_inbox


class Looks:
    """In place of a sleep: ends the watching after so many looks; `between` is called before each but the first."""

    def __init__(self, looks, between=None):
        self._looks, self._between, self.seconds = looks, between, []

    async def __call__(self, seconds):
        """Count a look."""
        self.seconds.append(seconds)
        if len(self.seconds) == self._looks:
            raise asyncio.CancelledError
        if self._between is not None:
            self._between(len(self.seconds))


def watched(folder, events, *, looks=1, between=None):
    """Watch for so many looks."""
    sleep = Looks(looks, between)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(watch_inbox(folder, events, sleep=sleep))
    return sleep


def test_notes_become_events_in_their_order_and_are_gone(tmp_path):
    """Each once, with a key of its own."""
    notes = [leave_note(tmp_path, name, f"tool={name}") for name in ("CHAOS_MODE_ON", "CHAOS_MODE_OFF")]
    events = KeptEvents()
    assert watched(tmp_path, events, looks=3).seconds == [1.0] * 3
    assert events.written == [
        ("CHAOS_MODE_ON", "tool=CHAOS_MODE_ON", f"inbox:{notes[0].stem}"),
        ("CHAOS_MODE_OFF", "tool=CHAOS_MODE_OFF", f"inbox:{notes[1].stem}"),
    ]
    assert not [note for note in notes if note.exists()]


def test_a_note_that_comes_later_is_found_at_the_next_look(tmp_path):
    """The inbox need not be there from the start."""
    events = KeptEvents()
    watched(tmp_path, events, looks=3, between=lambda look: look == 1 and leave_note(tmp_path, "CHAOS_MODE_ON", "x"))
    assert [name for name, *_ in events.written] == ["CHAOS_MODE_ON"]


def test_a_note_that_was_written_down_before_the_run_was_resumed_is_only_removed(tmp_path):
    """The runner died between writing it down and removing it."""
    note = leave_note(tmp_path, "CHAOS_MODE_ON", "x")
    events = KeptEvents(done={f"inbox:{note.stem}": "CHAOS_MODE_ON"})
    watched(tmp_path, events)
    assert events.written == []
    assert not note.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"name": 1, "detail": "x"}', b'{"name": "lower", "detail": "x"}', b'{"name": "A"}']
)
def test_a_note_that_is_none_is_told_and_removed(tmp_path, content):
    """It does not end the run, and is not tried for ever."""
    note = leave_note(tmp_path, "CHAOS_MODE_ON", "x")
    note.write_bytes(content)
    events = KeptEvents()
    watched(tmp_path, events, looks=2)
    [(name, detail, _)] = events.written
    assert (name, detail) == ("CHANGE_FAILED", f"the note {note.name} of a change by hand cannot be read")
    assert not note.exists()


def test_a_half_written_note_is_left_alone(tmp_path):
    """Only what was renamed into place counts."""
    part = leave_note(tmp_path, "CHAOS_MODE_ON", "x").rename(tmp_path / "inbox" / ".1-1.json.part")
    events = KeptEvents()
    watched(tmp_path, events)
    assert events.written == []
    assert part.exists()


def test_an_inbox_that_cannot_be_cleared_is_told_once_and_no_event_is_written_twice(tmp_path):
    """What cannot be removed is a folder here, and it cannot be read; the note behind it is taken all the same."""
    (tmp_path / "inbox" / "0-1.json").mkdir(parents=True)
    note = leave_note(tmp_path, "CHAOS_MODE_ON", "x")
    events = KeptEvents()
    watched(tmp_path, events, looks=4)
    [(name, detail, _), (taken, _, key)] = events.written
    assert name == "CHANGE_FAILED"
    assert detail.startswith("the note 0-1.json of a change by hand cannot be taken, and is left: [Errno 21] Is a dir")
    assert (taken, key, note.exists()) == ("CHAOS_MODE_ON", f"inbox:{note.stem}", False)


def test_a_note_that_could_not_be_read_is_tried_again(tmp_path, monkeypatch):
    """It is told once, and written down when it can be read; what comes later does not wait for it."""
    late, soon = (leave_note(tmp_path, name, "x") for name in ("CHAOS_MODE_ON", "CHAOS_MODE_OFF"))
    reads, opened = [], Path.open

    def denied(path, *arguments, **keywords):
        if path == late:
            reads.append(path)
            if len(reads) < 3:
                raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", denied)
    events = KeptEvents()
    watched(tmp_path, events, looks=5)
    assert events.names() == ["CHANGE_FAILED", "CHAOS_MODE_OFF", "CHAOS_MODE_ON"]
    assert not late.exists()
    assert not soon.exists()


def test_an_inbox_that_cannot_be_looked_into_is_told_once(tmp_path, monkeypatch):
    """Nor does it end the run."""

    def denied(_path, _pattern):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", denied)
    events = KeptEvents()
    watched(tmp_path, events, looks=3)
    [(name, detail, _)] = events.written
    assert (name, detail) == (
        "CHANGE_FAILED", "notes of changes by hand cannot be taken: [Errno 13] Permission denied"
    )  # fmt: skip


def test_a_note_that_cannot_be_removed_is_written_down_once(tmp_path, monkeypatch):
    """It is known by its key at every later look."""
    leave_note(tmp_path, "CHAOS_MODE_ON", "x")

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    events = KeptEvents()
    watched(tmp_path, events, looks=4)
    assert [name for name, *_ in events.written] == ["CHAOS_MODE_ON", "CHANGE_FAILED"]
