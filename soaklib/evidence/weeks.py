"""What changed over weeks: the measures of some runs, one value each, and when their level changed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from soaklib.analysis.sources.run import glance_at
from soaklib.analysis.statistics.weeks import FEWEST_WEEKS, lasting_changes
from soaklib.errors import RunError, SoaklibError
from soaklib.evidence.comparison import other_load, read_comparison

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from soaklib.analysis.sources.run import RunInfo
    from soaklib.evidence.comparison import Comparison

__all__ = ["changes_over_weeks", "measure_name", "of_same_load", "table_over_weeks", "values_by_run", "weekly_values"]

_MOST_WEEKS: Final = 520
"""Of a series: ten years of weeks."""


def of_same_load(folders: Iterable[Path], info: RunInfo) -> Iterator[Path]:
    """Give the folders whose runs had the load of the run with this manifest: others are no part of its series.

    A folder that was never compared, as that of a week that broke off, is not even opened; one that cannot be read is
    no part of it either.
    """
    for folder in folders:
        if _compared(folder) is None:
            continue
        with suppress(SoaklibError):  # damaged, or of another version: who looks around says so
            if other_load(glance_at(folder).info, info) is None:
                yield folder


def weekly_values(folders: Iterable[Path]) -> dict[str, list[tuple[str, float]]]:
    """Give each measure's values of the runs in some folders, by what each weekly comparison says of its own run.

    Parameters
    ----------
    folders
        Of runs, the earliest first; those that were not compared, or whose comparison is damaged, have none.

    Returns
    -------
    dict
        Measure and unit -> run id and value of each run, the earliest first; those of runs before, that have been
        removed, included.
    """
    values: dict[str, list[tuple[str, float]]] = {}
    for run_id, told in values_by_run(folders).items():
        for name, value in told.items():
            values.setdefault(name, []).append((run_id, value))
    return values


def values_by_run(folders: Iterable[Path]) -> dict[str, dict[str, float]]:
    """Give the measures of each run, by its id: of those in some folders, and of those that they know of."""
    found: dict[str, dict[str, float]] = {}
    for folder in folders:
        comparison = _compared(folder)
        if comparison is None:
            continue
        found = comparison.weeks | found
        if own := {
            measure_name(change.endpoint, change.tool, change.unit): change.b
            for change in comparison.tools or comparison.endpoints
            if change.b is not None
        }:
            found[folder.name] = own
    return {run_id: found[run_id] for run_id in sorted(found)[-_MOST_WEEKS:]}  # an id begins with its time


def _compared(folder: Path) -> Comparison | None:
    """Give a folder's comparison; one that is damaged is no measure, as one that is not there: `weekly` says of it."""
    try:
        return read_comparison(folder)
    except RunError:
        return None


def measure_name(endpoint: str, tool: str | None, unit: str) -> str:
    """Give what an endpoint of a tool is called in a series, its unit included."""
    return f"{endpoint} [{unit}]" if tool is None or tool in endpoint else f"{endpoint} ({tool}) [{unit}]"


def changes_over_weeks(values: Mapping[str, Sequence[tuple[str, float]]]) -> Iterator[str]:
    """Say which measures changed their level over weeks, and from which run on; and where there are too few weeks.

    Parameters
    ----------
    values
        As :func:`weekly_values` gives it.

    Yields
    ------
    str
        A sentence for each change that shows at several looks in a row, see
        :func:`~soaklib.analysis.statistics.weeks.lasting_changes`.
    """
    weeks = max((len(told) for told in values.values()), default=0)
    if weeks < FEWEST_WEEKS:
        yield f"over {weeks} runs no change of level can be told: it takes {FEWEST_WEEKS}"
        return
    for measure, told in values.items():
        runs = [run_id for run_id, _ in told]
        for change in lasting_changes([value for _, value in told]):
            yield (
                f"over {len(told)} runs: {measure} changed from {change.before:.4g} to {change.after:.4g} with "
                f"{runs[change.place]} (p = {change.p_value:.2g} at this look alone)"
            )


def table_over_weeks(values: Mapping[str, Sequence[tuple[str, float]]]) -> list[dict[str, Any]]:
    """Give each measure's values by run and the runs with which its level changed, for a page of the runs.

    Parameters
    ----------
    values
        As :func:`weekly_values` gives it.

    Returns
    -------
    list
        ``measure``, ``values`` (run id -> value), ``changed`` (run ids).
    """
    return [
        {
            "measure": measure, "values": dict(told),
            "changed": [told[change.place][0] for change in lasting_changes([value for _, value in told])],
        }
        for measure, told in values.items()
    ]  # fmt: skip
