"""The one theme: a figure that is as wide as it is printed, and looks the same whoever draws it.

The look itself is data, in ``soaklib.mplstyle``. It is laid over matplotlib's own defaults, not over the user's
settings, so that the same frame gives the same picture on every machine. Nothing here goes through pyplot: a figure
belongs to whoever holds it and to no global list.
"""

from __future__ import annotations

import base64
import io
from contextlib import contextmanager
from functools import wraps
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from matplotlib.axes import Axes

__all__ = ["COLUMN_MM", "PAGE_MM", "ChartFigure", "figure", "theme", "themed"]

COLUMN_MM: Final = 85.0
"""Width of one column of print."""
PAGE_MM: Final = 180.0
"""Width of a page of print."""
MM_PER_INCH: Final = 25.4
PNG_METADATA: Final[Mapping[str, None]] = {"Software": None}
"""What is kept out of a PNG because it is not about the data."""
_CSS_DPI: Final = 96
_PRINT_TO_SCREEN: Final = 1.25  # 7 pt of print is small on a screen

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _load() -> Mapping[str, Any]:
    with as_file(files("soaklib.charts") / "soaklib.mplstyle") as path:
        settings = mpl.rc_params_from_file(path, use_default_template=True)
    fonts = _own_fonts()
    # What steers the program rather than the picture stays the user's.
    kept = {"backend", "backend_fallback", "interactive", "toolbar", "webagg.port", "savefig.directory"}
    return {name: value for name, value in settings.items() if name not in kept} | {
        "font.family": [*fonts, *settings["font.family"]]
    }


def _own_fonts() -> list[str]:
    """Make the sans that journals ask for known to matplotlib; give its name, nothing where it is not installed."""
    try:
        import font_roboto  # noqa: PLC0415 - a package of nothing but font files
    except ModuleNotFoundError:
        return []
    folder = Path(font_roboto.__file__).parent / "files"
    for style in ("Regular", "Bold", "Italic"):
        fontManager.addfont(folder / f"Roboto-{style}.ttf")
    return ["Roboto"]


_SETTINGS: Final = _load()


@contextmanager
def theme() -> Iterator[None]:
    """Put the theme in force while something is drawn or saved."""
    with mpl.rc_context(dict(_SETTINGS)):  # type: ignore[arg-type]  # every name is one of matplotlib's, read by itself
        yield


def themed(draw: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a function draw under the theme."""

    @wraps(draw)
    def under_theme(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with theme():
            return draw(*args, **kwargs)

    return under_theme


class ChartFigure(Figure):
    """A matplotlib figure whose axes are made, and which is saved and shown, under the theme."""

    _png: bytes | None = None

    @themed
    def add_subplot(self, *args: Any, **kwargs: Any) -> Axes:
        """Add an axes under the theme; otherwise as matplotlib's."""
        ax: Axes = super().add_subplot(*args, **kwargs)
        return ax

    @themed
    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Save under the theme; otherwise as matplotlib's."""
        super().savefig(*args, **kwargs)

    def png(self) -> bytes:
        """Give the figure as PNG, which is what a notebook shows and what is saved: it is drawn anew if it changed."""
        if self._png is None or self.stale:
            buffer = io.BytesIO()
            with self._laid_out():
                self.savefig(buffer, format="png", metadata=dict(PNG_METADATA))
            self._png, self.stale = buffer.getvalue(), False  # what changes from here on says so
        return self._png

    @contextmanager
    def _laid_out(self) -> Iterator[None]:
        """Have the figure laid out as it is saved, so that matplotlib does not draw it once more to lay it out."""
        engine = self.get_layout_engine()
        if engine is None or not self.axes:
            yield
            return
        with theme():
            shown_dpi, self.dpi = self.dpi, mpl.rcParams["savefig.dpi"]
            try:
                engine.execute(self)
            finally:
                self.dpi = shown_dpi
        with mpl.rc_context({"figure.constrained_layout.use": False, "figure.autolayout": False}):
            self.set_layout_engine(None)  # "none" would keep an engine that costs the second drawing
        try:
            yield
        finally:
            self.set_layout_engine(engine)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
        """Show the figure in a notebook cell, sharp on fine screens."""
        shown = {
            "width": round(self.get_figwidth() * _CSS_DPI * _PRINT_TO_SCREEN),
            "height": round(self.get_figheight() * _CSS_DPI * _PRINT_TO_SCREEN),
        }
        return {"image/png": base64.b64encode(self.png()).decode()}, {"image/png": shown}


@themed
def figure(width_mm: float = PAGE_MM, height_mm: float = 62.0) -> ChartFigure:
    """Make an empty figure of a size on paper.

    Parameters
    ----------
    width_mm, height_mm
        Size in millimetres; :data:`COLUMN_MM` and :data:`PAGE_MM` are the widths of one column and of a page.

    Raises
    ------
    SettingsError
        The size is not positive.
    """
    if width_mm <= 0 or height_mm <= 0:
        msg = f"a figure of {width_mm:g} x {height_mm:g} mm cannot be drawn; pass positive sizes"
        raise SettingsError(msg)
    return ChartFigure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), layout="constrained")
