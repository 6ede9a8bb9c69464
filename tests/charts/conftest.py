"""Frames as the library makes them, small enough to check by hand, and figures to draw them on.

``pytest tests/charts --figures FOLDER`` keeps every figure that a test draws, to be looked at.
"""

import sys
from itertools import combinations
from pathlib import Path

import polars as pl
import pytest
from matplotlib.text import Text

from soaklib import charts
from soaklib.charts.mark_labels import MarkLabels

sys.path.insert(0, str(Path(__file__).parent))  # for soak_day


def pytest_addoption(parser):
    parser.addoption("--figures", type=Path, default=None, help="keep every figure drawn in this folder")


@pytest.fixture(params=[charts.COLUMN_MM, charts.PAGE_MM], ids=["column", "page"])
def width_mm(request):
    """Each width that is printed."""
    return request.param


@pytest.fixture
def figure(keep):
    """A figure as wide as a page; it is kept when --figures asks for it."""
    made = charts.figure()
    yield made
    keep(made)


@pytest.fixture
def keep(request):
    """Give a function that writes a figure, named after the test, to the folder that --figures names, if it does."""
    folder = request.config.getoption("--figures", None)

    def write(made):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            made.savefig(folder / f"{request.node.name}.png")

    return write


@pytest.fixture
def ax(figure):
    """The one axes of a figure."""
    return figure.subplots()


@pytest.fixture
def marks():
    """The marks of the default plan."""
    hours = [
        (0.0, 8.0, "phase", "baseline"),
        (8.0, 12.0, "phase", "credentials rotated"),
        (12.0, 12.5, "phase", "chaos"),
        (12.5, 16.0, "phase", "after chaos"),
        (16.0, 24.0, "phase", "quota cut"),
        (8.0, None, "change", "credentials rotated: openai"),
        (12.0, None, "change", "chaos on: openai 500, 50 %"),
        (12.5, None, "change", "chaos off"),
        (16.0, None, "change", "quota cut: openai:chat"),
    ]
    rows = [(start * 3600, None if end is None else end * 3600, kind, label) for start, end, kind, label in hours]
    return pl.DataFrame(rows, schema=["start_s", "end_s", "kind", "label"], orient="row")


@pytest.fixture
def legible():
    """Give a check that every word of a figure is inside it and covers no other word."""

    def check(figure):
        figure.draw_without_rendering()
        renderer = figure._get_renderer()
        texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        for labels in figure.findobj(MarkLabels):
            texts += [text for text, _ in labels.artists(renderer)]
        hidden = _beyond_limits(figure)
        boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text not in hidden]
        width, height = figure.canvas.get_width_height()
        outside = [
            words for words, box in boxes if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
        ]
        covered = [(a, b) for (a, box_a), (b, box_b) in combinations(boxes, 2) if _overlap(box_a, box_b)]
        return outside, covered

    return check


def _beyond_limits(figure):
    """Give the tick labels beyond the limits of their axis, which exist and are not drawn."""
    hidden = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        beyond = [tick for tick in (*axis.majorTicks, *axis.minorTicks) if not low <= tick.get_loc() <= high]
        hidden |= {label for tick in beyond for label in (tick.label1, tick.label2)}
    return hidden


def _overlap(a, b):
    return a.x0 < b.x1 - 1 and b.x0 < a.x1 - 1 and a.y0 < b.y1 - 1 and b.y0 < a.y1 - 1
