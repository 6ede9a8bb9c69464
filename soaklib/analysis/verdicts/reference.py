"""The day of a good run, kept beside another one: what the load shows at each time of day, whatever is wrong or right.

A run of 24 hours has one cycle of the day, which nobody can tell from a drift by that run alone. ``reference.json`` in
its folder holds the series of a good run (:func:`soaklib.evidence.reference.keep_reference` writes it), and the run's
environment names that run and the file's SHA-256. So it is judged against the same by everybody, everywhere.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from soaklib.analysis.measures.metrics import in_soak_time
from soaklib.errors import RunError

if TYPE_CHECKING:
    from soaklib.analysis.sources.run import Run

__all__ = ["REFERENCE_NAME", "REFERENCE_SCHEMA", "Day", "Reference", "kept_days", "kept_reference", "reference_run"]

REFERENCE_NAME: Final = "reference.json"
REFERENCE_SCHEMA: Final = pl.Schema({"run_id": pl.String()})
"""Columns and types of :func:`reference_run`."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Day(_Model):
    """One series of the good run.

    Attributes
    ----------
    endpoint, tool
        What it is of.
    soak_s
        Soak time of the run that is judged at which its values belong, by the time of day.
    value
        In the endpoint's unit, one for each time.
    """

    endpoint: str
    tool: str
    soak_s: tuple[float, ...]
    value: tuple[float, ...]


class Reference(_Model):
    """What is kept of a good run: its id, and its series."""

    format: Literal[1] = 1
    run_id: str
    days: tuple[Day, ...]


def kept_reference(run: Run) -> Reference | None:
    """Give what the run is judged against; None where it is judged by itself.

    Raises
    ------
    RunError
        The run names a reference, and its file is missing, is none, or is not the one that it names.
    """
    named = run.info.reference
    if named is None:
        return None
    path = run.folder / REFERENCE_NAME
    try:
        content = path.read_bytes()
        reference = Reference.model_validate_json(content)
    except (OSError, ValidationError) as exc:
        msg = f"the run is judged against {named.run_id}, and {path} cannot be read: {str(exc).splitlines()[0]}"
        raise RunError(msg) from exc
    if hashlib.sha256(content).hexdigest() != named.sha256 or reference.run_id != named.run_id:
        msg = f"the run is judged against {named.run_id}, and {path} is not what was kept of it"
        raise RunError(msg)
    return reference


def kept_days(run: Run, endpoint: str) -> dict[str, pl.DataFrame]:
    """Give tool -> series of what is kept for an endpoint: ``soak_s``, ``value`` and ``at``, as a reference takes them.

    Parameters
    ----------
    run, endpoint
        The run that is judged, and the name of what.
    """
    reference = kept_reference(run)
    return {
        day.tool: in_soak_time(pl.DataFrame({"soak_s": day.soak_s, "value": day.value}))
        for day in (reference.days if reference is not None else ())
        if day.endpoint == endpoint
    }


def reference_run(run: Run) -> pl.DataFrame:
    """Give which run this one is judged against: ``run_id``; no row where it is judged by itself."""
    named = run.info.reference
    return pl.DataFrame([] if named is None else [(named.run_id,)], schema=REFERENCE_SCHEMA, orient="row")
