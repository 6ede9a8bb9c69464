"""Whether a text came whole: told by how it ends, by its format and by the text before it of the same gateway.

=================================================== ================================================================
what happened to a text                             told by
=================================================== ================================================================
it is shorter than announced, or the connection     the transport, which has no answer then: a failed scrape
closed early
OpenMetrics cut anywhere                            no ``# EOF``, where its content type or a text before promises one
any text cut within a line                          no line feed at the end, where the text before has one, and a series
                                                    of that text is missing or is the last line
any text cut between two families                   the families after its last one are missing, which the text before
                                                    has
a text that lacks families in its middle            said, and read: an exporter behind the gateway may have failed
a gateway that never ends its texts, or ends them   nothing is missing: it is whole
otherwise when there is more to say
a gateway that writes otherwise from now on         the third such text in a row is whole
a gateway that began anew                           a start time that moved or a counter that fell: nothing is missing
=================================================== ================================================================
"""

from __future__ import annotations

import re
from operator import lt
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soaklib.exposition.line import Labels

__all__ = ["NO_EOF", "STARTS", "Endings", "Wholeness", "ends_in_eof"]

STARTS: Final = ("gateway_process_start_time_seconds", "process_start_time_seconds")
"""Metrics that tell when a process began; the first is the gateway's own word, where it has both."""

HABIT: Final = 3
"""So many texts in a row that look cut short are how the gateway writes them."""

NO_EOF: Final = "cut short: OpenMetrics without # EOF"
_NO_LINE_FEED: Final = "cut short: its last line does not end, as that of the scrape before does"
_TAIL_BYTES: Final = 64
_MOST_NAMED: Final = 3
_COUNTED: Final = ("_total", "_count", "_sum", "_bucket")
_DECLARED: Final = re.compile(rb"#[ \t]+(?:TYPE|HELP)[ \t]+([^ \t\r\n]+)")


class OneSample(Protocol):
    """A sample, of a text or of a run."""

    @property
    def metric(self) -> str:
        """Its name."""

    @property
    def labels(self) -> Labels:
        """Its labels."""

    @property
    def value(self) -> float:
        """Its value."""


def ends_in_eof(data: bytes) -> bool:
    """Whether the last line of a text, in UTF-8 or UTF-16, is ``# EOF``."""
    return _tail(data).rstrip().endswith(b"# EOF")


def _tail(data: bytes) -> bytes:
    return data[-_TAIL_BYTES:].replace(b"\0", b"")


class Endings:
    """Tells OpenMetrics that lacks its end, as texts come one after the other: by a look at the last bytes alone."""

    def __init__(self) -> None:
        self._expected: bool | None = None
        self._in_a_row = 0

    def cut(self, data: bytes, content_type: str | None = None) -> str | None:
        """Give why a text is cut short; None if it is whole as far as its end can tell.

        Parameters
        ----------
        data
            The text.
        content_type
            What the answer says that it is.
        """
        has_eof = ends_in_eof(data)
        promised = "openmetrics-text" in (content_type or "").lower()
        is_cut = not has_eof and (promised if self._expected is None else self._expected)
        self._in_a_row = self._in_a_row + 1 if is_cut else 0
        if is_cut and self._in_a_row < HABIT:
            return NO_EOF
        if has_eof or is_cut:
            self._expected = has_eof
        return None


class _Seen(NamedTuple):
    """What one text had, in its order."""

    families: list[str]
    series: list[tuple[str, Labels]]
    values: list[float]
    started: list[float]
    line_feed: bool


class Judged(NamedTuple):
    """Why a text is cut short, else which families it lacks that the one before has; None where nothing is to say."""

    cut: str | None
    lacks: str | None


class Wholeness:
    """Compares each text of a gateway with the one before."""

    def __init__(self) -> None:
        self._before: _Seen | None = None
        self._in_a_row = 0

    def judged(self, data: bytes, samples: Sequence[OneSample]) -> Judged:
        """Give what is to say of a text that was read."""
        now, before = _seen(data, samples), self._before
        if before is None or _is_anew(before, now):
            self._before, self._in_a_row = now, 0
            return Judged(None, None)
        there = set(now.families)
        missing = [name for name in before.families if name not in there]
        cut = None
        if missing and there.isdisjoint(before.families[before.families.index(missing[0]) :]):
            cut = f"cut short: it ends before {_few(missing)}, which the scrape before has"
        elif before.line_feed and not now.line_feed and _lacks_something(before, now):
            cut = _NO_LINE_FEED
        self._in_a_row = self._in_a_row + 1 if cut else 0
        if cut and self._in_a_row < HABIT:
            return Judged(cut, None)
        self._before, self._in_a_row = now, 0
        return Judged(None, f"lacks {_few(missing)}, which the scrape before has" if missing else None)


def _seen(data: bytes, samples: Sequence[OneSample]) -> _Seen:
    declared = [
        found[1].decode("utf-8", "replace")
        for found in _DECLARED.finditer(data)
        if not data[data.rfind(b"\n", 0, found.start()) + 1 : found.start()].strip(b" \t")
    ]
    return _Seen(
        list(dict.fromkeys(declared or (sample.metric for sample in samples))),
        [(sample.metric, sample.labels) for sample in samples],
        [sample.value for sample in samples],
        [sample.value for sample in samples if sample.metric in STARTS],
        _tail(data).endswith(b"\n"),
    )


def _is_anew(before: _Seen, now: _Seen) -> bool:
    """Whether the gateway began anew; the last line does not tell, since its number may be cut."""
    if before.started and now.started:
        return before.started != now.started
    was = before.values
    if before.series != now.series:  # most texts have the series of the one before, in their order
        values = dict(zip(before.series, before.values, strict=True))
        was = [values.get(series, value) for series, value in zip(now.series, now.values, strict=True)]
    if not any(map(lt, now.values, was)):
        return False
    return any(
        value < earlier and series[0].endswith(_COUNTED) and (now.line_feed or series != now.series[-1])
        for series, value, earlier in zip(now.series, now.values, was, strict=True)
    )


def _lacks_something(before: _Seen, now: _Seen) -> bool:
    """Whether a series of the text before is missing, or is the last line and so may lack digits."""
    return any(last in before.series for last in now.series[-1:]) or not set(before.series) <= set(now.series)


def _few(names: list[str]) -> str:
    further = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {further} more" if further > 0 else "")
