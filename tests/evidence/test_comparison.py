"""What a week's comparison says got worse."""

import pytest

from soaklib.evidence.comparison import AS_ASKED, Comparison, EndpointChange, read_comparison, write_comparison


def _change(size, *, tool, state="different", endpoint="latency (median)"):
    return EndpointChange(
        endpoint=endpoint, unit="ms", a=20.0, b=20.0 + size, difference=size, low=size - 0.5, high=size + 0.5,
        margin=2.0, n_a=99, n_b=99, state=state, tool=tool,
    )  # fmt: skip


def _comparison(**told):
    return Comparison(run_id="week-3", against="week-2", detail="the last good run", **told)


GAIN, LOSS = _change(-10.0, tool="openai"), _change(6.0, tool="serpapi")


def test_a_tool_that_got_worse_is_a_regression_whatever_another_gained():
    """Also in a file whose endpoint is as its most improved tool; each is named, once."""
    found = _comparison(endpoints=(GAIN,), tools=(GAIN, LOSS))
    assert found.regressions == (LOSS,)
    assert _comparison(endpoints=(LOSS,), tools=(GAIN, LOSS)).regressions == (LOSS,)
    assert "**latency (median): 20 to 26 ms of serpapi (difference +5.5 to +6.5, margin 2)**" in found.as_markdown()


def test_what_crept_is_what_only_the_oldest_good_run_shows():
    """What is worse than in the run before as well is told once, as a regression; what is the same is not told."""
    errors = _change(3.0, tool="openai", endpoint="errors")
    same = _change(1.0, tool="gmail_send", state="same")
    found = _comparison(tools=(GAIN, LOSS), anchor="week-1", since_anchor=(GAIN, LOSS, same, errors))
    assert found.crept == (errors,)
    text = found.as_markdown()
    assert f"Since week-1, the oldest good run of this level: **{errors}**." in text
    quiet = _comparison(tools=(GAIN,), anchor="week-1", since_anchor=(GAIN, same)).as_markdown()
    assert "Since week-1, the oldest good run of this level: nothing else is different for the worse." in quiet
    assert "oldest good run" not in _comparison(tools=(GAIN,)).as_markdown()


@pytest.mark.parametrize(("detail", "accepts"), [(AS_ASKED, True), ("the last good run", False)])
def test_a_comparison_that_was_asked_for_accepts_a_level(tmp_path, detail, accepts):
    """Read back as it was written."""
    written = Comparison(run_id="week-3", against="week-2", detail=detail, anchor="week-1", since_anchor=(LOSS,))
    write_comparison(tmp_path, written)
    found = read_comparison(tmp_path)
    assert found == written
    assert found.accepts is accepts
