"""What somebody else said becomes text that can be kept, sent on and shown."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soaklib.safety.foreign_text import is_plain, plain_text


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("Agent not found", "Agent not found"),
        (b"caf\xc3\xa9", "caf\u00e9"),
        (b"\xff", "\ufffd"),
        ("req_\udcff", "req_\ufffd"),
        ("a\x00b\x1b[2Jc\x9b1m", "a\ufffdb\ufffd[2Jc\ufffd1m"),
        ("  two\r\nlines\t", "two lines"),
        ("ab\u202edc", "ab\ufffddc"),
        ("x" * 20, "x" * 9 + "\u2026"),
        (b"\xff" * 1000, "\ufffd" * 9 + "\u2026"),
        ("", ""),
    ],
)
def test_what_is_said_is_clipped_and_made_text(said, text):
    """One line of characters that every encoder takes and no terminal obeys."""
    limit = 10 if len(said) >= 20 else 200
    assert plain_text(said, most=limit) == text


@given(st.text(st.characters(codec=None)) | st.binary(), st.integers(1, 50))
def test_whatever_is_said_can_be_kept(said, most):
    """It can be encoded, is no longer than it may be, stays as it is the second time, and begins no escape."""
    text = plain_text(said, most=most)
    assert orjson.loads(orjson.dumps(text)) == text
    assert len(text) <= most
    assert not set(text) & {"\x00", "\x07", "\x1b", "\x9b", "\n", "\r"}
    assert plain_text(text, most=most) == text


@pytest.mark.parametrize(
    ("said", "plain"),
    [("p-1", True), ("", False), ("p\n", False), ("\x1b[m", False), ("x" * 256, True), ("x" * 257, False)],
)
def test_a_name_is_taken_as_it_is_or_not_at_all(said, plain):
    """For it is sent back."""
    assert is_plain(said) is plain
