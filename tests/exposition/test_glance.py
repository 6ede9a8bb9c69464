"""A glance at a text tells what reading it tells: whether it is one, and whether it came whole."""

from pathlib import Path

import pytest

from soaklib.exposition.ending import Wholeness
from soaklib.exposition.glance import Glance, glance_at

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
WHOLE = Glance(None, None)


@pytest.mark.parametrize("name", ["h0", "h1", "h19"])
def test_texts_of_a_real_gateway_are_taken(name):
    """Also with labels outside of their braces."""
    assert glance_at((CAPTURES / f"{name}.prom").read_bytes(), Wholeness()) == WHOLE


@pytest.mark.parametrize(
    "text",
    [
        b'a{x="y"} 1\nb NaN\n# EOF\n', b'a{x="}"}1 1700000000 # {t="x"} 1 2\r\n', "a 1\n".encode("utf-16"),
        b'{"a.b",x="y"} 1\n', b"# HELP up A text.\n",
    ],
)  # fmt: skip
def test_a_text_that_can_be_read_is_taken(text):
    """However it is written."""
    assert glance_at(text, Wholeness()) == WHOLE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"<html>starting</html>", "is a page of markup"), (b"", "the exposition is empty"),
        (b'{"error": "not ready"}\n', "is no metrics exposition"),
        (b"one 1\n" + b"and many others\n" * 20, "is no metrics exposition"),
    ],
)  # fmt: skip
def test_another_text_is_refused(text, said):
    """In the reader's own words."""
    glance = glance_at(text, Wholeness())
    assert said in glance.refused
    assert glance.cut is None


def test_a_text_that_ends_early_is_cut_short():
    """Families that the text before has are missing after its last one, or its last line does not end."""
    wholeness = Wholeness()
    text = b'# TYPE a counter\na{x="1"} 51\n# TYPE b counter\nb 7\n'
    assert glance_at(text, wholeness) == WHOLE
    assert glance_at(text[:30], wholeness).cut.startswith("cut short: it ends before b")
    assert glance_at(text[:-1], wholeness).cut.startswith("cut short: its last line does not end")
    assert glance_at(text, wholeness) == WHOLE


def test_a_gateway_that_began_anew_has_fewer_families():
    """Its start time moved, or a counter fell: that text is whole."""
    for start in (
        b"process_start_time_seconds 1\n",
        b"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1\n",
    ):
        wholeness = Wholeness()
        assert glance_at(start + b"# TYPE a counter\na 51\n# TYPE b counter\nb 7\n", wholeness) == WHOLE
        assert glance_at(start.replace(b" 1\n", b" 2\n") + b"# TYPE a counter\na 60\n", wholeness) == WHOLE
    wholeness = Wholeness()
    assert glance_at(b"# TYPE a_total counter\na_total 51\n# TYPE b counter\nb 7\n", wholeness) == WHOLE
    assert glance_at(b"# TYPE a_total counter\na_total 5\n", wholeness) == WHOLE
