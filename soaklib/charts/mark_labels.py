"""What happened when, above an axes: one strip of numbers, and above it a key that says what each number is.

A number stands at its time, moved aside where two would meet; the names of phases stand between. How the key wraps
depends on how wide the axes is in the end, so it is worked out anew whenever the figure is laid out or drawn.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox, IdentityTransform

from soaklib.charts.looks import BLACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase


__all__ = ["BandName", "MarkLabels", "Moment"]

_FONT_POINTS: Final = 6.0
_ROW_POINTS: Final = 7.6
_AIR_POINTS: Final = 2.0
_KEY_GAP_POINTS: Final = 9.0
_BESIDE_BAND_POINTS: Final = 14.0  # half a number on each side, and what the layout may still take
_BAND_COLOUR: Final = "#606060"


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


class _Numbered(NamedTuple):
    """A number of the strip, and the soak hour of its moment."""

    number: str
    at_h: float


class _Entry(NamedTuple):
    """An entry of the key: its text, how far right of where the key begins, and its row, 0 for the uppermost."""

    text: str
    indent: float
    row: int


class _Arrangement(NamedTuple):
    """What is told and in which rows, for a renderer of `pixel` pixels a point.

    Where it stands is worked out when it is drawn: the layout may still move the axes after it asked for room.
    """

    pixel: float
    named: tuple[BandName, ...]
    numbers: tuple[_Numbered, ...]
    key: tuple[_Entry, ...]
    is_wide: bool


class MarkLabels(Artist):
    """The labels above one axes.

    Parameters
    ----------
    ax
        Its x data are soak hours.
    moments
        Numbered in the strip in the order of time, those that are told alike by one number, and told in the key.
    bands
        Named in the strip, centred over their stretch or the widest part of it that no moment divides, where there is
        room for the name.
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
        _, named, numbers, key, is_wide = self._arrangement
        top = float(self._ax.bbox.y1)
        strip_y = top + _AIR_POINTS * pixel
        for band in named:
            yield self._text(band.text, sum(self._room(band)) / 2, strip_y, "center", colour=_BAND_COLOUR), None
        for (number, at_h), x in zip(numbers, self._spread(numbers, renderer, pixel), strict=True):
            moment_x = self._x(at_h)
            stem = Line2D([moment_x, moment_x], [top, strip_y - pixel / 2], color=BLACK, linewidth=0.6)
            self._prepare(stem)
            shown = self._text(number, x, strip_y, "center", colour=BLACK)
            shown.set_fontweight("bold")
            yield shown, stem
        rows = 1 + max((entry.row for entry in key), default=-1)
        start = _AIR_POINTS * pixel if is_wide else float(self._ax.bbox.x0)
        for text, indent, row in key:
            y = strip_y + (rows - row) * _ROW_POINTS * pixel
            yield self._text(text, start + indent, y, "left", colour=BLACK), None

    def _arrange(self, renderer: RendererBase) -> _Arrangement:
        """Choose what is told and how the key wraps, for the axes as wide as it is now."""
        pixel = _pixels_a_point(renderer)
        named = tuple(band for band in self.bands if self._fits(band, renderer, pixel))
        squeezed = [Moment(band.low, band.text) for band in self.bands if band not in named and band.needed]
        moments = sorted(moment for moment in (*self.moments, *squeezed) if self._sees(moment.x))
        texts = list(dict.fromkeys(moment.text for moment in moments))
        numbers = tuple(_Numbered(str(1 + texts.index(moment.text)), moment.x) for moment in moments)
        told = [f"{number} {text}" for number, text in enumerate(texts, 1)]
        widths = [self._width(text, renderer) for text in told]
        is_wide = max(widths, default=0.0) > self._ax.bbox.width
        room = float(self._ax.bbox.x1 if is_wide else self._ax.bbox.width)
        key = tuple(_rows(told, widths, room, _KEY_GAP_POINTS * pixel))
        return _Arrangement(pixel, named, numbers, key, is_wide)

    def _spread(self, numbers: Sequence[_Numbered], renderer: RendererBase, pixel: float) -> list[float]:
        """Give where the numbers stand: at their moments as far as they are clear of one another, and in order."""
        widths = [self._width(number.number, renderer) + 2 * pixel for number in numbers]
        places: list[float] = []
        for number, width in zip(numbers, widths, strict=True):
            least = places[-1] + (width + widths[len(places) - 1]) / 2 if places else -float("inf")
            places.append(max(self._x(number.at_h), least))
        most = float(self._ax.bbox.x1) + pixel
        for place in range(len(places) - 1, -1, -1):  # what was pushed out on the right comes back
            places[place] = min(places[place], most)
            most = places[place] - (widths[place] + widths[place - 1]) / 2
        return places

    def _sees(self, x: float) -> bool:
        low, high = self._ax.get_xlim()
        return low <= x <= high

    def _fits(self, band: BandName, renderer: RendererBase, pixel: float) -> bool:
        left, right = self._room(band)
        fits = self._width(band.text, renderer) <= right - left - _BESIDE_BAND_POINTS * pixel
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


def _rows(told: Sequence[str], widths: Sequence[float], room: float, gap: float) -> Iterator[_Entry]:
    """Lay entries out in rows that are no wider than the room."""
    indent, row = 0.0, 0
    for text, width in zip(told, widths, strict=True):
        if indent and indent + width > room:
            indent, row = 0.0, row + 1
        yield _Entry(text, indent, row)
        indent += width + gap
