"""Charts of a run by name."""

from pathlib import Path

import polars as pl
import pytest

import soaklib
from soaklib import charts
from soaklib.errors import SettingsError
from soaklib.reports.plots import Plots

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
NAMES = sorted(name for name in vars(Plots) if not name.startswith("_"))


@pytest.fixture(scope="module")
def run():
    with soaklib.open_run(SAMPLE) as run:
        yield run


@pytest.fixture(scope="module")
def stretch(run):
    """An hour of the run, opened once."""
    return run.between("H+11:40", "H+12:40")


@pytest.mark.parametrize("name", NAMES)
def test_a_chart_is_drawn_of_a_run_and_of_a_stretch(run, stretch, name):
    """Each on a figure of its own, a stretch on an axis of its length."""
    assert getattr(run.plot, name)().axes
    figure = getattr(stretch.plot, name)()
    timed = [ax for ax in figure.axes if ax.get_xlabel() == "soak time (hours)"]
    for ax in timed:
        assert ax.get_xlim() == pytest.approx((11 + 40 / 60, 12 + 40 / 60), abs=1e-6)
    states_nothing = {"gateway_stated", "usage_books"}  # the run: a sentence takes the place of both
    assert timed or name in {"percentile_plot", "rotation_impact"} | states_nothing


def test_it_is_the_chart_of_the_frame(run):
    """The line is that of the public function's frame; settings go through to the chart."""
    figure = run.plot.success_rate(every="1h", label="mine", colour="#123456", xlim=("H+10", "H+14"))
    [line] = [line for line in figure.axes[0].lines if line.get_label() == "success rate"]
    assert line.get_ydata()[:-1].tolist() == soaklib.success_rate(run, "1h")["success_rate"].to_list()
    assert (line.get_color(), figure.axes[0].get_xlim()) == ("#123456", (10.0, 14.0))


def test_two_runs_are_laid_over_one_another(run):
    """The second is drawn on the axes of the first, without its marks once more."""
    ax = charts.figure().subplots()
    run.plot.success_rate(every="1h", ax=ax, label="one")
    stretches = len([line for line in ax.lines if line.get_gid() == "change"])
    run.plot.success_rate(every="1h", ax=ax, label="two", colour="#000000")
    assert len([line for line in ax.lines if line.get_gid() == "change"]) == stretches
    assert len([line for line in ax.lines if line.get_label() == "success rate"]) == 2


def test_stretches_are_laid_over_one_another(stretch):
    """The axis goes on showing the stretch, on axes and on a figure alike, and bears its marks once."""
    for name, key in {"success_rate": "ax", "drift": "ax", "latency_percentiles": "figure"}.items():
        draw = getattr(stretch.plot, name)
        figure = draw(label="one", colour="#123456")
        changes = [sum(line.get_gid() == "change" for line in ax.lines) for ax in figure.axes]
        draw(label="two", colour="#654321", **{key: figure.axes[0] if key == "ax" else figure})
        assert [sum(line.get_gid() == "change" for line in ax.lines) for ax in figure.axes] == changes
        for ax in figure.axes:
            assert ax.get_xlim() == pytest.approx((11 + 40 / 60, 12 + 40 / 60), abs=1e-6)


def test_the_drift_of_two_runs_tells_whose_slope_is_whose(run):
    """Each slope has the colour and name of its series, the axis the name of what is measured, with room for both."""
    figure = run.plot.drift(label="one", colour="#123456")
    low = run.metric("process_resident_memory_bytes").with_columns(value=pl.lit(1e6))
    [ax] = figure.axes
    charts.drift(low, soaklib.drift(soaklib.in_soak_time(low)), ax=ax, label="two", unit="B", colour="#654321")
    assert [line.get_color() for line in ax.lines if line.get_label() == "trend"] == ["#123456", "#654321"]
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [text.split(", ")[0] for text in told if "soak-hour" in text] == ["one", "two"]
    assert ax.get_ylim()[0] < 1e6
    assert run.plot.drift(label="one").axes[0].get_ylabel() == "process_resident_memory_bytes"


def test_the_books_of_a_stretch_are_those_of_the_run(run):
    """What was counted before the first scrape of a stretch is no discrepancy."""
    books = soaklib.reconcile(run.between("H+11:50", "H+12:40"))
    assert books.height > 0
    assert books["discrepancy"].abs().sum() == 0
    with pytest.raises(SettingsError, match="pass the run itself"):
        soaklib.criteria(run.between("H+1", "H+2"))
