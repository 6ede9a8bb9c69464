"""Metrics text as a frame: its types, its times, its names, and what was repaired."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from thoroughness import examples

from soaklib.analysis.sources.samples import (
    SAMPLES_SCHEMA,
    canonical_names,
    exposition_repairs,
    labels_series,
    read_exposition,
)
from soaklib.errors import ExpositionError, SettingsError

CAPTURES = Path(__file__).parents[2] / "data" / "captures"
AT = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)


def test_frame():
    """A row a sample, in the order of the text, with sorted labels and an empty list for a series without any."""
    read = read_exposition('b_total{z="1",a="2"} 5\nup 1\n', at=AT)
    expected = pl.DataFrame(
        {
            "at": [AT, AT],
            "metric": ["b_total", "up"],
            "labels": [[{"key": "a", "value": "2"}, {"key": "z", "value": "1"}], []],
            "value": [5.0, 1.0],
        },
        schema=SAMPLES_SCHEMA,
    )
    assert_frame_equal(read, expected)


def test_no_samples():
    """A text without samples gives an empty frame of the same types."""
    assert_frame_equal(read_exposition("# HELP up A text.\n"), pl.DataFrame(schema=SAMPLES_SCHEMA))


def test_times():
    """A sample's own timestamp wins over the scrape's time, and without either the time is null."""
    text = "a 1 1700000000123\nb 2\n"
    own = dt.datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=dt.UTC)
    assert read_exposition(text)["at"].to_list() == [own, None]
    assert read_exposition(text, at=AT)["at"].to_list() == [own, AT]


def test_time_of_another_zone():
    """A scrape's time is converted to UTC."""
    berlin = AT.astimezone(dt.timezone(dt.timedelta(hours=1)))
    assert read_exposition("a 1\n", at=berlin)["at"].to_list() == [AT]


def test_naive_time():
    """A time without a zone is refused."""
    with pytest.raises(SettingsError, match="no time zone"):
        read_exposition("a 1\n", at=dt.datetime(2026, 11, 24))  # noqa: DTZ001 - naive is the point


def test_sources(tmp_path):
    """A Path is a file, str and bytes are text; all three give the same frame."""
    text = 'calls_total{tool="größe"} 5\n'
    path = tmp_path / "soak-h0.prom"
    path.write_text(text, encoding="utf-8")
    assert_frame_equal(read_exposition(path), read_exposition(text))
    assert_frame_equal(read_exposition(text.encode()), read_exposition(text))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("absent.prom", "No such file"), ("", "Is a directory"), ("page.prom", "page.prom: .* markup")],
)
def test_bad_files(tmp_path, name, sentence):
    """A file that cannot be read, or holds something else, is named in the error."""
    (tmp_path / "page.prom").write_text("<html></html>")
    with pytest.raises(ExpositionError, match=sentence):
        read_exposition(tmp_path / name)


@pytest.mark.parametrize("source", [None, 5, ["up 1"]])
def test_bad_source(source):
    """Anything but a Path, a str or bytes is refused with what to pass."""
    with pytest.raises(ExpositionError, match=r"pass a pathlib\.Path"):
        read_exposition(source)


def test_repairs():
    """The table of repairs tells line, defect, text and result; null where the line was left out."""
    text = 'a{b="c"}le="5" 2\nno-name 1\n'
    assert exposition_repairs(text).rows() == [
        (1, "label_outside_braces", 'a{b="c"}le="5" 2', 'a{b="c",le="5"} 2.0'),
        (2, "bad_name", "no-name 1", None),
    ]


def test_no_repairs():
    """A valid text has an empty table of repairs."""
    repairs = exposition_repairs("up 1\n")
    assert repairs.columns == ["line", "what", "text", "result"]
    assert repairs.is_empty()


def test_canonical_names():
    """The real gateway's names become the documented ones on request, and no other name changes."""
    raw = read_exposition(CAPTURES / "h19.prom")
    canonical = read_exposition(CAPTURES / "h19.prom", canonical=True)
    names = dict(zip(raw["metric"], canonical["metric"], strict=True))
    assert names == {
        "gateway_process_start_time_seconds": "gateway_process_start_time_seconds",
        "gateway_agent_creations_total_total": "gateway_agent_creations_total",
        "gateway_token_generations_total_total": "gateway_token_generations_total",
        "gateway_token_validations_total_total": "gateway_token_validations_total",
        "gateway_token_expirations_total_total": "gateway_token_expirations_total",
        "gateway_requests_total_total": "gateway_requests_total",
        "gateway_policy_denials_total_total": "gateway_policy_denials_total",
        "gateway_chaos_injections_total_total": "gateway_chaos_injections_total",
        "gateway_chaos_clearings_total_total": "gateway_chaos_clearings_total",
        "gateway_breaker_fastfail_total_total": "gateway_breaker_fastfail_total",
        "gateway_breaker_state": "gateway_breaker_state",
        "gateway_request_duration_ms_ms_bucket": "gateway_request_duration_ms_bucket",
        "gateway_request_duration_ms_ms_sum": "gateway_request_duration_ms_sum",
        "gateway_request_duration_ms_ms_count": "gateway_request_duration_ms_count",
    }
    assert_frame_equal(raw.drop("metric"), canonical.drop("metric"))


@pytest.mark.parametrize("name", ["a_total_totals", "total_total_x", "a_ms_ms_other", "a_total", "a_ms_bucket"])
def test_canonical_leaves_alone(name):
    """A name that only resembles a doubled ending stays."""
    assert canonical_names(read_exposition(f"{name} 1\n"))["metric"].to_list() == [name]


def test_ledger():
    """The last capture's requests and denials are what its README counts."""
    frame = read_exposition(CAPTURES / "h19.prom", canonical=True)

    def total(metric, **labels):
        rows = frame.filter(pl.col("metric") == metric)
        for key, value in labels.items():
            pair = pl.struct(key=pl.lit(key), value=pl.lit(value))
            rows = rows.filter(pl.col("labels").list.contains(pair))
        return rows["value"].sum()

    assert total("gateway_requests_total", code="200") == 3_832
    assert total("gateway_requests_total", code="502") == 49
    assert total("gateway_policy_denials_total") == 141
    assert total("gateway_token_expirations_total") == 44
    assert total("gateway_request_duration_ms_count") == 1_965


pairs = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3).map(lambda d: tuple(sorted(d.items())))


@settings(deadline=None, derandomize=True, max_examples=examples(50))
@given(st.lists(pairs, max_size=6))
def test_labels_series(labels):
    """Every series keeps its own labels in its own place, none included."""
    assert labels_series(labels).to_list() == [[{"key": k, "value": v} for k, v in pairs] for pairs in labels]
