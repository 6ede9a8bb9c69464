"""A built whitepaper and its claims, as a notebook shows them."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import polars as pl

from soaklib.whitepaper.build import claims_of
from soaklib.whitepaper.html import HTML_NAME
from soaklib.whitepaper.pdf import PDF_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from soaklib.analysis.sources.run import Run
    from soaklib.whitepaper.claims import Claim

__all__ = ["ShownPaper", "claims", "claims_frame"]

_FRAME_PX = 900


def claims_frame(told: Iterable[Claim]) -> pl.DataFrame:
    """Give claims as a frame for people.

    Returns
    -------
    polars.DataFrame
        ``claim`` (its name), ``value`` (as it is said), ``unit``, ``n``, ``low``, ``high``, ``query``.
    """
    return pl.DataFrame(
        [
            (claim.name, claim.text, claim.unit, claim.n, claim.low, claim.high, claim.query)
            for claim in told
        ],
        schema={
            "claim": pl.String(), "value": pl.String(), "unit": pl.String(), "n": pl.Int64(), "low": pl.Float64(),
            "high": pl.Float64(), "query": pl.String(),
        },
        orient="row",
    )  # fmt: skip


def claims(run: Run) -> pl.DataFrame:
    """Give the claims of a run's whitepaper, as recorded or as the run supports them now; see :func:`claims_frame`."""
    return claims_frame(claims_of(run))


class ShownPaper:
    """The whitepaper in a run's folder; a notebook shows it whole, in a frame of its own."""

    def __init__(self, folder: Path) -> None:
        self.files = tuple(path for name in (HTML_NAME, PDF_NAME) if (path := folder / name).is_file())

    def __repr__(self) -> str:
        return f"<whitepaper: {', '.join(path.name for path in self.files) or 'not built yet'}>"

    def _repr_html_(self) -> str:
        found = [path for path in self.files if path.name == HTML_NAME]
        if not found:
            return "<p>The whitepaper is not built yet: <code>python -m soaklib.report RUN</code> builds it.</p>"
        page = html.escape(found[0].read_text("utf-8"))
        return (
            f'<iframe title="whitepaper" srcdoc="{page}" width="100%" height="{_FRAME_PX}" style="border: 0"></iframe>'
        )
