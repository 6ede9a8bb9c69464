"""Whole texts: encodings, line ends, truncation, OpenMetrics, and texts that are no exposition."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from thoroughness import examples

from soaklib.errors import ExpositionError
from soaklib.exposition.line import Defect
from soaklib.exposition.text import TEXT_LIMIT, Exposed, Repair, parse_exposition

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
TEXT = 'up 1\nrequests_total{tool="größe"} 5\n'
SAMPLES = [Exposed("up", (), 1.0, None), Exposed("requests_total", (("tool", "größe"),), 5.0, None)]


def defects(text):
    return [(repair.line, repair.what) for repair in parse_exposition(text).repairs]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT, []),
        (TEXT.encode(), []),
        (TEXT.replace("\n", "\n\n"), []),
        (f"# a comment\n#\n#HELP\n{TEXT}", []),
        (f"\ufeff{TEXT}", [(1, Defect.BYTE_ORDER_MARK)]),
        (f"\ufeff{TEXT}".encode(), [(1, Defect.BYTE_ORDER_MARK)]),
        (TEXT.encode("utf-16"), [(1, Defect.ENCODING), (1, Defect.BYTE_ORDER_MARK)]),
        (f"\ufeff{TEXT}".encode("utf-16-be"), [(1, Defect.ENCODING), (1, Defect.BYTE_ORDER_MARK)]),
        (TEXT.encode("utf-16-le"), [(1, Defect.ENCODING)]),
        (TEXT.encode("utf-16-be"), [(1, Defect.ENCODING)]),
        (TEXT.replace("\n", "\r\n"), [(1, Defect.CARRIAGE_RETURN)]),
        (TEXT[:-1], [(2, Defect.NO_FINAL_NEWLINE)]),
        (f"{TEXT}# HELP up A text.\n# HELP up A text.\n", [(4, Defect.REPEATED_METADATA)]),
        (f"{TEXT}# TYPE up gauge\n# TYPE up counter\n", [(4, Defect.REPEATED_METADATA)]),
        (f"{TEXT}# TYPE up speed\n# TYPE\n# TYPE up\n", [(n, Defect.MALFORMED_METADATA) for n in (3, 4, 5)]),
        (f"{TEXT}up 2\n", [(3, Defect.DUPLICATE_SERIES)]),
        (f"{TEXT}up 2 99999999999999999999\n", [(3, Defect.BAD_TIMESTAMP)]),
        (f"{TEXT}# UNIT up bytes\n", [(3, Defect.NO_EOF)]),
        (f'{TEXT}cut{{a="b', [(3, Defect.NO_FINAL_NEWLINE), (3, Defect.BAD_LABELS)]),
    ],
)
def test_condition(text, expected):
    """Whatever condition the text is in, the same samples are read and each defect is told with its line."""
    assert parse_exposition(text).samples == SAMPLES
    assert defects(text) == expected


def test_bad_bytes():
    """A byte that is not UTF-8 becomes U+FFFD in its own line, which a repair tells."""
    read = parse_exposition(b'up 1\nlatin{a="caf\xe9"} 2\n')
    assert read.samples == [Exposed("up", (), 1.0, None), Exposed("latin", (("a", "caf\ufffd"),), 2.0, None)]
    assert read.repairs == [Repair(2, Defect.ENCODING, 'latin{a="caf\ufffd"} 2', 'latin{a="caf\ufffd"} 2')]


def test_repair_rows():
    """A repair shows the line as it came, bounded, and as it was read; None when it was left out."""
    long = "x" * 1000
    assert parse_exposition(f'up 1\na{{b="c"}}le="5" 2\nno-name {long}\n').repairs == [
        Repair(2, Defect.LABEL_OUTSIDE_BRACES, 'a{b="c"}le="5" 2', 'a{b="c",le="5"} 2.0'),
        Repair(3, Defect.BAD_NAME, f"no-name {long}"[:TEXT_LIMIT], None),
    ]


@pytest.mark.parametrize(
    ("text", "timestamp_us"),
    [
        ("up 1 1700000000123\n", 1_700_000_000_123_000),
        ("up 1 -5\n", -5_000),
        ("up 1 1700000000.25\n", 1_700_000_000_250_000),
        ("up 1 1700000000\n# EOF\n", 1_700_000_000_000_000),
        ("# TYPE build info\nup 1 1700000000\n# EOF\n", 1_700_000_000_000_000),
        ('up 1 1700000000 # {trace_id="x"} 1\n# EOF\n', 1_700_000_000_000_000),
        ('up 1 1700000000 # {trace_id="x"} 1\n', 1_700_000_000_000_000),
        ("# TYPE up gauge\nup 1 1700000000000\n", 1_700_000_000_000_000),
        ("up 1.0 1.700000000123e+09\n# EOF\n", 1_700_000_000_123_000),
        ("up 1.0 1.7e+09\n# EOF\n", 1_700_000_000_000_000),
        ("up 1.0 1.700000000123456e+09\n", 1_700_000_000_123_456),
        ("up 1 17e8\n", 1_700_000_000_000_000),
        ("up 1 +1700000000123\n", 1_700_000_000_123_000),
    ],
)
def test_timestamps(text, timestamp_us):
    """Timestamps are milliseconds in the Prometheus format and seconds in OpenMetrics, there also with exponents."""
    assert parse_exposition(text).samples == [Exposed("up", (), 1.0, timestamp_us)]


@pytest.mark.parametrize(
    ("stamp", "defect"), [("1.700000000123e+12", Defect.TIMESTAMP_UNIT), ("1e99", Defect.BAD_TIMESTAMP)]
)
def test_an_exponent_that_makes_no_time(stamp, defect):
    """It costs the time alone."""
    read = parse_exposition(f"up 1 {stamp}\n")
    assert (read.samples, [repair.what for repair in read.repairs]) == ([Exposed("up", (), 1.0, None)], [defect])


def test_same_series_at_two_times():
    """A series may come twice if each sample has its own time."""
    assert [sample.value for sample in parse_exposition("up 1 1000\nup 2 2000\n").samples] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "empty"),
        (" \n\r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        ("<!doctype html>\nup 1\n", "markup"),
        ("\n<html><body>502 Bad Gateway</body></html>\n", "markup"),
        ('{"error":"not found"}', 'begins with \'{"error"'),
        ("Service Unavailable", "0 of its 1 lines"),
        ("soak-h0.prom", "pathlib.Path"),
        (b"\x7fELF\x02\x01\x01\x00\x00\xff\n\x00", "no metrics exposition"),
        ("a log line of words\n" * 11 + "up 1\n", "1 of its 12 lines"),
    ],
)
def test_refused(text, sentence):
    """Text that is no exposition is refused with a sentence on what it is and what to pass."""
    with pytest.raises(ExpositionError, match=sentence):
        parse_exposition(text)


def test_mostly_malformed():
    """One sample in ten lines is still an exposition: each malformed line costs that line only."""
    assert parse_exposition("up\n" * 9 + "up 1\n").samples == [Exposed("up", (), 1.0, None)]


def test_only_metadata():
    """Metadata without a sample is a valid exposition of nothing."""
    assert parse_exposition("# HELP up A text.\n# TYPE up gauge\n") == ([], [])


def test_client_library():
    """What prometheus-client exposes is read as it stands, in both formats and without a repair."""
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ["path"], registry=registry).labels('a"b\\c\nd').inc(3)
    Gauge("heat_celsius", "Heat.", registry=registry).set(math.inf)
    histogram = Histogram("took_seconds", "Took.", buckets=(0.1, 1), registry=registry)
    histogram.observe(0.5, exemplar={"trace_id": "abc"})
    expected = {
        ("calls_total", (("path", 'a"b\\c\nd'),)): 3.0,
        ("heat_celsius", ()): math.inf,
        ("took_seconds_bucket", (("le", "0.1"),)): 0.0,
        ("took_seconds_bucket", (("le", "1.0"),)): 1.0,
        ("took_seconds_bucket", (("le", "+Inf"),)): 1.0,
        ("took_seconds_count", ()): 1.0,
        ("took_seconds_sum", ()): 0.5,
    }
    for text in (generate_latest(registry), generate_openmetrics(registry)):
        read = parse_exposition(text)
        assert read.repairs == []
        assert expected == {
            (sample.metric, sample.labels): sample.value
            for sample in read.samples
            if not sample.metric.endswith("_created")
        }


@pytest.mark.parametrize(("name", "n_samples"), [("h0", 7), ("h1", 62), ("h19", 71)])
def test_real_gateway(name, n_samples):
    """Every sample line of the real gateway's text is read, and its bucket labels are put inside the braces."""
    text = (CAPTURES / f"{name}.prom").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    read = parse_exposition(text)
    assert len(read.samples) == len(lines) == n_samples
    assert [sample.value for sample in read.samples] == [float(line.rsplit(" ", 1)[1]) for line in lines]
    outside = [repair for repair in read.repairs if repair.what is Defect.LABEL_OUTSIDE_BRACES]
    assert len(outside) == sum("}le=" in line for line in lines)
    assert all(repair.result for repair in outside)


whole_lines = st.lists(
    st.tuples(st.integers(0, 50), st.text(st.characters(codec="utf-8"), max_size=5), st.floats(allow_nan=False)),
    min_size=2,
    unique_by=lambda line: line[:2],
)


@settings(deadline=None, derandomize=True, max_examples=examples(100))
@given(whole_lines, st.data())
def test_one_line_costs_one_line(lines, data):
    """Replacing one line by any other text leaves the samples of all other lines as they were."""
    registry_text = [
        'm{}{{k="{}"}} {}'.format(n, text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\""), value)
        for n, text, value in lines
    ]
    hit = data.draw(st.integers(0, len(lines) - 1))
    registry_text[hit] = data.draw(st.text(st.sampled_from('m1{}=", \\kx'), max_size=20).map(lambda text: f"x{text}"))
    read = parse_exposition("\n".join(registry_text) + "\n").samples
    others = [Exposed(f"m{n}", (("k", text),), value, None) for n, text, value in lines[:hit] + lines[hit + 1 :]]
    assert [sample for sample in read if sample in others] == others


@settings(deadline=None, derandomize=True, max_examples=examples(300))
@given(st.text() | st.binary() | st.text(st.sampled_from('ab1 \n\t\r{}=",\\#.\ud800\x00'), max_size=80))
def test_any_text(text):
    """No text makes the reader raise anything but its own error, and what it tells about is bounded."""
    with suppress(ExpositionError):
        assert all(len(repair.text) <= TEXT_LIMIT for repair in parse_exposition(text).repairs)


def test_series_share_the_words_that_they_have_in_common():
    """A large exposition takes the memory of what differs: names, keys and repeated values are there once."""
    lines = [f'calls_total{{agent="a{number:06}",tool="serpapi",code="200"}} 1\n' for number in range(2)]
    first, second = parse_exposition("".join(lines)).samples
    assert first.metric is second.metric
    for (key, value), (other_key, other_value) in zip(first.labels, second.labels, strict=True):
        assert key is other_key
        assert (value is other_value) == (key != "agent")
