"""The balance of the client's books and the gateway's."""

import polars as pl
import pytest

from soaklib import charts

_BOOKS = pl.DataFrame(
    [
        (0.0, 60.0, "ok", 100, 0.0, 0.0, 0.0),
        (60.0, 120.0, "ok", 100, 0.0, 0.0, 0.0),
        (120.0, 180.0, "ok", 100, 1.0, 1.0, 0.0),
        (180.0, 240.0, "ok", 100, None, None, None),
        (240.0, 300.0, "ok", 60, 0.0, 0.0, 0.0),
        (240.0, 300.0, "ok", 40, -3.0, 0.0, -3.0),
        (0.0, 60.0, "denied", 5, 0.0, 0.0, 0.0),
    ],
    schema=["start_s", "end_s", "outcome", "client_rows", "residual", "explained", "discrepancy"],
    orient="row",
)


def _bars(ax, row):
    return [
        (round(bar.get_x() * 3600), round((bar.get_x() + bar.get_width()) * 3600), bar.get_gid())
        for bar in ax.patches
        if bar.get_gid() and round(bar.get_y() + bar.get_height() / 2) == row
    ]


def test_each_window_shows_the_worst_of_its_rows(ax):
    """Balanced neighbours are one bar; explained, unknown and unexplained differences are told apart."""
    charts.reconciliation_residuals(_BOOKS, ax=ax)
    assert _bars(ax, 0) == [(0, 60, "balanced")]
    assert _bars(ax, 1) == [
        (0, 120, "balanced"), (120, 180, "explained"), (180, 240, "not known"), (240, 300, "discrepancy"),
    ]  # fmt: skip


def test_the_legend_has_the_sums(ax):
    """Rows are named without counts, which are no differences; the legend says how many calls differ."""
    charts.reconciliation_residuals(_BOOKS, ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["denied", "ok"]
    assert [text.get_text() for text in ax.get_legend().texts] == [
        "balanced", "counter not known", "explained: 1 calls", "discrepancy: 3 calls",
    ]  # fmt: skip


def test_the_legend_names_the_causes(ax):
    """Under explained and unexplained calls stand their causes, that of most calls first."""
    causes = ["balanced", "balanced", "scrape gap", None, "balanced", "lost", "balanced"]
    charts.reconciliation_residuals(_BOOKS.with_columns(cause=pl.Series(causes)), ax=ax)
    assert [text.get_text() for text in ax.get_legend().texts] == [
        "balanced", "counter not known", "explained: 1 calls\nscrape gap: 1", "discrepancy: 3 calls\nlost: 3",
    ]  # fmt: skip


def test_a_difference_is_as_high_as_it_is_large(ax):
    """What the gateway counted more goes up, what it counted less goes down, the largest difference the furthest."""
    charts.reconciliation_residuals(_BOOKS, ax=ax)
    [more] = [bar for bar in ax.patches if bar.get_gid() == "explained"]
    [less] = [bar for bar in ax.patches if bar.get_gid() == "discrepancy"]
    assert (more.get_y(), less.get_y()) == (1.0, 1.0)
    assert less.get_height() == pytest.approx(0.45)  # the axis runs down
    assert more.get_height() == pytest.approx(-0.15)
    assert ax.yaxis_inverted()
    assert ax.get_ylabel() == "gateway counted more or less,\nby 3 at most"


def test_differences_of_opposite_signs_do_not_cancel(ax):
    """A hundred answers of one tool that are booked under another: a bar each way, and how large they are."""
    swapped = _BOOKS.head(2).with_columns(
        start_s=0.0, end_s=60.0, residual=pl.Series([100.0, -100.0]), discrepancy=pl.Series([100.0, -100.0])
    )
    charts.reconciliation_residuals(swapped, ax=ax)
    heights = sorted(bar.get_height() for bar in ax.patches if bar.get_gid() == "discrepancy")
    assert heights == pytest.approx([-0.45, 0.45])
    assert ax.get_ylabel() == "gateway counted more or less,\nby 100 at most"


def test_nothing_to_compare_is_told(ax):
    """Without a comparison there is a sentence."""
    charts.reconciliation_residuals(_BOOKS.clear(), ax=ax)
    assert [text.get_text() for text in ax.texts] == ["there is nothing to compare"]


def test_each_pair_of_sources_has_lines_of_its_own(ax):
    """With a request log beside the counters, what each says of an outcome is told apart."""
    log = _BOOKS.filter(outcome="ok").with_columns(residual=0.0, explained=0.0, discrepancy=0.0)
    both = pl.concat(
        [
            _BOOKS.with_columns(pair=pl.lit("client and counter")),
            log.with_columns(pair=pl.lit("client and database")),
        ]
    )
    charts.reconciliation_residuals(both, ax=ax)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "denied by counter", "ok by counter", "ok by database",
    ]  # fmt: skip
    assert _bars(ax, 1)[-1] == (240, 300, "discrepancy")
    assert _bars(ax, 2) == [(0, 300, "balanced")]
