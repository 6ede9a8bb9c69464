"""What answers state of the gateway, and the books of tokens and money."""

import polars as pl
import pytest

from soaklib import charts
from soaklib.errors import SettingsError

STATED = pl.DataFrame(
    {
        "soak_s": [0.0, 3600.0, 10800.0], "end_s": [3600.0, 7200.0, 14400.0], "gateway_p50_ms": [1.0, None, 3.0],
        "gateway_p99_ms": [8.0, None, 9.0], "retries": [2, 3, None], "fallbacks": [0, 1, None],
        "remaining_least": [40, 7, 0],
    }
)  # fmt: skip
USAGE = pl.DataFrame(
    {
        "key": ["a", None, "a-key-that-is-longer-than-others"], "source": ["gateway"] * 3,
        "stated_most": [10.0, 20.0, 30.0], "counted": [10.0, 15.0, 36.0], "lost": [0.0, 5.0, 0.0],
        "too_many": [0.0, 0.0, 4.0],
    }
)  # fmt: skip
TOKENS = pl.concat([USAGE.with_columns(direction=pl.lit(way)) for way in ("in", "out")])


def lines(ax):
    return {line.get_gid(): line.get_ydata().tolist() for line in ax.lines if line.get_gid()}


def bars(ax, gid):
    """Give where each bar of a kind begins and ends."""
    patches = [patch for patch in ax.patches if patch.get_gid() == gid]
    return [tuple(sorted((patch.get_x(), patch.get_x() + patch.get_width()))) for patch in patches]


def labels(ax):
    return [text.get_text() for text in ax.get_legend().texts]


def notes(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts if text.get_gid() == "note"]


def test_its_own_time_its_tries_and_what_is_left_stand_below_one_another(figure):
    """Each by window; a window in which nothing is stated, or no call was made, is a gap, and has no tries."""
    charts.gateway_stated(STATED, figure=figure)
    times, tries, left = figure.axes
    gap = pytest.approx([1.0, float("nan"), float("nan"), 3.0, 3.0], nan_ok=True)
    assert lines(times)["gateway_p50_ms"] == gap
    assert (labels(times), labels(tries)) == (["p50", "p99"], ["retries: 5", "fallbacks: 1"])
    assert tries.collections[0].get_paths()[0].vertices[:, 1].max() == 3.0
    assert lines(left)["remaining_least"] == pytest.approx([40.0, 7.0, float("nan"), 0.0, 0.0], nan_ok=True)
    assert [ax.get_ylabel() for ax in figure.axes] == [
        "own time,\nall calls (ms)", "tries in 1 h", "calls that a\nlimit still leaves"
    ]  # fmt: skip


def test_what_no_answer_states_has_no_axes(figure):
    """One quantity alone has the whole figure."""
    silent = STATED.with_columns(pl.lit(None).alias(name) for name in STATED.columns[2:-1])
    charts.gateway_stated(silent, figure=figure)
    assert [ax.get_ylabel() for ax in figure.axes] == ["calls that a\nlimit still leaves"]
    assert notes(figure) == []


def test_where_nothing_was_tried_again_an_axis_says_so(figure):
    """And shows no fractions of a try, which no window can have."""
    charts.gateway_stated(STATED.with_columns(retries=0, fallbacks=0), figure=figure)
    tries = figure.axes[1]
    assert notes(figure) == ["no retries and no fallbacks"]
    assert tries.get_ylim() == (0.0, 1.0)
    assert labels(tries) == ["retries: 0", "fallbacks: 0"]


def test_a_run_that_states_nothing_has_a_sentence(figure, marks):
    """And no empty axes."""
    charts.gateway_stated(STATED.with_columns(pl.lit(None).alias(name) for name in STATED.columns[2:]), figure=figure,
                          marks=marks)  # fmt: skip
    assert notes(figure) == ["no answer states the gateway's own time, its retries, or what its limits leave"]
    assert [ax.axison for ax in figure.axes] == [False]


def test_several_rows_of_a_window_are_refused(figure):
    """Percentiles of several tools are none of all."""
    with pytest.raises(SettingsError, match=r"pass what soaklib.stated\(run, by=\(\)\) gives"):
        charts.gateway_stated(pl.concat([STATED, STATED]), figure=figure)


def test_each_book_has_its_axes_and_each_key_its_bars(figure):
    """What is stated and what was counted; what is lost reaches to what was due, what is too much back to it."""
    charts.usage_books(TOKENS, USAGE, figure=figure)
    assert [ax.get_xlabel() for ax in figure.axes] == ["tokens in", "tokens out", "US dollars"]
    first = figure.axes[0]
    assert [text.get_text() for text in first.get_yticklabels()] == ["a", "no key", "a-key-that-is-lon\u2026"]
    assert bars(first, "stated") == [(0, 10), (0, 20), (0, 30)]
    assert bars(first, "counted") == [(0, 10), (0, 15), (0, 36)]
    assert bars(first, "wrong") == [(15, 20), (32, 36)]
    assert labels(figure.axes[-1]) == [
        "stated by answers", "counted by the gateway", "lost, or beyond what calls explain"
    ]  # fmt: skip


def test_of_many_keys_the_few_that_differ_and_the_largest_are_shown(figure):
    """In their order, and the others as one, so that their names can be read and their sums are whole."""
    many = pl.DataFrame(
        {
            "key": [f"k{n}" for n in range(12)], "source": ["gateway"] * 12,
            "stated_most": [float(n) for n in range(12)], "counted": [float(n) for n in range(12)],
            "lost": [0.0, 1.0, *[0.0] * 10], "too_many": [0.0] * 12,
        }
    )  # fmt: skip
    charts.usage_books(TOKENS.clear(), many, figure=figure)
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["k1", "k6", "k7", "k8", "k9", "k10", "k11", "5 others"]
    assert bars(figure.axes[0], "counted")[-1] == (0, 0 + 2 + 3 + 4 + 5)


def test_what_is_lost_of_one_key_is_not_made_good_by_what_another_has_too_many_of(figure):
    """Keys that are shown as one may differ both ways: each way has its bar."""
    many = pl.DataFrame(
        {
            "key": [f"k{n}" for n in range(12)], "source": "gateway", "stated_most": 100.0, "counted": 100.0,
            "lost": [5.0 * (n % 2) for n in range(12)], "too_many": [5.0 * (1 - n % 2) for n in range(12)],
        }
    )  # fmt: skip
    charts.usage_books(TOKENS.clear(), many, figure=figure)
    (ax,) = figure.axes
    assert bars(ax, "wrong")[-2:] == [(500, 515), (490, 500)]


def test_what_nobody_knows_to_have_been_counted_has_no_bar(figure):
    """Its place says so; what was stated is shown."""
    unknown = USAGE.with_columns(counted=pl.lit(None, dtype=pl.Float64), lost=0.0, too_many=0.0)
    charts.usage_books(TOKENS.clear(), unknown, figure=figure)
    (ax,) = figure.axes
    assert (len(bars(ax, "stated")), bars(ax, "counted")) == (3, [])
    assert [text.get_text().strip() for text in ax.texts] == ["not known"] * 3


def test_books_that_agree_by_model(figure):
    """Nothing is marked, and a book that was not kept has no axes."""
    fine = USAGE.rename({"key": "model"}).head(1)
    charts.usage_books(TOKENS.clear().rename({"key": "model"}), fine, figure=figure)
    assert [ax.get_xlabel() for ax in figure.axes] == ["US dollars"]
    assert (bars(figure.axes[0], "wrong"), labels(figure.axes[0])) == (
        [], ["stated by answers", "counted by the gateway"]
    )  # fmt: skip


def test_a_run_without_books_has_a_sentence(figure):
    """And no empty axes."""
    charts.usage_books(TOKENS.clear(), USAGE.clear(), figure=figure)
    assert notes(figure) == ["no answer states tokens or money\nthat a counter of the gateway could be held against"]
    assert [ax.axison for ax in figure.axes] == [False]


def test_a_frame_of_another_kind_is_refused(figure):
    """With what to pass."""
    with pytest.raises(SettingsError, match="direction"):
        charts.usage_books(USAGE, USAGE, figure=figure)
