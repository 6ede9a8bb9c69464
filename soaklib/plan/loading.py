"""Reads the settings from flags, environment and plan file; a mistake is told in one line, with the nearest."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource
from pydantic_settings import SettingsError as SourceFault

from soaklib.errors import SettingsError, near_miss
from soaklib.plan.settings import PLAIN_VARIABLES, SoakSettings, Thresholds
from soaklib.safety.redaction import mask_url

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["flags", "known_flags", "load_settings", "settings_from"]


def load_settings(arguments: Sequence[str] | None = None) -> SoakSettings:
    """Read the settings from flags, environment and plan file.

    Parameters
    ----------
    arguments
        Command-line arguments; None for none at all (environment and defaults only).

    Raises
    ------
    SettingsError
        A flag is unknown, or a value is wrong; the text names each wrong setting, its value and what to pass.
    SystemExit
        ``--help`` (code 0).
    """
    with _told(arguments or ()):
        return SoakSettings(_cli_settings_source=None if arguments is None else _source()(args=list(arguments)))


def settings_from(values: Mapping[str, Any]) -> SoakSettings:
    """Make settings of values that are known already, such as those that a run has kept.

    Raises
    ------
    SettingsError
        A value is wrong; the text names it.
    """
    with _told(()):
        return SoakSettings.model_validate(dict(values))


@contextmanager
def _told(arguments: Sequence[str]) -> Iterator[None]:
    """Tell what is wrong with settings in words of what was set."""
    try:
        yield
    except ValidationError as exc:
        problems = (_problem(dict(error), arguments) for error in exc.errors())
        raise SettingsError("; ".join(problems)) from exc
    except SourceFault as exc:
        raise SettingsError(_fault(str(exc))) from exc
    except UnicodeEncodeError as exc:  # raised by the library while it words what is wrong with such a path
        msg = f"{exc.object!r} is no UTF-8 text: pass another path"
        raise SettingsError(msg) from exc


def _fault(said: str) -> str:
    """Word what the library says of the flags as a sentence; an unknown one with the nearest that there is."""
    said = said.removeprefix("error parsing CLI: ")
    found = re.match(r"unrecognized arguments: (--[^\s=]+)", said)
    return f"there is no flag {found[1]}{near_miss(found[1], known_flags())}" if found else said


def flags() -> argparse.ArgumentParser:
    """Give the parser of the settings' flags, as the library makes it."""
    parser: argparse.ArgumentParser = _source().root_parser
    return parser


@cache
def _source() -> CliSettingsSource[Any]:  # of Any, since the library types its parser as the settings
    """Give the source of the flags; to make its parser takes the library longer than all that it is asked."""
    return CliSettingsSource(SoakSettings)


def known_flags() -> list[str]:
    """Give every flag of the settings."""
    return [option for action in flags()._actions for option in action.option_strings]  # noqa: SLF001 - no public way


def _problem(error: dict[str, Any], arguments: Sequence[str]) -> str:
    """Word one of pydantic's errors as a sentence about what was set: a flag, or an environment variable."""
    message = str(error["msg"]).removeprefix("Value error, ")
    names = [str(part) for part in error["loc"] if not isinstance(part, int)]  # an int is a place in a list
    if not names:
        return message
    known, field = SoakSettings.model_fields, SoakSettings.model_fields.get(names[0])
    if field is not None and len(names) > 1:
        known, field = Thresholds.model_fields, Thresholds.model_fields.get(names[1])
    if field is None:
        return f"{'.'.join(names)}: there is no such setting{near_miss(names[-1], known)}"
    given = mask_url(error["input"]) if isinstance(error["input"], str) else error["input"]
    return f"{_as_it_was_set(names, arguments)} {given!r}: {message[0].lower()}{message[1:]} ({field.description})"


def _as_it_was_set(names: Sequence[str], arguments: Sequence[str]) -> str:
    """Give the flag of a setting, or the environment variable where that is what set it."""
    flag = f"--{'.'.join(names).replace('_', '-')}"
    if any(argument.partition("=")[0] == flag for argument in arguments):
        return flag
    variables = (f"SOAK_{names[0].upper()}", PLAIN_VARIABLES.get(names[0], ""))
    return next((variable for variable in variables if variable in os.environ), flag)
