"""Where a run stands: how it was judged as a whole, and how it compares with the last good run of its kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from soaklib.analysis.verdicts.sentence import verdict_headline, verdict_word
from soaklib.errors import RunError

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["against_earlier", "verdict"]

COMPARISON_NAME: Final = "comparison.json"
"""What a weekly soak leaves of its comparison with the last good run."""

_SCHEMA: Final = pl.Schema(
    {
        "against": pl.String(), "detail": pl.String(), "endpoints": pl.Int64(), "same": pl.Int64(), "worse": pl.Int64(),
        "better": pl.Int64(), "open": pl.Int64(), "worst": pl.String(),
        "over_weeks": pl.String(),
    }
)  # fmt: skip


def verdict(criteria: pl.DataFrame) -> dict[str, str]:
    """Give the verdict on a run by its criteria: ``word`` (fail, open, pass, none) and ``headline``."""
    told = criteria.to_dicts()
    return {"word": verdict_word(told), "headline": verdict_headline(told)}


def against_earlier(run: Run) -> pl.DataFrame:
    """Give how a run compares with the last good one, as its folder's comparison says; no row if it has none.

    Returns
    -------
    polars.DataFrame
        ``against`` (a run; null where there was none to compare with, and ``detail`` says why), ``endpoints``, of
        which ``same``, ``worse``, ``better``, ``open`` (the data do not decide), and ``worst``: the names of what
        got worse; ``over_weeks``: what the runs up to this one say of changes of level, null where they say nothing.

    Raises
    ------
    RunError
        The comparison cannot be read.
    """
    path = run.folder / COMPARISON_NAME
    try:
        told = json.loads(path.read_text("utf-8"))
        endpoints = told["endpoints"]
        states = [_state(endpoint) for endpoint in endpoints]
        worse = [_name(endpoint) for endpoint, state in zip(endpoints, states, strict=True) if state == "worse"]
        counts = {state: states.count(state) for state in ("same", "worse", "better", "open")}
        row = {"against": told["against"], "detail": told["detail"], "endpoints": len(endpoints), **counts}
        over_weeks = "; ".join(map(str, told.get("over_weeks", ()))) or None
    except FileNotFoundError:
        return _SCHEMA.to_frame()
    except (OSError, ValueError, KeyError, TypeError) as exc:
        msg = f"{path} cannot be read as a comparison: {exc}"
        raise RunError(msg) from exc
    return pl.DataFrame([{**row, "worst": ", ".join(worse), "over_weeks": over_weeks}], schema=_SCHEMA)


def _state(endpoint: dict[str, Any]) -> str:
    """Say in which way an endpoint is different; of every endpoint there is, more is worse."""
    if endpoint["state"] != "different":
        return "same" if endpoint["state"] == "same" else "open"
    return "worse" if endpoint["difference"] > 0 else "better"


def _name(endpoint: dict[str, Any]) -> str:
    tool = endpoint.get("tool")
    return (
        f"{endpoint['endpoint']} ({tool})" if tool and tool not in endpoint["endpoint"] else str(endpoint["endpoint"])
    )
