"""What a gateway's own counters say of a meaning (denials, retries, cache hits), whatever they are called there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from soaklib.analysis.measures.metrics import metered
from soaklib.analysis.measures.windows import summed
from soaklib.errors import SettingsError, near_miss
from soaklib.targets import load_target
from soaklib.targets.base import Meaning, Series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soaklib.analysis.sources.run import Run

__all__ = ["counted_as", "series_of", "told_by"]


def series_of(run: Run, meaning: Meaning) -> Series | None:
    """Give where a meaning is found among what this run's kind of gateway exposes; None where it cannot tell it."""
    return load_target(run.info.plan.target).metrics.meanings.get(meaning)


def counted_as(run: Run, meaning: str, every: str = "1h", *, by: str | Sequence[str] = "tool") -> pl.DataFrame:
    """Give the increase of the counter that has a meaning at this run's kind of gateway, reset-aware, by its labels.

    Parameters
    ----------
    run
        The run, or a stretch of it.
    meaning
        ``"denials"``, ``"retries"``, ``"cache hits"``, ``"fast fails"``: a word of
        :class:`~soaklib.targets.base.Meaning`.
    every, by
        As for :func:`metered`.

    Returns
    -------
    polars.DataFrame
        As :func:`metered` gives it; no row where the kind of gateway has no such counter.

    Raises
    ------
    SettingsError
        There is no such meaning.
    """
    if meaning not in set(Meaning):
        msg = f"no meaning {meaning!r}{near_miss(meaning, list(Meaning))}; pass one of {', '.join(Meaning)}"
        raise SettingsError(msg)
    labels = [by] if isinstance(by, str) else list(dict.fromkeys(by))
    series = series_of(run, Meaning(meaning))
    if series is None:
        return metered(run, "", every, by=labels)
    told = told_by(series, metered(run, series.metric, every, by=[*labels, *series.labels]))
    return summed(told, "n", "soak_s", "end_s", *labels)


def told_by(series: Series, counted: pl.DataFrame) -> pl.DataFrame:
    """Give the rows of a counter's increase that bear what the series of a meaning must bear."""
    for label, values in series.wanted.items():
        counted = counted.filter(pl.col(label).is_in(values))
    return counted
