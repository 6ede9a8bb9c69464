"""Denials, tools and outcomes, stacked over time."""

import polars as pl
import pytest

from soaklib import charts


def _areas(ax):
    """Give for each area its name and its (start_s, end_s, low, high), one a stretch."""
    return {
        area.get_label(): [
            (
                round(path.vertices[:, 0].min() * 3600),
                round(path.vertices[:, 0].max() * 3600),
                path.vertices[:, 1].min(),
                path.vertices[:, 1].max(),
            )
            for path in area.get_paths()
        ]
        for area in ax.collections
    }


def _legend(ax):
    return [text.get_text() for text in ax.get_legend().texts]


_DENIALS = pl.DataFrame(
    {
        "soak_s": [0.0, 60.0, 120.0, 120.0, 120.0],
        "end_s": [60.0, 120.0, 180.0, 180.0, 180.0],
        "purpose": ["probe", "probe", "probe", "load", "probe"],
        "reason": ["scope", "scope", "scope", "quota", "quota"],
        "n": [1, 1, 2, 10, 5],
    }
)


def test_denials_are_stacked_by_reason(ax):
    """Reasons stand on one another, those of probes and load added up, and one without denials is absent."""
    charts.denial_spikes(_DENIALS, ax=ax)
    assert _areas(ax) == {"scope": [(0, 180, 0.0, 2.0)], "quota": [(120, 180, 2.0, 17.0)]}
    assert _legend(ax) == ["scope: 4", "quota: 15"]
    assert ax.get_ylabel() == "denials in 1 min"


@pytest.mark.parametrize("others", [[], ["scope"]], ids=["alone", "beside another"])
def test_a_denial_without_a_reason_is_a_denial(ax, others):
    """A gateway that does not say why it denied has not denied nothing."""
    reasons = pl.Series([*others, None], dtype=pl.String)
    frame = pl.DataFrame({"soak_s": 0.0, "end_s": 60.0, "reason": reasons, "n": 3})
    charts.denial_spikes(frame, ax=ax)
    assert _legend(ax) == [*(f"{name}: 3" for name in others), "denied: 3"]


def test_a_gateway_without_a_counter_of_denials_is_not_said_to_have_denied_nothing(figure):
    """What it does not count says nothing of what it did."""
    counted = pl.DataFrame(
        schema={"soak_s": pl.Float64(), "end_s": pl.Float64(), "kind": pl.String(), "n": pl.Float64()}
    )
    charts.denial_sources(_DENIALS, counted, figure=figure)
    assert [text.get_text() for text in figure.axes[1].texts] == ["the gateway exposes no denials"]


def test_a_counter_of_denials_that_nobody_knows_is_not_said_to_be_none(figure):
    """Where several processes answer the scrapes in turn."""
    counted = pl.DataFrame({"soak_s": [0.0], "end_s": [180.0], "kind": [""]}).with_columns(n=pl.lit(None, pl.Float64))
    charts.denial_sources(_DENIALS, counted, figure=figure)
    assert [text.get_text() for text in figure.axes[1].texts] == ["how many denials the gateway counted is not known"]


def test_no_denial_is_said(ax):
    """A run without denials says so in place of an empty picture."""
    charts.denial_spikes(_DENIALS.clear(), ax=ax)
    assert [text.get_text() for text in ax.texts] == ["no call was denied"]
    assert ax.get_legend() is None


def test_a_run_in_one_window_is_drawn_to_its_end(ax):
    """A window of an hour in a run of half an hour spans the run and is told to be half an hour."""
    usage = pl.DataFrame({"soak_s": [0.0], "end_s": [3600.0], "tool": ["openai"], "sent": [1800]})
    marks = pl.DataFrame({"start_s": [0.0], "end_s": [1800.0], "kind": ["phase"], "label": ["baseline"]})
    charts.tool_usage(usage, ax=ax, marks=marks)
    assert _areas(ax) == {"openai": [(0, 1800, 0.0, 1800.0)]}
    assert (ax.get_ylabel(), ax.get_xlim()) == ("calls sent in 30 min", (0.0, 0.5))


def test_rare_denials_keep_the_length_of_their_window(ax):
    """However far apart they are, two denials are two bars as narrow as their windows."""
    rare = _DENIALS.filter(pl.col("soak_s") != 60.0, pl.col("reason") == "scope")
    charts.denial_spikes(rare, ax=ax)
    assert _areas(ax) == {"scope": [(0, 60, 0.0, 1.0), (120, 180, 0.0, 2.0)]}


def test_client_and_gateway_stand_on_one_time_axis(figure):
    """What the client met stands above what the gateway counted, each with its own windows and totals."""
    counted = pl.DataFrame(
        {
            "soak_s": [0.0, 3600.0] * 2,
            "end_s": [3600.0, 7200.0] * 2,
            "kind": ["scope", "scope", "day", "day"],
            "n": [4.0, 1.0, 0.0, 0.0],
        }
    )
    charts.denial_sources(_DENIALS, counted, figure=figure)
    upper, lower = figure.axes
    assert [ax.get_ylabel() for ax in (upper, lower)] == [
        "client: denials in 1 min", "gateway: denials in 1 h,\nmean between scrapes",
    ]  # fmt: skip
    assert [{area.get_alpha() for area in ax.collections} for ax in (upper, lower)] == [{None}, {0.5}]
    assert (_legend(upper), _legend(lower)) == (["scope: 4", "quota: 15"], ["scope: 5"])
    assert _areas(lower) == {"scope": [(0, 7200, 0.0, 4.0)]}
    assert upper.get_xlim() == lower.get_xlim() == (0.0, 2.0)


def test_client_and_gateway_have_one_window(figure):
    """Windows of one length are told as such in both parts."""
    counted = pl.DataFrame({"soak_s": [0.0, 120.0], "end_s": [60.0, 180.0], "kind": ["scope"] * 2, "n": [1.5, 1.0]})
    charts.denial_sources(_DENIALS, counted, figure=figure)
    upper, lower = figure.axes
    assert [ax.get_ylabel() for ax in (upper, lower)] == [
        "client: denials in 1 min", "gateway: denials in 1 min,\nmean between scrapes",
    ]  # fmt: skip
    assert _areas(lower) == {"scope": [(0, 60, 0.0, 1.5), (120, 180, 0.0, 1.0)]}


def test_tools_are_stacked_in_a_fixed_order(ax):
    """Tools stack in one order whatever the frame's, the actions of a tool added up."""
    usage = pl.DataFrame(
        {
            "soak_s": [0.0, 0.0, 0.0, 3600.0],
            "end_s": [3600.0, 3600.0, 3600.0, 7200.0],
            "tool": ["gmail_send", "http_fetch", "http_fetch", "gmail_send"],
            "action": ["send", "get", "head", "send"],
            "sent": [5, 20, 10, 6],
            "ok": [5, 20, 10, 6],
        }
    )
    charts.tool_usage(usage, ax=ax)
    assert _areas(ax) == {
        "http_fetch": [(0, 3600, 0.0, 30.0)],
        "gmail_send": [(0, 7200, 0.0, 35.0)],
    }
    assert _legend(ax) == ["http_fetch: 30", "gmail_send: 11"]
    assert ax.get_ylabel() == "calls sent in 1 h"


_OUTCOMES = pl.DataFrame(
    {
        "soak_s": [0.0, 60.0, 60.0, 180.0],
        "end_s": [60.0, 120.0, 120.0, 240.0],
        "purpose": ["load", "load", "probe", "load"],
        "kind": ["ok", "ok", "denied", "timeout"],
        "n": [10, 15, 5, 4],
    }
)


def test_outcomes_are_shares_of_each_window(ax):
    """What was not ok is a share of its window's calls; a window without calls is a gap, not a zero."""
    charts.outcome_composition(_OUTCOMES, ax=ax)
    assert _areas(ax) == {"denied": [(60, 120, 0.0, 25.0)], "timeout": [(180, 240, 0.0, 100.0)]}
    assert _legend(ax) == ["denied: 5 (14.71 %)", "timeout: 4 (11.76 %)", "ok: 25 (73.53 %, up to the top)"]


def test_a_share_that_is_not_nothing_is_not_said_to_be_nothing(ax):
    """Ten calls in a million are less than a hundredth of a percent, not none, and the rest is not all."""
    counts = pl.DataFrame({"soak_s": [0.0] * 2, "end_s": [None] * 2, "kind": ["ok", "timeout"], "n": [10**6, 10]})
    charts.outcome_composition(counts, ax=ax)
    assert _legend(ax) == ["timeout: 10 (< 0.01 %)", "ok: 1,000,000 (99.99 %, up to the top)"]


def test_a_run_in_which_all_is_ok_says_so(ax):
    """A run without any other kind says that every call was ok."""
    charts.outcome_composition(_OUTCOMES.filter(pl.col("kind") == "ok"), ax=ax)
    assert [text.get_text() for text in ax.texts] == ["every call was ok"]
    assert ax.get_ylim() == (0.0, 1.0)


def test_a_run_without_calls_says_so(ax):
    """A run that planned nothing says that."""
    charts.outcome_composition(_OUTCOMES.clear(), ax=ax)
    assert [text.get_text() for text in ax.texts] == ["no call was planned"]


@pytest.mark.parametrize("kind", ["brand_new_kind", "zz"])
def test_an_unknown_name_gets_a_spare_look(ax, kind):
    """A name that has no look of its own is drawn all the same."""
    charts.outcome_composition(_OUTCOMES.with_columns(kind=pl.lit(kind)), ax=ax)
    assert list(_areas(ax)) == [kind]
