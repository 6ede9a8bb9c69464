"""What a plan and its headers name of the environment: the variables that hold what lets the soak in."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from soaklib.plan.changes import HttpChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from soaklib.plan.model import Plan

__all__ = ["named_secrets", "named_variables"]

_WHO: Final = re.compile(r"(?:email|user|username)_env")
"""Of an option that says who logs in: that is sent as well, and no secret."""
_SCHEME: Final = re.compile(r"(?:bearer|basic|token|digest) +(?=\S)", re.IGNORECASE)


def named_variables(plan: Plan) -> set[str]:
    """Give every text of a plan that may name a variable whose value is sent: to be let in, or to make a change.

    Which options of a kind of gateway name one is that kind's to know; that a variable has such a name is what counts.
    """
    return _of_changes(plan) | set(_texts(plan.target.options))


def named_secrets(pairs: Iterable[str], plan: Plan) -> tuple[str, ...]:
    """Give what is secret of that: what the variables hold that headers and a plan name, as far as they are set.

    Of a header such as ``Bearer KEY`` the key by itself is one too.

    Parameters
    ----------
    pairs
        Headers of the form NAME=VARIABLE.
    plan
        The plan.
    """
    headers = {pair.partition("=")[2] for pair in pairs}
    variables = headers | _of_changes(plan) | set(_texts(plan.target.options, but=_WHO))
    held = [os.environ.get(variable, "").strip() for variable in sorted(variables)]
    bare = [_SCHEME.sub("", secret, 1) for secret in held if _SCHEME.match(secret)]
    return tuple(dict.fromkeys(secret for secret in (*held, *bare) if secret))


def _of_changes(plan: Plan) -> set[str]:
    requests = [request for change in plan.changes if isinstance(change, HttpChange) for request in
                (change.make, change.undo)]  # fmt: skip
    return {variable for request in requests for variable in request.header_env.values()}


def _texts(value: object, *, but: re.Pattern[str] | None = None) -> Iterator[str]:
    """Give every text within a JSON value, but of members with such names."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            if but is None or not but.fullmatch(name):
                yield from _texts(part, but=but)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part, but=but)
