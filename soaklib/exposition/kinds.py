"""What counts: told by the TYPE that a text gives a family, and by the name of a metric only where it gives none.

A counter need not end in ``_total``, and what ends so may be a gauge. A histogram's or a summary's ``_bucket``,
``_count`` and ``_sum`` count; those of a gauge histogram do not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["counts", "kinds_of"]

_TYPE: Final = re.compile(r'^[ \t]*#[ \t]+TYPE[ \t]+("(?:[^"\\]|\\.)*"|[^ \t]+)[ \t]+([a-z]+)[ \t\r]*$', re.MULTILINE)
_PARTS: Final = ("_bucket", "_count", "_sum")
_BY_NAME: Final = ("_total", *_PARTS)
_UNTOLD: Final = frozenset({"untyped", "unknown"})


def kinds_of(data: bytes) -> dict[str, str]:
    """Give family -> type of a text, both as exposed; the first TYPE of a family counts."""
    kinds: dict[str, str] = {}
    for name, kind in _TYPE.findall(data.decode(errors="replace")):
        kinds.setdefault(name.strip('"'), kind)
    return kinds


def counts(metric: str, kinds: Mapping[str, str]) -> bool:
    """Whether the samples of a metric count since a start, so that their increase is what happened.

    Parameters
    ----------
    metric
        Name with its suffix.
    kinds
        As :func:`kinds_of` gives them.
    """
    own = kinds.get(metric)
    if own is not None and own not in _UNTOLD:
        return own == "counter"
    for suffix in _PARTS:
        kind = kinds.get(metric.removesuffix(suffix)) if metric.endswith(suffix) else None
        if kind is not None and kind not in _UNTOLD:
            return kind in ("histogram", "summary")
    return metric.endswith(_BY_NAME)
