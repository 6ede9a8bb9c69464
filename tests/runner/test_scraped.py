"""The text of a scrape as the recorder's process reads it."""

import math

import pytest

from soaklib.exposition.ending import Wholeness
from soaklib.records import Sample, Scrape
from soaklib.runner import scraped
from soaklib.runner.scraped import judge_whole, read_scrape

SCRAPE = Scrape(7, "metrics", 200, ok=False, duration_us=2, size_bytes=3, detail=None)


def test_samples_have_the_time_of_the_scrape():
    """Names, labels and values are as exposed, and the row says ok."""
    read = read_scrape(SCRAPE, b'a{x="y"} 1\nb NaN\n')
    assert read.samples[0] == Sample(7, "a", (("x", "y"),), 1.0)
    assert (read.samples[1][:3], math.isnan(read.samples[1].value)) == ((7, "b", ()), True)
    assert (read.scrape, read.fault) == (SCRAPE._replace(ok=True), None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "the exposition is empty"),
        (b"<html>", "the text is a page of markup"),
        (b"# HELP up A text.\n", "no samples"),
        (b"\xff\x00garbage\n" * 9, "the text is no metrics exposition"),
    ],
)
def test_a_text_without_samples_is_a_failed_scrape(text, said):
    """The row says why."""
    read = read_scrape(SCRAPE, text)
    assert (read.samples, read.scrape.ok, read.fault) == ([], False, None)
    assert read.scrape.detail.startswith(said)


@pytest.mark.parametrize("error", [TypeError("x \udcff"), RecursionError(), MemoryError(), KeyError("k" * 9000)])
def test_whatever_the_parser_raises_is_a_failed_scrape(monkeypatch, error):
    """A text that the parser cannot bear costs that scrape, and is told as a fault."""

    def fail(_):
        raise error

    monkeypatch.setattr(scraped, "parse_exposition", fail)
    read = read_scrape(SCRAPE, b"up 1\n")
    assert (read.samples, read.scrape.ok, read.scrape.detail) == ([], False, read.fault)
    assert read.fault.startswith(f"the reader of /metrics failed: {type(error).__name__}(")
    assert len(read.fault.encode()) <= 200


def test_a_text_cut_short_is_a_failed_scrape_without_samples():
    """What it lacks would seem to be gone; one that lacks a family in its middle is kept, and says so."""
    wholeness = Wholeness()

    def scrape(text):
        return judge_whole(read_scrape(SCRAPE, text), text, wholeness)

    assert scrape(b"a 1\nb 2\nc 3\n").scrape == SCRAPE._replace(ok=True)
    cut = scrape(b"a 1\n")
    assert (cut.scrape.ok, cut.samples) == (False, [])
    assert cut.scrape.detail == "cut short: it ends before b, c, which the scrape before has"
    lacking = scrape(b"a 1\nc 3\n")
    assert lacking.scrape == SCRAPE._replace(ok=True, detail="lacks b, which the scrape before has")
    assert [sample.metric for sample in lacking.samples] == ["a", "c"]
    failed = scrape(b"")
    assert failed == read_scrape(SCRAPE, b"")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"a_total 1 1700000000\na_total 2 1700000060\n# EOF\n", 2.0),
        (b"a_total 2 1700000060\nb 1\na_total 1 1700000000\n# EOF\n", 2.0),
        (b"a_total 3\na_total 1 1700000000\n# EOF\n", 3.0),
        (b"a_total 1 1700000000\na_total 3\n# EOF\n", 3.0),
    ],
)
def test_of_a_series_at_several_times_the_latest_is_read(text, value):
    """A scrape has one sample of a series; what has no time of its own is of now."""
    read = read_scrape(SCRAPE, text)
    assert [sample.value for sample in read.samples if sample.metric == "a_total"] == [value]
    assert [kind for kind, _ in read.left_out] == ["several_times"]


def test_a_series_that_comes_once_with_its_time_is_read():
    """There is nothing to say of it."""
    assert read_scrape(SCRAPE, b"a 1 1700000000000\nb 2 1700000000000\n").left_out == ()


def test_what_is_in_no_sample_is_noted_the_first_of_each_kind():
    """Parts of lines, and lines; what is mended, and what is wrong with metadata, costs no sample."""
    text = (
        b'# TYPE a counter\n# TYPE a counter\na_total{x="1" y="2"} 1\na_total{\nb 1 x\nb_total{\n'
        b'n {count:2,sum:3.5,schema:3,positive_spans:[0:2],positive_buckets:[1,1]}\nc_total 1 # {a="b"} 1\n'
    )
    assert read_scrape(SCRAPE, text).left_out == (
        ("bad_labels", "line 4: left out (bad labels)"),
        ("bad_timestamp", "line 5: left out (bad timestamp)"),
        ("native_histogram", "line 7: the buckets of a native histogram are left out"),
        ("exemplar", "line 8: an exemplar is left out"),
    )
