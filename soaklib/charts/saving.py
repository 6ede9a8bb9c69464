"""Writes a figure as PNG, SVG and PDF, with a sidecar that says where it came from.

The sidecar is JSON: the run, the version of soaklib, for each frame the call or SQL that made it, its number of rows
and the SHA-256 of its content, the caption, the size on paper, the versions of what drew it, and the SHA-256 of each
file.
Nothing in it or in the files says when they were written, so the same data gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from fontTools.subset import Subsetter
from matplotlib import rc_context

from soaklib.charts.theme import MM_PER_INCH, PNG_METADATA, ChartFigure, theme
from soaklib.errors import RunError, SettingsError
from soaklib.records import FIGURES_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import polars as pl
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "SavedFigure", "frame_digest", "save"]

_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SHAPING: Final = ("GDEF", "GPOS", "GSUB")
_DREW: Final = ("matplotlib", "polars", "numpy", "duckdb")

FORMATS: Final[Mapping[str, Mapping[str, None]]] = {
    "png": PNG_METADATA,
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
"""Each file format, and the metadata that is kept out of it because it is not about the data."""


class _Info(Protocol):
    @property
    def run_id(self) -> str: ...


class _Run(Protocol):
    """What of a run is needed here; charts do not know the analysis."""

    @property
    def folder(self) -> Path: ...
    @property
    def info(self) -> _Info: ...


class SavedFigure(NamedTuple):
    """What :func:`save` wrote.

    Attributes
    ----------
    files
        PNG, SVG and PDF.
    sidecar
        The JSON beside them.
    """

    files: tuple[Path, ...]
    sidecar: Path

    def __repr__(self) -> str:
        kinds = ", ".join(path.suffix[1:] for path in (*self.files, self.sidecar))
        return f"<saved {self.sidecar.stem} as {kinds} in {self.sidecar.parent}>"


def save(
    figure: Figure, run: _Run, name: str, *, sources: Mapping[str, pl.DataFrame], caption: str = ""
) -> SavedFigure:
    """Write a figure and its sidecar to ``figures/`` in the run's folder.

    Parameters
    ----------
    figure
        The figure.
    run
        As :func:`soaklib.open_run` gives it.
    name
        Name of the files: lower-case words with hyphens, such as ``success-rate``.
    sources
        For each frame that was drawn, what made it: the call (``"soaklib.success_rate(run, every='5m')"``) or the SQL.
    caption
        One sentence that goes with the figure, with its n and interval.

    Raises
    ------
    SettingsError
        The name is no such name, or there is no source.
    RunError
        The files cannot be written.
    """
    if not _NAME.fullmatch(name):
        msg = f"{name!r} cannot name a figure; pass lower-case words with hyphens, such as 'success-rate'"
        raise SettingsError(msg)
    if not sources:
        msg = "a figure without sources cannot be traced; pass sources={'soaklib.success_rate(run)': frame}"
        raise SettingsError(msg)
    folder = run.folder / FIGURES_FOLDER
    try:
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{name}.{extension}" for extension in FORMATS]
        sidecar = folder / f"{name}.json"
        parts = {path: path.with_name(f".{path.name}") for path in (*paths, sidecar)}
        with theme(), _fonts_without_shaping():
            for path, metadata in zip(paths, FORMATS.values(), strict=True):
                if path.suffix == ".png" and isinstance(figure, ChartFigure):
                    parts[path].write_bytes(figure.png())  # a notebook has mostly shown it by now
                else:
                    figure.savefig(parts[path], format=path.suffix[1:], metadata=dict(metadata))
                # what is laid out stays so in every format; "none" would keep an engine that costs a second drawing
                with rc_context({"figure.constrained_layout.use": False}):
                    figure.set_layout_engine(None)
        provenance = {
            "name": name,
            "caption": caption,
            "run_id": run.info.run_id,
            "soaklib_version": version("soaklib"),
            "frames": [
                {"query": query, "rows": frame.height, "columns": frame.columns, "sha256": frame_digest(frame)}
                for query, frame in sources.items()
            ],
            "size_mm": [round(inches * MM_PER_INCH, 1) for inches in figure.get_size_inches()],
            "drawn_with": {"python": platform.python_version()} | {name: version(name) for name in _DREW},
            "files": {path.name: hashlib.sha256(parts[path].read_bytes()).hexdigest() for path in paths},
        }
        parts[sidecar].write_text(json.dumps(provenance, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        for path, part in parts.items():  # an earlier figure stays until all of its successor is there
            part.replace(path)
    except OSError as exc:
        msg = f"the figure {name} cannot be written to {folder}: {exc.strerror or exc}"
        raise RunError(msg) from exc
    return SavedFigure(tuple(paths), sidecar)


@contextmanager
def _fonts_without_shaping() -> Iterator[None]:
    """Have fonts embedded without the tables that shape text.

    A PDF places each glyph by its number, so nobody who opens it reads them; to make them smaller takes half the time
    of a PDF, and leaves them larger than the glyphs. Matplotlib has no setting for what is left out.
    """

    def subset_of_the_rest(subsetter: Subsetter, font: Any) -> None:  # Any: fontTools says no types of a font's tables
        for table in _SHAPING:
            if table in font:
                del font[table]
        subset(subsetter, font)

    subset = Subsetter.subset
    Subsetter.subset = subset_of_the_rest
    try:
        yield
    finally:
        Subsetter.subset = subset


def frame_digest(frame: pl.DataFrame) -> str:
    """Give the SHA-256 of a frame's content: names, types and values, row by row."""
    digest = hashlib.sha256(repr(frame.schema).encode())
    for row in frame.iter_rows():
        digest.update(repr(row).encode())
    return digest.hexdigest()
