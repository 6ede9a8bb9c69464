"""Tables of many gateways: what each adds to the direct line, what else was measured, and which differ.

What a gateway adds is its time less that of the direct line of its wire: the same calls at the same rate, without it.
Difference, interval and test are those of :func:`soaklib.compare`: a bootstrap-t over windows
(:func:`soaklib.analysis.verdicts.compare.mean_difference`). Slopes of memory are compared by the trend of their
difference, window by window (:func:`soaklib.analysis.statistics.drift.drift`). What was soaked at another time, on a
machine that others used too, may differ for that alone: a gateway that was soaked twice says how far.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Final

import polars as pl

from soaklib.analysis.measures.metrics import in_soak_time
from soaklib.analysis.statistics.drift import CONFIDENCE, LEVEL, drift
from soaklib.analysis.statistics.multiplicity import adjusted
from soaklib.analysis.verdicts.compare import LEAST_WINDOWS, MeanDifference, mean_difference
from soaklib.digests.frames import ALL_CALLS, MINUTES_SCHEMA, WINDOWED
from soaklib.digests.measured import MEASURES_SCHEMA
from soaklib.errors import SettingsError, near_miss

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from soaklib.digests.kept import Digest

__all__ = ["COMPARED", "GATEWAY_TABLE_SCHEMA", "PAIRS_SCHEMA", "gateway_minutes", "gateway_table", "told_apart"]

GATEWAY_TABLE_SCHEMA: Final = pl.Schema({"gateway": pl.String()} | dict(MEASURES_SCHEMA))
"""Columns of :func:`gateway_table`."""

PAIRS_SCHEMA: Final = pl.Schema(
    {
        "of": pl.String(), "a": pl.String(), "b": pl.String(), "difference": pl.Float64(), "low": pl.Float64(),
        "high": pl.Float64(), "p_value": pl.Float64(), "p_adjusted": pl.Float64(), "told_apart": pl.Boolean(),
    }
)  # fmt: skip
"""Columns of :func:`told_apart`."""

COMPARED: Final = {
    "median": "ms", "p99": "ms", "first token": "ms", "errors": "percentage points", "cpu": "ms a call",
    "memory slope": "MiB an hour",
}  # fmt: skip
"""What can be compared between gateways, and its unit."""

_SLOPE: Final = "memory slope"


def gateway_table(digests: Mapping[str, Digest]) -> pl.DataFrame:
    """Give everything that was measured of each gateway, what it adds to its direct line included.

    Parameters
    ----------
    digests
        As :func:`soaklib.read_digests` gives them.

    Returns
    -------
    polars.DataFrame
        ``gateway`` and the columns of :data:`soaklib.digests.measured.MEASURES_SCHEMA`. Beside the measures of each run
        there are ``median``, ``p99`` and ``first token`` (milliseconds, by tool and action), and ``added median``,
        ``added p99`` and ``added first token`` with their 90 % intervals where there is a direct line; their ``state``
        is ``too few windows`` where no interval can be told.
    """
    rows: list[tuple[object, ...]] = []
    for name, one in digests.items():
        rows += [(name, *row) for row in one.measures.select(*MEASURES_SCHEMA).iter_rows()]
        line = _direct_line(digests, one)
        for measure in WINDOWED:
            for of, own in _windows(one, measure).items():
                rows.append((name, *_row(measure, of, _mean(own), own.height)))
                theirs = None if line is None else _windows(line, measure).get(of)
                if theirs is not None:
                    rows.append((name, *_added(measure, of, theirs, own)))
    return pl.DataFrame(rows, schema=GATEWAY_TABLE_SCHEMA, orient="row")


def told_apart(digests: Mapping[str, Digest], measure: str) -> pl.DataFrame:
    """Say which gateways of a wire differ in a measure, chance alarms of all pairs allowed for (Holm).

    Two that are not told apart are not ranked: the data do not say which is first.

    Parameters
    ----------
    digests
        As :func:`soaklib.read_digests` gives them; the direct line of a wire is one of those compared.
    measure
        One of :data:`COMPARED`.

    Returns
    -------
    polars.DataFrame
        By pair of one wire and, for latency, by tool and action: ``of``, ``a``, ``b``, ``difference`` (b - a), ``low``
        and ``high`` (its 90 % interval), ``p_value``, ``p_adjusted`` (over all rows), ``told_apart`` (at 5 %). What
        cannot be compared has a row with nulls, and is not told apart.

    Raises
    ------
    SettingsError
        There is no such measure.
    """
    if measure not in COMPARED:
        msg = f"measure={measure!r} cannot be compared{near_miss(measure, COMPARED)}; pass one of {', '.join(COMPARED)}"
        raise SettingsError(msg)
    rows = [
        (of, a, b, found)
        for a, b in combinations(digests, 2)
        if digests[a].facts["wire"] == digests[b].facts["wire"]
        for of, found in _differences(digests[a], digests[b], measure)
    ]
    p_values = [math.nan if found is None else found.p_value for *_, found in rows]
    corrected = adjusted(p_values).tolist()
    told = [
        (of, a, b, *(found or (None,) * 4), None if math.isnan(p) else p, bool(p <= LEVEL))
        for (of, a, b, found), p in zip(rows, corrected, strict=True)
    ]
    return pl.DataFrame(told, schema=PAIRS_SCHEMA, orient="row").sort("of", "a", "b")


def gateway_minutes(digests: Mapping[str, Digest]) -> pl.DataFrame:
    """Give what small multiples show: the minutes of all, with ``gateway`` before them."""
    none = pl.DataFrame(schema={"gateway": pl.String()} | dict(MINUTES_SCHEMA))
    parts = [one.minutes.select(pl.lit(name).alias("gateway"), pl.all()) for name, one in digests.items()]
    return pl.concat([none, *parts])


def _direct_line(digests: Mapping[str, Digest], one: Digest) -> Digest | None:
    """Give the first direct line of a gateway's wire that ran at the same rate; None for one itself."""
    if one.facts["is_direct"]:
        return None
    alike = (
        line for line in digests.values()
        if line.facts["is_direct"] and line.facts["wire"] == one.facts["wire"] and line.facts["rps"] == one.facts["rps"]
    )  # fmt: skip
    return next(alike, None)


def _windows(one: Digest, measure: str) -> dict[str, pl.DataFrame]:
    """Give the windows of a measure, by what they are of, in order of time."""
    parts = one.windows.filter(measure=measure).partition_by("of", as_dict=True, maintain_order=True)
    return {str(of[0]): part.sort("soak_s") for of, part in parts.items()}


def _mean(windows: pl.DataFrame) -> float:
    return float(windows["value"].to_numpy().mean())


def _row(measure: str, of: str, value: float, n: int, state: str = "") -> tuple[object, ...]:
    return (measure, of, value, None, None, None, "ms", n, state, "")


def _added(measure: str, of: str, line: pl.DataFrame, own: pl.DataFrame) -> tuple[object, ...]:
    found = _difference(line, own)
    n = min(line.height, own.height)
    if found is None:
        return _row(f"added {measure}", of, _mean(own) - _mean(line), n, "too few windows")
    return (f"added {measure}", of, found.difference, found.low, found.high, CONFIDENCE, "ms", n, "", "")


def _difference(a: pl.DataFrame, b: pl.DataFrame) -> MeanDifference | None:
    if min(a.height, b.height) < LEAST_WINDOWS:
        return None
    return mean_difference(a["value"].to_numpy(), b["value"].to_numpy())


def _differences(a: Digest, b: Digest, measure: str) -> Iterator[tuple[str, MeanDifference | None]]:
    if measure == _SLOPE:
        yield "the gateway", _slope_difference(a, b)
        return
    ours, theirs = _windows(a, measure), _windows(b, measure)
    for of in ours:
        if of in theirs:
            yield of, _difference(ours[of], theirs[of])
    if measure == "cpu" and not (ours and theirs):
        yield ALL_CALLS, None


def _slope_difference(a: Digest, b: Digest) -> MeanDifference | None:
    """Give the slope of the difference of two memories, window by window."""
    both = _memory(a).join(_memory(b), on="soak_s", suffix="_b").sort("soak_s")
    found = drift(in_soak_time(both.select("soak_s", value=pl.col("value_b") - pl.col("value"))))
    if found.slope_per_hour is None or found.interval is None or found.p_value is None:
        return None
    return MeanDifference(found.slope_per_hour, *found.interval, found.p_value)


def _memory(one: Digest) -> pl.DataFrame:
    return one.windows.filter(measure="memory").select("soak_s", "value")
