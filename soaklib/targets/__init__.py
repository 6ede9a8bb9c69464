"""Kinds of gateway, each found by the name in the plan's ``[target]`` table; loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from soaklib.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from soaklib.plan.model import TargetTable
    from soaklib.targets.base import Target

__all__ = ["GROUP", "known_kinds", "load_target"]

GROUP: Final = "soaklib.targets"
"""The entry-point group under which other packages register a kind: its name, and what to call with the options."""

_OWN: Final = {
    "4runr": "soaklib.targets.fourrunr.target:FourRunrTarget",
    "openai": "soaklib.targets.openai:OpenAITarget",
    "mcp": "soaklib.targets.mcp:McpTarget",
}


def known_kinds() -> list[str]:
    """Give the names of the kinds that there are: soaklib's own, then those of other packages."""
    return [*_OWN, *sorted({entry.name for entry in entry_points(group=GROUP)} - set(_OWN))]


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
        return target(options.model_validate(table.options))
    except ValidationError as exc:
        problems = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
        msg = f"--plan: target of kind {table.kind!r}: {problems}"
        raise SettingsError(msg) from exc


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
    msg = f"--plan: there is no target of kind {kind!r}; there are {', '.join(known_kinds())}"
    raise SettingsError(msg)
