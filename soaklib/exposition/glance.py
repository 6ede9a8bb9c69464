"""A glance at a metrics text: enough to tell whether it is one and came whole.

Whoever may not hold up its process for as long as it takes to read a text asks here; what was counted is in
:mod:`soaklib.exposition.text`. Of a text that declares its families the first sample of each is looked at, the start
times and the last sample: for 20,000 samples of one family that takes a tenth of reading them. Of others it is every
line, for nearly half.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.errors import ExpositionError
from soaklib.exposition.ending import STARTS
from soaklib.exposition.line import VALUE
from soaklib.exposition.text import READABLE_SHARE_MIN, parse_exposition

if TYPE_CHECKING:
    from soaklib.exposition.ending import Wholeness
    from soaklib.exposition.line import Labels

__all__ = ["Glance", "glance_at"]

_SAMPLE: Final = (
    rb"[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]*)[ \t]*(\{.*?\})?[ \t]*(?<=[ \t}])(%b)(?:[ \t].*)?\r?$" % VALUE.encode()
)
_LINE: Final = re.compile(rb"^" + _SAMPLE, re.MULTILINE)
_FIRST: Final = re.compile(rb"^#[ \t]+TYPE[ \t].*\n(?:#.*\n)*" + _SAMPLE, re.MULTILINE)
"""A TYPE and the sample that comes next."""

_START: Final = re.compile(rb"^(?=(?:%b)[ \t{])" % "|".join(STARTS).encode() + _SAMPLE, re.MULTILINE)
_ANY_LINE: Final = re.compile(rb"^[ \t]*[^#\s]", re.MULTILINE)


class _Glanced(NamedTuple):
    """A sample; its labels are their text, which is the same as long as the gateway writes them the same."""

    metric: str
    labels: Labels
    value: float


class Glance(NamedTuple):
    """What a glance at a text tells.

    Attributes
    ----------
    refused
        Why it is no exposition; None where it is one.
    cut
        Why it is cut short; None where it is whole.
    """

    refused: str | None
    cut: str | None


def glance_at(data: bytes, wholeness: Wholeness) -> Glance:
    """Tell whether a text is an exposition, and whether it came whole.

    Parameters
    ----------
    data
        The text.
    wholeness
        What its gateway's texts before it had.
    """
    samples = _first_and_last(data)
    if not samples:
        samples = [_glanced(found) for found in _LINE.finditer(data)]
        if len(samples) < READABLE_SHARE_MIN * sum(1 for _ in _ANY_LINE.finditer(data)) or not samples:
            try:  # it is another text, or one that is written as few are
                parse_exposition(data)
            except ExpositionError as error:
                return Glance(str(error), None)
            return Glance(None, None)
    return Glance(None, wholeness.judged(data, samples).cut)


def _first_and_last(data: bytes) -> list[_Glanced]:
    """Give start times, the first sample of each family declared, and the last of all; none where none is declared."""
    samples = [_glanced(found) for found in _FIRST.finditer(data)]
    if samples:
        samples = [*(_glanced(found) for found in _START.finditer(data)), *samples]
    end = len(data)
    while samples and end > 0:
        start = data.rfind(b"\n", 0, end) + 1
        if last := _LINE.match(data, start):
            return [*samples, _glanced(last)]
        end = start - 1
    return samples


def _glanced(found: re.Match[bytes]) -> _Glanced:
    return _Glanced(found[1].decode(), (("", (found[2] or b"").decode("utf-8", "replace")),), float(found[3]))
