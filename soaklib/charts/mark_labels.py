"""Labels above an axes that say what happened when, placed so that none covers another or the data.

A label stands beside a thin stem that goes up from the axes at its time. Which row it stands in depends on how wide the
axes is in the end, so it is worked out anew whenever the figure is laid out or drawn.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox, IdentityTransform

from soaklib.charts.label_places import place
from soaklib.charts.looks import BLACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase

    from soaklib.charts.label_places import Placed

__all__ = ["BandName", "MarkLabels", "Moment"]

_FONT_POINTS: Final = 6.0
_ROW_POINTS: Final = 7.6
_AIR_POINTS: Final = 2.0


class Moment(NamedTuple):
    """Something that happened at `x` (soak hours)."""

    x: float
    text: str


class BandName(NamedTuple):
    """The name of a stretch from `low` to `high` (soak hours).

    `needed` says whether it has to be told even where its band is too narrow for it: not when a moment at its start
    says the same.
    """

    low: float
    high: float
    text: str
    needed: bool


class _Arrangement(NamedTuple):
    """What is told and where, with places in display coordinates of `pixel` pixels a point."""

    pixel: float
    named: tuple[BandName, ...]
    moments: tuple[Moment, ...]
    spots: tuple[Placed | None, ...]


class MarkLabels(Artist):
    """The labels above one axes.

    Parameters
    ----------
    ax
        Its x data are soak hours.
    moments
        Labelled above the axes, each with a stem.
    bands
        Named in the lowest row, centred over their stretch or the widest part of it that no stem crosses, where there
        is room for the name.
    """

    def __init__(self, ax: Axes, moments: Sequence[Moment], bands: Sequence[BandName]) -> None:
        super().__init__()
        self.moments, self.bands = tuple(moments), tuple(bands)
        self._ax = ax
        self._arrangement: _Arrangement | None = None
        self.set_clip_on(False)
        self.set_zorder(5)
        ax.add_artist(self)

    def get_tightbbox(self, renderer: RendererBase | None = None) -> Bbox | None:
        """Give the room the labels take, for the layout to leave it."""
        if renderer is None:
            renderer = self._ax.get_figure(root=True)._get_renderer()  # type: ignore[union-attr]  # noqa: SLF001 - as matplotlib's own artists do
        self._arrangement = self._arrange(renderer)
        boxes = [text.get_window_extent(renderer) for text, _ in self.artists(renderer)]
        if not boxes:
            return None
        # Only height is asked for: asking for width too would make the axes narrower, and the labels need more width.
        room, axes = Bbox.union(boxes), self._ax.bbox
        return Bbox.from_extents(axes.x0, room.y0, axes.x1, room.y1)

    def get_window_extent(self, renderer: RendererBase | None = None) -> Bbox:
        """Give the same as :meth:`get_tightbbox`, empty when there is nothing to say."""
        return self.get_tightbbox(renderer) or Bbox.null()

    def draw(self, renderer: RendererBase) -> None:
        """Draw stems and texts."""
        for text, stem in self.artists(renderer):
            if stem is not None:
                stem.draw(renderer)
            text.draw(renderer)

    def artists(self, renderer: RendererBase) -> Iterator[tuple[Text, Line2D | None]]:
        """Give texts and stems in display coordinates, for the axes where it is now."""
        pixel = _pixels_a_point(renderer)
        # The layout may still move by a pixel after it asked for room; the rows it made room for have to stay.
        if self._arrangement is None or self._arrangement.pixel != pixel:
            self._arrangement = self._arrange(renderer)
        box, named, moments, spots = self._ax.bbox, *self._arrangement[1:]
        first_row_y = float(box.y1) + _AIR_POINTS * pixel
        for band in named:
            yield self._text(band.text, sum(self._room(band)) / 2, first_row_y, "center", colour="#606060"), None
        base = first_row_y + (_ROW_POINTS * pixel if named else 0.0)
        for moment, spot in zip(moments, spots, strict=True):
            if spot is None:
                continue
            x = self._x(moment.x)
            y = base + spot.row * _ROW_POINTS * pixel
            over = spot.left <= spot.x <= spot.right
            top = y - _AIR_POINTS * pixel / 2 if over else y + _FONT_POINTS * pixel
            stem = Line2D([x, x], [box.y1, top], color=BLACK, linewidth=0.6)
            self._prepare(stem)
            yield self._text(moment.text, x + spot.left - spot.x, y, "left", colour=BLACK), stem

    def _arrange(self, renderer: RendererBase) -> _Arrangement:
        """Choose what is told and in which rows, for the axes as wide as it is now."""
        pixel = _pixels_a_point(renderer)
        box = self._ax.bbox
        named = tuple(band for band in self.bands if self._fits(band, renderer, pixel))
        squeezed = [Moment(band.low, band.text) for band in self.bands if band not in named and band.needed]
        moments = tuple(moment for moment in (*self.moments, *squeezed) if self._sees(moment.x))
        stems = tuple(self._x(moment.x) for moment in moments)
        widths = tuple(self._width(moment.text, renderer) for moment in moments)
        air = _AIR_POINTS * pixel
        spots = place(stems, widths, low=box.x0, high=box.x1, air=air)
        if None in spots:  # the room above what is written beside the axes is empty
            spots = place(stems, widths, low=air, high=box.x1, air=air)
        return _Arrangement(pixel, named, moments, spots)

    def _sees(self, x: float) -> bool:
        low, high = self._ax.get_xlim()
        return low <= x <= high

    def _fits(self, band: BandName, renderer: RendererBase, pixel: float) -> bool:
        left, right = self._room(band)
        fits = self._width(band.text, renderer) <= right - left - _AIR_POINTS * pixel
        return self._sees((band.low + band.high) / 2) and fits

    def _room(self, band: BandName) -> tuple[float, float]:
        """Give the widest part of a band that no moment's stem crosses, in display coordinates."""
        inside = (moment.x for moment in self.moments if band.low < moment.x < band.high)
        edges = [self._x(x) for x in sorted((band.low, *inside, band.high))]
        return max(pairwise(edges), key=lambda pair: pair[1] - pair[0])

    def _x(self, x: float) -> float:
        """Give where a soak hour is, in display coordinates, kept inside the axes."""
        low, high = self._ax.get_xlim()
        box = self._ax.bbox
        return float(box.x0 + (min(max(x, low), high) - low) / (high - low) * box.width)

    def _width(self, text: str, renderer: RendererBase) -> float:
        return float(self._text(text, 0.0, 0.0, "left", colour=BLACK).get_window_extent(renderer).width)

    def _text(self, words: str, x: float, y: float, side: Literal["left", "center"], *, colour: str) -> Text:
        text = Text(
            x, y, words, color=colour, fontsize=_FONT_POINTS, horizontalalignment=side, verticalalignment="baseline"
        )
        self._prepare(text)
        return text

    def _prepare(self, artist: Artist) -> None:
        figure = self._ax.get_figure(root=False)
        if figure is not None:
            artist.set_figure(figure)
        artist.set_transform(IdentityTransform())


def _pixels_a_point(renderer: RendererBase) -> float:
    return cast("float", renderer.points_to_pixels(1.0))
