"""One line at a time: what is legal, what is mended, what is skipped and why."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from thoroughness import examples

from soaklib.exposition.line import LINE_LIMIT, Defect, SampleLine, read_line, write_line

LEGAL = [
    ("up 1", "up", (), 1.0, None),
    ("up\t1", "up", (), 1.0, None),
    ("up{} 1", "up", (), 1.0, None),
    ("a:b_c1 -0.5e-3", "a:b_c1", (), -0.0005, None),
    ("up 1 1700000000000", "up", (), 1.0, "1700000000000"),
    ("up 1 -5", "up", (), 1.0, "-5"),
    ("up .5", "up", (), 0.5, None),
    ("up 5.", "up", (), 5.0, None),
    ("up +Inf", "up", (), math.inf, None),
    ("up -inf", "up", (), -math.inf, None),
    ("up 1e400", "up", (), math.inf, None),
    ('up{b="2",a="1"} 1', "up", (("a", "1"), ("b", "2")), 1.0, None),
    ('up{a="1",} 1', "up", (("a", "1"),), 1.0, None),
    ('up{a=""} 1', "up", (("a", ""),), 1.0, None),
    (r'up{a="\\ \" \n"} 1', "up", (("a", '\\ " \n'),), 1.0, None),
    (r'up{a="\\n"} 1', "up", (("a", r"\n"),), 1.0, None),
    ('up{a="x,y{z}=#,b"} 1', "up", (("a", "x,y{z}=#,b"),), 1.0, None),
    ('up{a="} 7 # {"} 1', "up", (("a", "} 7 # {"),), 1.0, None),
    ('up{a="grüße\r\u2028 \x85"} 1', "up", (("a", "grüße\r\u2028 \x85"),), 1.0, None),
    ('up{a="1"}5', "up", (("a", "1"),), 5.0, None),
    ('up { a = "1" , b = "2" } 5 6', "up", (("a", "1"), ("b", "2")), 5.0, "6"),
    ('{"my.metric","a b"="c"} 2', "my.metric", (("a b", "c"),), 2.0, None),
    ('{"my.metric"} 2', "my.metric", (), 2.0, None),
    ('up 1 # {trace_id="x"} 0.5 12.25', "up", (), 1.0, None),
    ('up{le="1"} 1 12.5 # {trace_id="a b"} 0.67', "up", (("le", "1"),), 1.0, "12.5"),
]

MENDED = [
    ('a_bucket{x="y"}le="25" 5', (("le", "25"), ("x", "y")), (Defect.LABEL_OUTSIDE_BRACES,)),
    ('a_bucket{}le="25" 5', (("le", "25"),), (Defect.LABEL_OUTSIDE_BRACES,)),
    ('a_bucket{x="}"}le="25",y="1" 5', (("le", "25"), ("x", "}"), ("y", "1")), (Defect.LABEL_OUTSIDE_BRACES,)),
    ('a_bucket{q="say "hi"",z="1"} 5', (("q", 'say "hi"'), ("z", "1")), (Defect.UNESCAPED_QUOTE,)),
    ('a_bucket{q="a, "b", c"} 5', (("q", 'a, "b", c'),), (Defect.UNESCAPED_QUOTE,)),
    (r'a_bucket{p="C:\dir\",z="1"} 5', (("p", "C:\\dir\\"), ("z", "1")), (Defect.INVALID_ESCAPE,)),
    (r'a_bucket{p="C:\"} 5', (("p", "C:\\"),), (Defect.INVALID_ESCAPE,)),
    ('a_bucket{x="1" y="2"} 5', (("x", "1"), ("y", "2")), (Defect.MISSING_COMMA,)),
    (
        r'a_bucket{x="1" y="\d"2"}le="+Inf" 5',
        (("le", "+Inf"), ("x", "1"), ("y", r'\d"2')),
        (Defect.INVALID_ESCAPE, Defect.LABEL_OUTSIDE_BRACES, Defect.MISSING_COMMA, Defect.UNESCAPED_QUOTE),
    ),
    ('a_bucket{x="y"}le="25" 5 # {trace_id="t"} 7', (("le", "25"), ("x", "y")), (Defect.LABEL_OUTSIDE_BRACES,)),
]

SKIPPED = [
    ("my-metric 1", Defect.BAD_NAME),
    ("0up 1", Defect.BAD_NAME),
    ("größe 1", Defect.BAD_NAME),
    ("my.metric 1", Defect.BAD_NAME),
    ('{"status":"ok"}', Defect.BAD_LABELS),
    ('up{a="1"', Defect.BAD_LABELS),
    ('up{a="1" 5', Defect.BAD_LABELS),
    ("up{a=1} 5", Defect.BAD_LABELS),
    ("up{a='1'} 5", Defect.BAD_LABELS),
    ('up{0a="1"} 5', Defect.BAD_LABELS),
    ('up{a="1"}b 5', Defect.BAD_VALUE),
    ('up{a="1",a="2"} 5', Defect.DUPLICATE_LABEL),
    ('up{le="1"}le="2" 5', Defect.DUPLICATE_LABEL),
    ("up", Defect.NO_VALUE),
    ('up{a="1"}', Defect.NO_VALUE),
    ("up null", Defect.BAD_VALUE),
    ("up 1_000", Defect.BAD_VALUE),
    ("up \u0661", Defect.BAD_VALUE),
    ("up 1,5", Defect.BAD_VALUE),
    ("up {count:24,sum:100}", Defect.BAD_LABELS),
    ("up 1 2 3", Defect.BAD_TIMESTAMP),
    ("up 1 soon", Defect.BAD_TIMESTAMP),
    ("up{" + "a" * LINE_LIMIT + "} 1", Defect.LINE_TOO_LONG),
]

names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,8}", fullmatch=True)
keys = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True).filter(lambda key: key != "__name__")
texts = st.text(st.characters(codec="utf-8"), max_size=12)
lines = st.builds(
    SampleLine,
    names,
    st.dictionaries(keys, texts, max_size=4).map(lambda labels: tuple(sorted(labels.items()))),
    st.floats(allow_nan=False),
    st.none() | st.integers(-(10**15), 10**15).map(str),
    st.just(()),
)
hostile = st.text(st.sampled_from('aé_1 \t{}=",\\n#.+-:\x00\r'), max_size=60)


@pytest.mark.parametrize(("text", "metric", "labels", "value", "timestamp"), LEGAL)
def test_legal(text, metric, labels, value, timestamp):
    """A legal line is read as it stands and has no defect."""
    assert read_line(text) == SampleLine(metric, labels, value, timestamp, ())


@pytest.mark.parametrize("text", ["up NaN", "up nan", "up -NaN"])
def test_nan(text):
    """NaN is a value."""
    line = read_line(text)
    assert isinstance(line, SampleLine)
    assert math.isnan(line.value)


@pytest.mark.parametrize(("text", "labels", "defects"), MENDED)
def test_mended(text, labels, defects):
    """A line that can be read in one way only is read in that way, and every defect is named."""
    assert read_line(text) == SampleLine("a_bucket", labels, 5.0, None, defects)


@pytest.mark.parametrize(("text", "defect"), SKIPPED)
def test_skipped(text, defect):
    """A line that cannot be read is a defect that says why."""
    assert read_line(text) is defect


def test_long_plain_line():
    """Length alone is no defect: a well-formed line of any length is read."""
    assert read_line(f'up{{a="{"x" * LINE_LIMIT}"}} 1') == SampleLine("up", (("a", "x" * LINE_LIMIT),), 1.0, None)


@settings(deadline=None, derandomize=True, max_examples=examples(200))
@given(lines)
def test_round_trip(line):
    """What is written is read back, and prometheus-client reads the same from it."""
    text = write_line(line)
    assert read_line(text) == line
    ((sample,),) = [family.samples for family in text_string_to_metric_families(text)]
    assert (sample.name, tuple(sorted(sample.labels.items())), sample.value) == line[:3]


@settings(deadline=None, derandomize=True, max_examples=examples(500))
@given(hostile | st.builds("{}{{{}}}{}".format, names, hostile, hostile) | st.text())
def test_any_line(text):
    """Any line is a sample with sorted, distinct labels or a defect; a mended one reads the same once written."""
    line = read_line(text)
    if isinstance(line, SampleLine):
        assert line.labels == tuple(sorted(dict(line.labels).items()))
    if isinstance(line, SampleLine) and line.defects:
        again = read_line(write_line(line))
        assert again == line._replace(defects=()) or math.isnan(line.value)
