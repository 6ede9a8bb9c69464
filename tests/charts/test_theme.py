"""The theme, and figures of a size on paper."""

import io

import matplotlib as mpl
import pytest

from soaklib import charts
from soaklib.errors import SettingsError


def test_a_figure_is_as_wide_as_it_is_printed():
    """Millimetres on paper become the figure's inches."""
    assert charts.figure(85.0, 50.8).get_size_inches() == pytest.approx((85 / 25.4, 2.0))


@pytest.mark.parametrize("size", [(0.0, 50.0), (85.0, -1.0)])
def test_a_figure_without_area_is_refused(size):
    """A size that is not positive is refused."""
    with pytest.raises(SettingsError, match="pass positive sizes"):
        charts.figure(*size)


def test_axes_bear_the_theme_whatever_the_user_has_set():
    """A user's own settings neither change the look nor are changed."""
    with mpl.rc_context({"axes.spines.top": True, "font.size": 20.0, "axes.linewidth": 4.0}):
        ax = charts.figure().subplots()
        ax.set_title("")
        assert mpl.rcParams["font.size"] == 20.0
    assert not ax.spines["top"].get_visible()
    assert ax.spines["left"].get_linewidth() == 0.6


def test_a_dollar_in_a_name_is_a_dollar():
    """A phase of a plan, or a model of a gateway, may be called anything: it is no formula, nor a broken one."""
    figure = charts.figure()
    ax = figure.subplots()
    for name in ("limit $5, then $9", r"$\cut$"):
        ax.set_title(name)
        ax.set_ylabel(name)
        figure.png()
    assert not ax.title.get_parse_math()


def test_a_figure_shows_itself_in_a_notebook():
    """A notebook cell gets a PNG, with the size at which to show it."""
    data, metadata = charts.figure(85.0, 50.8)._repr_mimebundle_()
    assert data["image/png"].startswith("iVBOR")
    assert metadata == {"image/png": {"width": 402, "height": 240}}


def _with_a_legend():
    figure = charts.figure()
    upper, lower = figure.subplots(2, sharex=True)
    upper.plot([0, 1], [9_000, 12_000], label="a name")
    upper.set_ylabel("what is counted")
    upper.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    lower.set_title("a title of two\nlines")
    return figure


def test_a_picture_is_drawn_once(monkeypatch):
    """To lay a figure out takes no drawing of its own, and every change of it is laid out anew."""
    figure = _with_a_legend()
    drawn = []
    draw = type(figure).draw
    monkeypatch.setattr(type(figure), "draw", lambda self, renderer: drawn.append(renderer) or draw(self, renderer))
    figure.png()
    assert len(drawn) == 1
    figure.axes[0].set_ylabel("what is counted\nin two lines")
    before = figure.axes[0].get_position().x0
    figure.png()
    assert len(drawn) == 2
    assert figure.axes[0].get_position().x0 > before


def test_a_picture_is_the_one_that_matplotlib_lays_out():
    """Laid out apart from its drawing, a figure has the bytes of matplotlib's own saving, and keeps its fineness."""
    by_matplotlib = io.BytesIO()
    _with_a_legend().savefig(by_matplotlib, format="png", metadata={"Software": None})
    figure = _with_a_legend()
    fineness = figure.dpi
    assert figure.png() == by_matplotlib.getvalue()
    assert figure.dpi == fineness
