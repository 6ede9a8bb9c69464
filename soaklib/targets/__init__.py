"""Kinds of gateway, each found by the name in the plan's ``[target]`` table; loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import ValidationError

from soaklib.errors import SettingsError, near_miss
from soaklib.plan.mistakes import told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel

    from soaklib.plan.model import Step, TargetTable
    from soaklib.records import Verdict
    from soaklib.targets.admin import Admin, Link
    from soaklib.targets.base import MetricMap, Reader, Template

__all__ = ["GROUP", "Target", "known_kinds", "load_target", "own_criteria", "refuse_unless_whole"]

GROUP: Final = "soaklib.targets"
"""The entry-point group under which other packages register a kind: its name, and what to call with the options."""

_OWN: Final = {
    "4runr": "soaklib.targets.fourrunr.target:FourRunrTarget",
    "openai": "soaklib.targets.openai:OpenAITarget",
    "mcp": "soaklib.targets.mcp:McpTarget",
}


class Target(Protocol):
    """One kind of gateway, made with its options; holds no state of a run.

    It may have a method ``criteria``, too, as :func:`own_criteria` gives what that gives.

    Attributes
    ----------
    kind
        Its name, as in ``kind = "..."`` of the plan's ``[target]`` table.
    options
        What else that table may hold.
    metrics
        What its metrics mean.
    agent_limit
        Calls that every such gateway lets an agent make, where all have one limit: ``5/60s``; else None.
    """

    kind: str
    options: type[BaseModel]
    metrics: MetricMap
    agent_limit: str | None

    def compile(self, step: Step, role: str) -> Template:
        """Compile a call of the plan, before anything is sent.

        Raises
        ------
        SettingsError
            The step is not one that this gateway can be asked for; the text names the place in the plan.
        """
        ...

    def reader(self, template: Template) -> Reader:
        """Give the reader of one call's answer."""
        ...

    def admin(self, link: Link) -> Admin:
        """Give the way to do what is done beside the load; nothing is sent yet."""
        ...


def known_kinds() -> list[str]:
    """Give the names of the kinds that there are: soaklib's own, then those of other packages."""
    return [*_OWN, *sorted({entry.name for entry in entry_points(group=GROUP)} - set(_OWN))]


def refuse_unless_whole(thing: object, protocol: type, kind: str) -> None:
    """Refuse what a kind of gateway brings if it lacks a part of its protocol: a soak would find out in its midst.

    Raises
    ------
    SettingsError
        It lacks some; the text names them.
    """
    parts = {name for name in (*vars(protocol), *protocol.__annotations__) if not name.startswith("_")}
    if lacks := sorted(name for name in parts if not hasattr(thing, name)):
        msg = f"--plan: target of kind {kind!r}: its {protocol.__name__} lacks {', '.join(lacks)}"
        raise SettingsError(msg)


def load_target(table: TargetTable) -> Target:
    """Give the target that a plan names, made with its options.

    Raises
    ------
    SettingsError
        There is no such kind, its package cannot be loaded, or an option is not one of its own.
    """
    target = _class_of(table.kind)
    options = getattr(target, "options", None)
    if options is None:
        msg = f"[target] kind = {table.kind!r}: {target!r} has no model of its options"
        raise SettingsError(msg)
    try:
        made = target(options.model_validate(table.options))
    except ValidationError as exc:
        msg = f"--plan: target of kind {table.kind!r}: {told(exc.errors(), options)}"
        raise SettingsError(msg) from exc
    refuse_unless_whole(made, Target, table.kind)
    return made


def own_criteria(table: TargetTable) -> Mapping[str, Callable[[Any], Verdict]]:
    """Give the criteria that a kind of gateway has beside those of all: name -> from a run to its verdict.

    None of a kind whose package is not there: whoever only reads a run need not have it.
    """
    try:
        target = load_target(table)
    except SettingsError:
        return {}
    brings: Callable[[], Mapping[str, Callable[[Any], Verdict]]] = getattr(target, "criteria", dict)
    return brings()


def _class_of(kind: str) -> Callable[..., Target]:
    try:
        if kind in _OWN:
            module, _, name = _OWN[kind].partition(":")
            own: Callable[..., Target] = getattr(import_module(module), name)
            return own
        for entry in entry_points(group=GROUP, name=kind):
            found: Callable[..., Target] = entry.load()
            return found
    except (ImportError, AttributeError) as exc:
        msg = f"--plan: target of kind {kind!r} cannot be loaded: {exc}"
        raise SettingsError(msg) from exc
    known = known_kinds()
    nearest = near_miss(kind, known) or f"; there are {', '.join(known)}"
    msg = f"--plan: there is no target of kind {kind!r}{nearest}"
    raise SettingsError(msg)
