"""The gateway's own counters: retries and cache hits."""

import polars as pl

from soaklib import charts

_RETRIES = pl.DataFrame({"soak_s": [0.0, 3600.0], "end_s": [3600.0, 7200.0], "tool": ["openai"] * 2, "n": [2.0, 3.0]})
_HITS = pl.DataFrame({"soak_s": [0.0, 3600.0], "end_s": [3600.0, 7200.0], "tool": ["serpapi"] * 2, "n": [200.0, 210.0]})


def test_retries_stand_above_cache_hits(figure):
    """Each has an axes of counts by tool, on one time axis."""
    charts.retries_and_cache(_RETRIES, _HITS, figure=figure)
    upper, lower = figure.axes
    assert (upper.get_ylabel(), lower.get_ylabel()) == (
        "retries in 1 h,\nmean between scrapes", "cache hits in 1 h,\nmean between scrapes",
    )  # fmt: skip
    assert [text.get_text() for text in upper.get_legend().texts] == ["openai: 5"]
    assert [text.get_text() for text in lower.get_legend().texts] == ["serpapi: 410"]
    assert lower.collections[0].get_paths()[0].vertices[:, 1].max() == 210.0


def test_none_counted_and_none_exposed_are_told_apart(figure):
    """A counter that stayed at 0 and one that is not there are not the same."""
    charts.retries_and_cache(_RETRIES.with_columns(n=0.0), _HITS.clear(), figure=figure)
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == [
        "the gateway counted no retries", "the gateway exposes no cache hits",
    ]  # fmt: skip


def test_what_nobody_knows_is_not_said_to_be_nothing(figure):
    """Processes that answer the scrapes in turn leave a counter unknown."""
    unknown = _RETRIES.with_columns(n=pl.lit(None, dtype=pl.Float64))
    charts.retries_and_cache(unknown, _HITS.with_columns(n=0.0), figure=figure)
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == [
        "what the gateway counted of retries is not known", "the gateway counted no cache hits",
    ]  # fmt: skip


def test_an_empty_half_is_left_out(figure):
    """Where one of the two counted nothing, only the other is drawn."""
    charts.retries_and_cache(_RETRIES.with_columns(n=0.0), _HITS, figure=figure)
    assert [ax.get_ylabel() for ax in figure.axes] == ["cache hits in 1 h,\nmean between scrapes"]
