"""``comparison.json`` and ``comparison.md``: a weekly run held against the last good one, as part of its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from soaklib.analysis.verdicts.compare import compare_tools, worst_tools
from soaklib.errors import RecordingError, RunError
from soaklib.reports.text_table import Strong, markdown_table
from soaklib.store.whole import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from soaklib.analysis.sources.run import Run, RunInfo
    from soaklib.plan.model import Plan
    from soaklib.plan.settings import SoakSettings

__all__ = [
    "AS_ASKED",
    "COMPARISON_NAME",
    "Comparison",
    "EndpointChange",
    "PlannedLoad",
    "compared",
    "other_load",
    "read_comparison",
    "write_comparison",
]

COMPARISON_NAME: Final = "comparison.json"
AS_ASKED: Final = "as --against says"
"""Why a run was held against the one that it was: somebody said so, and took its level for the one that stands."""

_TEXT_NAME: Final = "comparison.md"
_LOAD: Final = ("hours", "rps", "speed", "plan", "embedded")
_COLUMNS: Final = ("endpoint", "earlier", "later", "unit", "difference", "90 % interval", "margin", "state")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EndpointChange(_Model):
    """One endpoint in both runs, as :func:`soaklib.compare` gives it."""

    endpoint: str
    unit: str
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    margin: float
    n_a: int
    n_b: int
    state: Literal["same", "different", "inconclusive"]
    tool: str | None = None

    @property
    def is_regression(self) -> bool:
        """Whether it is different, and for the worse; of every endpoint there is, more is worse."""
        return self.state == "different" and self.low is not None and self.low > 0

    def __str__(self) -> str:
        if self.difference is None:
            return f"{self.endpoint}: too few windows{self._of_tool} ({self.n_a} and {self.n_b})"
        return (
            f"{self.endpoint}: {self.a:.4g} to {self.b:.4g} {self.unit}{self._of_tool} (difference {self.low:+.3g} to "
            f"{self.high:+.3g}, margin {self.margin:g})"
        )

    @property
    def _of_tool(self) -> str:
        return "" if self.tool is None else f" of {self.tool}"


class Comparison(_Model):
    """What became of a weekly run's comparison.

    Attributes
    ----------
    run_id, against
        The later and the earlier run; the second None if there was none to compare with.
    detail
        Why there was none, or why this one.
    endpoints
        Every endpoint, as its worst tool is; none without an earlier run.
    tools
        Every endpoint and tool, of which series over weeks are made; none in a file of an earlier version.
    anchor
        The oldest good run of the level that stands, where it is another one than `against`.
    since_anchor
        Every endpoint and tool, held against the anchor.
    over_weeks
        What the runs up to this one say of changes of level, a sentence each.
    weeks
        Run id -> measure -> value of this run and of those before it: they are known when the runs have been removed.
    """

    format: Literal[1] = 1
    run_id: str
    against: str | None
    detail: str
    endpoints: tuple[EndpointChange, ...] = ()
    tools: tuple[EndpointChange, ...] = ()
    anchor: str | None = None
    since_anchor: tuple[EndpointChange, ...] = ()
    over_weeks: tuple[str, ...] = ()
    weeks: dict[str, dict[str, float]] = {}

    @property
    def regressions(self) -> tuple[EndpointChange, ...]:
        """What got worse: of each endpoint the worst tool, and then every other."""
        return tuple(change for change in dict.fromkeys((*self.endpoints, *self.tools)) if change.is_regression)

    @property
    def crept(self) -> tuple[EndpointChange, ...]:
        """What got worse since the anchor and is none of :attr:`regressions`: in steps, each too small to be one."""
        told = {(change.endpoint, change.tool) for change in self.regressions}
        return tuple(
            change
            for change in self.since_anchor
            if change.is_regression and (change.endpoint, change.tool) not in told
        )

    @property
    def accepts(self) -> bool:
        """Whether somebody said what this run is to be held against: runs before it are no measure of later ones."""
        return self.detail == AS_ASKED

    def as_markdown(self) -> str:
        """Give ``comparison.md``."""
        title = f"# Weekly soak {self.run_id}"
        if self.against is None:
            return f"{title}\n\nNot compared: {self.detail}.\n"
        rows = [
            (
                change.endpoint, change.a, change.b, change.unit, change.difference,
                "-" if change.low is None else f"{change.low:+.4g} to {change.high:+.4g}", change.margin,
                Strong(f"{change.state}: worse") if change.is_regression else change.state,
            )
            for change in self.endpoints
        ]  # fmt: skip
        said = (
            "; ".join(f"**{change}**" for change in self.regressions)
            if self.regressions
            else "No endpoint is different for the worse."
        )
        if self.anchor is not None:
            crept = "; ".join(f"**{change}**" for change in self.crept) or "nothing else is different for the worse"
            said += f"\n\nSince {self.anchor}, the oldest good run of this level: {crept}."
        over_weeks = "".join(f"- {sentence}\n" for sentence in self.over_weeks)
        return (
            f"{title}\n\nCompared with {self.against}, {self.detail}.\n\n{markdown_table(_COLUMNS, rows)}\n\n{said}\n\n"
            "`same`: the whole interval lies within the margin. `different`: it excludes zero, and the difference is "
            "beyond the margin. `inconclusive`: the data do not decide.\n" + (f"\n{over_weeks}" if over_weeks else "")
        )


class PlannedLoad(NamedTuple):
    """What a run that is to begin is asked to do, as its manifest will have it."""

    hours: float
    rps: float
    speed: float
    plan: Plan
    embedded: bool
    target: str
    settings: Mapping[str, Any]

    @classmethod
    def of(cls, settings: SoakSettings, plan: Plan) -> PlannedLoad:
        """Give that of these settings and this plan."""
        return cls(
            settings.hours, settings.rps, settings.speed, plan, settings.embedded, settings.gateway_url or "",
            {"arrivals": settings.arrivals},
        )  # fmt: skip


def other_load(one: RunInfo, other: RunInfo | PlannedLoad) -> str | None:
    """Say in what two runs differ that makes comparing them meaningless; None if in nothing."""
    for name in _LOAD:
        if getattr(one, name) != getattr(other, name):
            return f"its {name} is another"
    if one.settings.get("arrivals") != other.settings.get("arrivals"):
        return "its arrivals are others"
    return None if one.embedded or one.target == other.target else "its gateway is another"


def compared(run: Run, against: Run, detail: str, *, kept: Sequence[Run] = (), anchor: Run | None = None) -> Comparison:
    """Hold a run against an earlier one.

    Parameters
    ----------
    run, against
        The later and the earlier run.
    detail
        Why it is this earlier one.
    kept
        Good runs of the same load, which say how far runs differ by themselves.
    anchor
        The oldest good run of the level that stands, where it is another one; None without one.
    """
    found = compare_tools(against, run, kept=kept)
    since_anchor = () if anchor is None else _changes(compare_tools(anchor, run, kept=kept))
    return Comparison(
        run_id=run.info.run_id, against=against.info.run_id, detail=detail, endpoints=_changes(worst_tools(found)),
        tools=_changes(found), anchor=None if anchor is None else anchor.info.run_id, since_anchor=since_anchor,
    )  # fmt: skip


def _changes(found: pl.DataFrame) -> tuple[EndpointChange, ...]:
    return tuple(EndpointChange.model_validate(row) for row in found.iter_rows(named=True))


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write both files into a run's folder, each whole or not at all.

    Raises
    ------
    RecordingError
        They cannot be written.
    """
    for name, text in (
        (_TEXT_NAME, comparison.as_markdown()),
        (COMPARISON_NAME, comparison.model_dump_json(indent=2) + "\n"),
    ):
        try:
            with whole_file(folder / name) as part:
                part.write_text(text, "utf-8")
        except OSError as exc:
            msg = f"{folder / name} cannot be written: {exc.strerror or exc}"
            raise RecordingError(msg) from exc


def read_comparison(folder: Path) -> Comparison | None:
    """Read a run's comparison; None if it has none.

    Raises
    ------
    RunError
        It cannot be read, or is none.
    """
    path = folder / COMPARISON_NAME
    try:
        return Comparison.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:  # a ValidationError is a ValueError
        msg = f"{path} cannot be read as a comparison: {str(exc).splitlines()[0]}"
        raise RunError(msg) from exc
