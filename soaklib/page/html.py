"""Builds the page: one HTML file that holds its data, its program and its drawing library, and asks for nothing.

Everything that comes from a run is foreign text. It enters the file in two ways: as JSON in an element that no browser
runs, with the characters that could end that element written as escapes, and, in the title, escaped. The program puts
it on the page as text, never as markup. A content security policy lets only the scripts run whose hashes it names, and
lets the page reach nothing outside itself; a live page reaches the server that it came from.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from soaklib.errors import RecordingError, SettingsError
from soaklib.page.data import page_data
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from soaklib.analysis.sources.run import Run

__all__ = ["PAGE_NAME", "as_json", "html_page", "write_page"]

PAGE_NAME: Final = "report.html"
_ESCAPES: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def as_json(data: Any) -> str:
    """Give data as JSON that can stand inside a script element: no text in it can end that element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text.encode("utf-8", "backslashreplace").decode()


def html_page(pages: list[dict[str, Any]], *, live: bool = False, weeks: Mapping[str, Any] | None = None) -> str:
    """Give the page of a run, or of several on the same axes.

    Parameters
    ----------
    pages
        What :func:`soaklib.page.data.page_data` gives of each.
    live
        Whether the page asks its server for newer data.
    weeks
        Of more than two runs: ``table``, each measure's ``values`` by run and the runs with which it ``changed``, and
        ``said``, a sentence for each change; None for none.

    Raises
    ------
    SettingsError
        The drawing library is not installed.
    """
    programs = (*_library(), _own("page.js"))
    hashes = " ".join(f"'sha256-{_hash(program)}'" for program in programs)
    reach = "'self'" if live else "'none'"
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {reach}; base-uri 'none'; form-action 'none'"
    )
    names = ", ".join(page["run"]["id"] for page in pages)
    title = f"{pages[0]['verdict']['word'].upper()} · soak {names}" if len(pages) == 1 else f"soaks {names}"
    content = {"pages": pages, "live": live, "weeks": weeks}
    parts = {
        "policy": policy,
        "title": html.escape(title),
        "style": _own("page.css"),
        "data": as_json(content),
        "programs": "".join(f"<script>{program}</script>\n" for program in programs),
    }
    # in one go: what one part holds is never taken for the place of another
    return re.sub(r"\{(policy|title|style|data|programs)\}", lambda place: parts[place[1]], _own("page.html"))


def write_page(run: Run) -> Path:
    """Write the page of a run into its folder; give its path.

    Raises
    ------
    RecordingError
        It cannot be written.
    SettingsError
        The drawing library is not installed.
    """
    path = run.folder / PAGE_NAME
    text = html_page([page_data(run)])
    try:
        with whole_file(path) as part:
            part.write_text(text, "utf-8")
    except OSError as exc:
        msg = f"cannot write {path}: {exc.strerror or exc}"
        raise RecordingError(msg) from exc
    return path


@cache
def _library() -> tuple[str, ...]:
    try:
        folder = files("bokeh") / "server" / "static" / "js"
    except ModuleNotFoundError as exc:
        msg = f"{PAGE_NAME} needs bokeh, which is not installed: pip install 'soaklib[page]'"
        raise SettingsError(msg) from exc
    # the comment at the end names a map of the source, which a browser's tools would ask for
    return tuple(
        (folder / name).read_text("utf-8").split("\n//# sourceMappingURL")[0]
        for name in ("bokeh.min.js", "bokeh-api.min.js")
    )


@cache
def _own(name: str) -> str:
    return (files("soaklib.page") / name).read_text("utf-8")


def _hash(program: str) -> str:
    return base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
