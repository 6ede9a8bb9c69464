"""The plan of a soak: workload, intervals and scheduled changes, validated whole before anything runs.

A plan is a TOML file; :data:`DEFAULT_PLAN` is the one shipped with the package. All times in it are soak time.
"""

from __future__ import annotations

import math
import tomllib
from functools import cached_property
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from soaklib.errors import SettingsError, near_miss
from soaklib.plan.changes import Change, LastingChange, PolicyChange
from soaklib.plan.mistakes import told
from soaklib.plan.oracles import RateLimit, Trials  # noqa: TC001 - pydantic looks them up
from soaklib.plan.parts import Name, Part, Share, ToolAction

__all__ = [
    "BASELINE_PHASE",
    "Intervals",
    "Operation",
    "Plan",
    "Probe",
    "Role",
    "Step",
    "TargetTable",
    "load_plan",
    "plan_file",
]

BASELINE_PHASE: Final = "baseline"
_ROUNDING: Final = 1e-9
"""What is no difference between shares that are written in decimals."""
_WINDOW_S: Final = {"1h": 3600.0, "24h": 86_400.0, "7d": 604_800.0}


class TargetTable(Part):
    """Which kind of gateway the plan is for; what else stands in the table is for that kind to judge."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Name = "4runr"

    @property
    def options(self) -> dict[str, Any]:
        """What stands beside the kind."""
        return dict(self.model_extra or {})


class Intervals(Part):
    """How often the soak does what it always does, in soak seconds."""

    rotate_tokens_s: float = Field(gt=0)
    token_lifetime_s: float = Field(gt=0)
    snapshot_s: float = Field(gt=0)
    scrape_s: float = Field(gt=0)

    @model_validator(mode="after")
    def _tokens_outlive_their_rotation(self) -> Self:
        if self.token_lifetime_s <= self.rotate_tokens_s:
            msg = "token_lifetime_s must be longer than rotate_tokens_s, or calls run out of tokens between rotations"
            raise ValueError(msg)
        return self


class Quota(Part):
    """A limit on one action of a role; `planned_ratio` is a multiple of the calls planned in one window."""

    action: ToolAction
    window: Literal["1h", "24h", "7d"] = "1h"
    planned_ratio: float = Field(gt=0)

    @property
    def window_s(self) -> float:
        """The window's length in soak seconds."""
        return _WINDOW_S[self.window]


class Role(Part):
    """What agents of a role may do."""

    scopes: tuple[ToolAction, ...] = Field(min_length=1)
    quotas: tuple[Quota, ...] = ()


class Step(Part):
    """One call of an operation. In `params`, ``{n}`` stands for the number of the query."""

    tool: Name
    action: Name
    params: dict[str, Any]

    @property
    def scope(self) -> str:
        """The step as a policy scope, ``tool:action``."""
        return f"{self.tool}:{self.action}"


class Operation(Part):
    """What a slot can be: one call, or a chain of calls that stops at the first that is not ok."""

    role: str
    share: Share
    repeat_share: Share = 0.0
    steps: tuple[Step, ...] = Field(min_length=1)


class Probe(Step):
    """A call that policy must deny, sent every `every_s` soak seconds."""

    role: str
    every_s: float = Field(gt=0)


class Plan(Part):
    """The whole plan.

    Raises
    ------
    pydantic.ValidationError
        Shares that do not add up to 1, a call outside its role's scopes, a probe inside them, unknown roles, changes
        that overlap or run past the end.
    """

    name: str
    target: TargetTable = TargetTable()
    intervals: Intervals
    roles: dict[Name, Role] = Field(min_length=1)
    operations: tuple[Operation, ...] = Field(min_length=1)
    probes: tuple[Probe, ...] = ()
    limits: tuple[RateLimit, ...] = ()
    trials: Trials | None = None
    changes: tuple[Annotated[Change, Field(discriminator="do")], ...] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum(operation.share for operation in self.operations)
        if abs(total - 1) > _ROUNDING:
            msg = f"the shares of the operations add up to {total:.12g}; make them add up to 1"
            raise ValueError(msg)
        for operation in self.operations:
            for step in operation.steps:
                if step.scope not in self._role(operation.role).scopes:
                    msg = f"role {operation.role!r} calls {step.scope} but its scopes do not allow it"
                    raise ValueError(msg)
        for probe in self.probes:
            if probe.scope in self._role(probe.role).scopes:
                msg = f"the probe {probe.scope} of role {probe.role!r} must be denied, but the role's scopes allow it"
                raise ValueError(msg)
        for name, role in self.roles.items():
            for quota in role.quotas:
                if not self.planned_calls(name, quota.action, rps=1, seconds=1):
                    msg = f"role {name!r} has a quota on {quota.action}, which none of its operations calls"
                    raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _limits_are_of_its_roles(self) -> Self:
        for limit in self.limits:
            for role in limit.roles:
                self._role(role)
        return self

    @model_validator(mode="after")
    def _changes_fit(self) -> Self:
        spans = self._spans()
        for change, end in spans:
            if end > 1:
                msg = f"the change {change.do} ends at {end:g} of the duration, beyond the end"
                raise ValueError(msg)
        for (earlier, end), (later, _) in pairwise(spans):
            if later.at < end or later.at == earlier.at:
                msg = f"the changes {earlier.do} and {later.do} overlap at {later.at:g} of the duration"
                raise ValueError(msg)
        for change in self.changes:
            named = None if isinstance(change, PolicyChange) else change.tool
            if named is not None and named not in self.tools:
                msg = f"the change {change.do} is on {named!r}, which no operation calls: {', '.join(self.tools)}"
                raise ValueError(msg)
            if isinstance(change, PolicyChange):
                quotas = self._role(change.role).quotas
                if change.action not in {quota.action for quota in quotas}:
                    msg = f"update-policy changes the quota on {change.action}, but role {change.role!r} has none on it"
                    raise ValueError(msg)
        return self

    def _spans(self) -> list[tuple[Change, float]]:
        """Give the changes in order, each with its end; one that ends as the next begins ends there to the last digit.

        In decimals it need not: 0.1 and 0.2 are more than 0.3.
        """
        ordered = sorted(self.changes, key=lambda change: change.at)
        ends = [change.at + (change.lasts if isinstance(change, LastingChange) else 0.0) for change in ordered]
        following = [*(change.at for change in ordered), 1.0][1:]
        return [
            (change, start if 0 < end - start < _ROUNDING else end)
            for change, end, start in zip(ordered, ends, following, strict=True)
        ]

    def _role(self, name: str) -> Role:
        if name not in self.roles:
            msg = f"unknown role {name!r}; the plan defines {', '.join(self.roles)}"
            raise ValueError(msg)
        return self.roles[name]

    @cached_property
    def tools(self) -> tuple[str, ...]:
        """The tools that the load uses, in the order of first mention."""
        return tuple(dict.fromkeys(step.tool for operation in self.operations for step in operation.steps))

    @cached_property
    def calls_per_slot(self) -> float:
        """Calls planned per slot when every chain runs to its end."""
        return sum(operation.share * len(operation.steps) for operation in self.operations)

    def planned_calls(self, role: str, action: str, *, rps: float, seconds: float) -> float:
        """Give how many calls of `action` (``tool:action``) by `role` are planned in a number of soak seconds."""
        share = sum(
            operation.share
            for operation in self.operations
            for step in operation.steps
            if operation.role == role and step.scope == action
        )
        return share * rps * seconds

    def phase_starts(self, duration_s: float) -> list[tuple[float, str]]:
        """Give (soak second, phase) pairs in order, the baseline first."""
        starts = [(0.0, BASELINE_PHASE)]
        for change, end in self._spans():
            starts.append((change.at * duration_s, change.phase))
            if isinstance(change, LastingChange):
                starts.append((end * duration_s, change.phase_after))
        return starts


def plan_file(path: Path) -> Path:
    """Give where a plan is: the file itself, or the one of that name that is shipped, where there is no such file."""
    if not path.is_file() and path.name == str(path):
        for name in (path.name, f"{path.name}.toml"):
            if (shipped := Path(str(files("soaklib.plan").joinpath(name)))).is_file():
                return shipped
    return path.absolute()


def shipped_plans() -> list[str]:
    """Give the names of the plans that are shipped."""
    plans = (Path(file.name) for file in files("soaklib.plan").iterdir())
    return sorted(plan.stem for plan in plans if plan.suffix == ".toml")


def load_plan(path: Path | None = None, *, is_rehearsal: bool = False) -> Plan:
    """Read and validate a plan.

    Parameters
    ----------
    path
        A TOML file; None for the plan shipped with soaklib.
    is_rehearsal
        Whether the changes of its table ``[rehearsal]`` are made as well: what is soaked is a server of ours.

    Raises
    ------
    SettingsError
        The file cannot be read, is no TOML, or does not make a plan; the text names the place.
    """
    name = "the default plan" if path is None else str(path)
    try:
        text = (
            files("soaklib.plan").joinpath("default_plan.toml").read_text("utf-8")
            if path is None
            else path.read_text("utf-8")
        )
        content = tomllib.loads(text)
        content.pop("settings", None)  # both are read by soaklib.plan.settings
        own = content.pop("rehearsal", {})
        if is_rehearsal and isinstance(own, dict) and "changes" in own:
            always = _listed(content.get("changes", []), "changes")
            content["changes"] = always + _listed(own["changes"], "rehearsal.changes")
        if (place := _not_finite(content)) is not None:
            msg = f"--plan: {name}: {place}: Input should be a finite number"
            raise SettingsError(msg)
        plan = Plan.model_validate(content)
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"--plan: cannot read {name}: {exc}"
        raise SettingsError(msg) from exc
    except tomllib.TOMLDecodeError as exc:
        msg = f"--plan: {name} is no TOML: {exc}"
        raise SettingsError(msg) from exc
    except ValidationError as exc:
        msg = f"--plan: {name}: {told(exc.errors(), Plan)}"
        raise SettingsError(msg) from exc
    if (why := _shows_nothing(plan, own)) is not None:
        msg = f"--plan: {name}: {why}"
        raise SettingsError(msg)
    return plan


def _listed(changes: object, place: str) -> list[object]:
    if not isinstance(changes, list):
        msg = f"--plan: {place} must be a list of tables, each begun by [[{place}]]"
        raise SettingsError(msg)
    return changes


def _not_finite(content: object) -> str | None:
    """Give the place of a number that JSON cannot hold, as a run keeps its plan; None where there is none.

    Parts of a plan refuse it by themselves, but for what they hand on: options, parameters, bodies of requests.
    """
    if isinstance(content, float) and not math.isfinite(content):
        return ""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        if (place := _not_finite(value)) is not None:
            return f"{key}.{place}".removesuffix(".")
    return None


def _unseen_name(plan: Plan) -> str | None:
    """Give the place of a name of which nothing would be seen in a figure or a table; None where there is none."""
    named = [("name", plan.name)]
    for number, change in enumerate(plan.changes):
        named.append((f"changes.{number}.{change.do}.phase", change.phase))
        if isinstance(change, LastingChange):
            named.append((f"changes.{number}.{change.do}.phase_after", change.phase_after))
    named += [(f"limits.{number}.name", limit.name) for number, limit in enumerate(plan.limits)]
    return next((place for place, name in named if not any(map(_is_seen, name))), None)


def _is_seen(letter: str) -> bool:
    return letter.isprintable() and not letter.isspace()


def _shows_nothing(plan: Plan, rehearsal: object) -> str | None:
    """Say what of a plan could never show anything; None where all may.

    A run that was begun with such a plan is still read: so these are no conditions of a plan.
    """
    if (place := _unseen_name(plan)) is not None:
        return f"{place}: it must be a name that can be seen"
    for change in plan.changes:
        if change.at >= 1 or (isinstance(change, LastingChange) and not change.lasts):
            return f"the change {change.do} has no time in which anything could be seen of it"
    starts: dict[str, float] = {}
    for at, phase in plan.phase_starts(1.0):
        if phase in starts:
            other = "before all changes" if phase == BASELINE_PHASE else f"from {starts[phase]:.4g} of the duration on"
            return (
                f"the phase from {at:.4g} of the duration on is called {phase!r}, as the one {other}: name it otherwise"
            )
        starts[phase] = at
    own = rehearsal.get("changes") if isinstance(rehearsal, dict) else None  # looked at in a rehearsal alone
    told = [change for change in own if isinstance(change, dict)] if isinstance(own, list) else []
    phases = set(starts)
    phases |= {text for change in told for key in ("phase", "phase_after") if isinstance(text := change.get(key), str)}
    callers = {operation.role for operation in plan.operations}
    for limit in plan.limits:
        if limit.phase is not None and limit.phase not in phases:
            return f"the limit {limit.name!r} is in force in {limit.phase!r}, no phase{near_miss(limit.phase, phases)}"
        if limit.try_every_s is not None and limit.roles and not callers & set(limit.roles):
            return f"the edge of the limit {limit.name!r} cannot be tried: none of its roles calls anything"
    return None
