"""Metrics text into samples, line by line: a malformed line costs that line and nothing else.

How one line is read and mended is in :mod:`soaklib.exposition.line`; here is what concerns the whole text: its
encoding, its line ends, whether it is OpenMetrics, series that come twice, and whether it is an exposition at all. What
was mended, skipped or ignored is in the list of repairs, one row a defect; nothing is silent. Names and values stay as
exposed. Metadata (HELP, TYPE, UNIT) and exemplars are not part of a sample and are left aside.

The text is OpenMetrics, whose timestamps are seconds, if it says so in a way that only OpenMetrics has (``# EOF``,
``# UNIT``, a type of its own, an exemplar); a timestamp with a fraction or an exponent, as exporters in Go write those
of OpenMetrics, is one in seconds too. All others are milliseconds. What exporters were seen to write, and what becomes
of it:

================================================= ====================================================================
seen                                              read as
================================================= ====================================================================
types of OpenMetrics in a text of 0.0.4           names for nothing; a text without ``# EOF`` is said to lack it
milliseconds in OpenMetrics, seconds in 0.0.4,    the value, without a time of its own (``timestamp_unit``): a time that
microseconds, nanoseconds                         is no year of this century in its format's unit, and is one in another
a number that is no time in any unit              the value, without a time (``bad_timestamp``)
an exemplar in a text without ``# EOF``           left out (``exemplar``)
names and labels in UTF-8, quoted                 as they are
start timestamps, composite values, native        :mod:`soaklib.exposition.openmetrics2`
histograms of OpenMetrics 2.0
no line feed at the end, no ``# EOF``             all that there is; whether the text is cut short, others of its run
                                                  tell (:mod:`soaklib.exposition.ending`)
================================================= ====================================================================
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from soaklib.errors import ExpositionError
from soaklib.exposition.line import LINE_LIMIT, Defect, Labels, SampleLine, read_line, write_line
from soaklib.exposition.openmetrics2 import read_openmetrics2

__all__ = ["Exposed", "Exposition", "Repair", "parse_exposition"]

TEXT_LIMIT: Final = 200
"""Characters of a line that a repair keeps."""

READABLE_SHARE_MIN: Final = 0.1
"""Text of which a smaller share of lines are samples is something else that happens to hold a number."""

_METADATA: Final = re.compile(r'#[ \t]+(HELP|TYPE|UNIT)(?:[ \t]+("(?:[^"\\]|\\.)*"|[^ \t]+)(?:[ \t]+(.*))?)?')
_EXEMPLAR: Final = re.compile(r" # \{[^{}]*\} [^\"{}]*$")
_OPENMETRICS_TYPES: Final = frozenset({"gaugehistogram", "info", "stateset", "unknown"})
_TYPES: Final = _OPENMETRICS_TYPES | {"counter", "gauge", "histogram", "summary", "untyped"}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_US_MIN: Final = -62_135_596_800_000_000
_US_MAX: Final = 253_402_300_799_999_999
"""Microseconds of the years 1 and 9999, between which a datetime can say when."""

_LIKELY_S: Final = (1_000_000_000, 4_102_444_800)
"""The years 2001 to 2099: a scrape is of one of them."""

_PER_S: Final = (1, 1_000, 1_000_000, 1_000_000_000)
_MILLI: Final = 1_000


class Exposed(NamedTuple):
    """One sample as exposed.

    Attributes
    ----------
    metric
        Name with its suffix (``_bucket``, ``_sum``, ``_count``, ``_total``).
    labels
        (key, value) pairs sorted by key, unescaped.
    value
        As exposed; NaN and infinities included.
    timestamp_us
        The sample's own time, microseconds since the Unix epoch; None where the exposition gives none.
    """

    metric: str
    labels: Labels
    value: float
    timestamp_us: int | None


class Repair(NamedTuple):
    """One thing in the text that a strict parser would refuse, and what became of it.

    Attributes
    ----------
    line
        1-based line number.
    what
        The defect.
    text
        The line as it came, its first :data:`TEXT_LIMIT` characters.
    result
        The line as it was read, bounded likewise; None when it was left out.
    """

    line: int
    what: Defect
    text: str
    result: str | None


class Exposition(NamedTuple):
    """What one text held: the samples in its order, and the repairs by line."""

    samples: list[Exposed]
    repairs: list[Repair]


def parse_exposition(text: str | bytes) -> Exposition:
    """Read a metrics exposition in any condition.

    Parameters
    ----------
    text
        The body of a /metrics answer. Bytes are UTF-8, or UTF-16 when they begin with its byte order mark or with the
        zero bytes that it gives to ASCII.

    Raises
    ------
    ExpositionError
        If the text is empty, a page of markup, or hardly a line of it is a sample. Nothing else is raised, whatever the
        text.
    """
    decoded, repairs = _decode(text)
    _refuse_other_texts(decoded)
    lines, line_repairs = _split(decoded)
    telling = lines if " # {" in decoded else (line for line in lines if line.startswith("#"))
    reading = _Reading(openmetrics=any(map(_is_openmetrics, telling)))
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            reading.add_metadata(number, line)
        elif line:
            reading.add_sample(number, line)
    if reading.n_readable < reading.n_lines * READABLE_SHARE_MIN:
        raise ExpositionError(_refusal(lines, reading))
    if reading.openmetrics and "# EOF" not in lines:
        if (exemplar := next((n for n, line in enumerate(lines, 1) if _has_exemplar(line)), None)) is not None:
            line = _bounded(lines[exemplar - 1])
            line_repairs.append(Repair(exemplar, Defect.EXEMPLAR, line, "left out, here and below"))
        line_repairs.append(Repair(len(lines), Defect.NO_EOF, _bounded(lines[-1]), _bounded(lines[-1])))
    repairs = sorted([*repairs, *line_repairs, *reading.repairs], key=lambda repair: repair.line)
    return Exposition(reading.samples, repairs)


class _Reading:
    """What has been read of one text so far."""

    def __init__(self, *, openmetrics: bool) -> None:
        self.openmetrics = openmetrics
        self.samples: list[Exposed] = []
        self.repairs: list[Repair] = []
        self.n_lines = 0
        self.n_readable = 0
        self._metadata: set[tuple[str, str]] = set()
        self._series: set[tuple[str, Labels, int | None]] = set()

    def add_metadata(self, number: int, line: str) -> None:
        """Take note of HELP, TYPE and UNIT lines that a strict parser would refuse; any other comment is one."""
        metadata = _METADATA.fullmatch(line)
        if metadata is None:
            return
        word, name, text = metadata.groups()
        if name is None or (word == "TYPE" and text not in _TYPES):
            self.repairs.append(Repair(number, Defect.MALFORMED_METADATA, _bounded(line), None))
        elif (word, name) in self._metadata:
            self.repairs.append(Repair(number, Defect.REPEATED_METADATA, _bounded(line), None))
        else:
            self._metadata.add((word, name))

    def add_sample(self, number: int, line: str) -> None:
        """Read one sample line, or take note of why it cannot be read."""
        self.n_lines += 1
        read = read_line(line)
        if isinstance(read, Defect):
            parts = read_openmetrics2(line) if len(line) <= LINE_LIMIT else []
            if not parts:
                self.repairs.append(Repair(number, read, _bounded(line), None))
                return
        else:
            parts = [read]
        self.n_readable += 1
        added = [part for part in parts if self._add(number, line, part)]
        if parts[0].defects:
            result = _bounded("; ".join(map(write_line, added))) or None
            self.repairs.extend(Repair(number, defect, _bounded(line), result) for defect in parts[0].defects)

    def _add(self, number: int, line: str, read: SampleLine) -> bool:
        """Take a sample; whether there was none of its series and time yet."""
        timestamp_us, defect = None, None
        if read.timestamp is not None:
            timestamp_us, defect = _timestamp_us(read.timestamp, openmetrics=self.openmetrics)
        series = (read.metric, read.labels, timestamp_us)
        is_new = series not in self._series
        if defect is not None:
            result = _bounded(write_line(read._replace(timestamp=None))) if is_new else None
            self.repairs.append(Repair(number, defect, _bounded(line), result))
        elif not is_new:
            self.repairs.append(Repair(number, Defect.DUPLICATE_SERIES, _bounded(line), None))
        if is_new:
            self._series.add(series)
            self.samples.append(Exposed(read.metric, read.labels, read.value, timestamp_us))
        return is_new


def _decode(text: str | bytes) -> tuple[str, list[Repair]]:
    """Give text without a byte order mark; a byte that is not UTF-8 is a lone surrogate, which ``_split`` reports."""
    repairs: list[Repair] = []
    if isinstance(text, bytes):
        encoding = _utf16(text)
        if encoding is None:
            text = text.decode(errors="surrogateescape")
        else:
            text = text.decode(encoding, errors="replace")
            repairs.append(Repair(1, Defect.ENCODING, "UTF-16", "decoded"))
    if text.startswith("\ufeff"):
        text = text[1:]
        repairs.append(Repair(1, Defect.BYTE_ORDER_MARK, "U+FEFF", "left out"))
    return text, repairs


def _utf16(data: bytes) -> str | None:
    """Name the UTF-16 codec of the data, None if it is not UTF-16; the mark stays for ``_decode`` to find."""
    if data.startswith(b"\xff\xfe") or data[1:4:2] == b"\0\0":
        return "utf-16-le"
    if data.startswith(b"\xfe\xff") or data[0:3:2] == b"\0\0":
        return "utf-16-be"
    return None


def _refuse_other_texts(text: str) -> None:
    start = text.lstrip()[:60]
    if not start:
        message = (
            "the exposition is empty, which is a failed scrape and not a gateway without metrics; pass one that is not"
        )
        raise ExpositionError(message)
    if start.startswith("<"):
        message = f"the text is a page of markup that begins with {start!r}; pass the body of a /metrics answer"
        raise ExpositionError(message)


def _refusal(lines: list[str], reading: _Reading) -> str:
    first = next(line for line in lines if line and not line.startswith("#"))
    return (
        f"the text is no metrics exposition: {reading.n_readable} of its {reading.n_lines} lines are samples"
        f" and it begins with {first[:60]!r}; pass the body of a /metrics answer, or a pathlib.Path to a file of one"
    )


def _split(text: str) -> tuple[list[str], list[Repair]]:
    """Split at LF alone, as label values may hold every other separator; strip blanks, CR and lone surrogates."""
    repairs: list[Repair] = []
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    else:
        repairs.append(Repair(len(lines), Defect.NO_FINAL_NEWLINE, _bounded(lines[-1]), _bounded(lines[-1])))
    if "\r" in text:
        number = next((number for number, line in enumerate(lines, 1) if line.endswith("\r")), None)
        if number is not None:
            repairs.append(Repair(number, Defect.CARRIAGE_RETURN, "CR LF", "LF, here and below"))
    if _SURROGATE.search(text):
        for index, line in enumerate(lines):
            lines[index] = _SURROGATE.sub("\ufffd", line)
            if lines[index] != line:
                repairs.append(Repair(index + 1, Defect.ENCODING, _bounded(line), _bounded(lines[index])))
    return [line.strip(" \t\r") for line in lines], repairs


def _is_openmetrics(line: str) -> bool:
    if not line.startswith("#"):
        return _has_exemplar(line)
    metadata = _METADATA.fullmatch(line)
    return line == "# EOF" or (
        metadata is not None
        and (metadata[1] == "UNIT" or (metadata[1] == "TYPE" and metadata[3] in _OPENMETRICS_TYPES))
    )


def _has_exemplar(line: str) -> bool:
    return " # {" in line and not line.startswith("#") and _EXEMPLAR.search(line) is not None


def _timestamp_us(text: str, *, openmetrics: bool) -> tuple[int | None, Defect | None]:
    """Give a timestamp; where it is none of its format's unit there is none, and why."""
    per_s = 1 if openmetrics or not text.lstrip("+-").isdigit() else _MILLI  # milliseconds are whole numbers
    timestamp_us = round(float(text) * 1e6) if per_s == 1 else int(text) * 1000
    if not _is_likely(timestamp_us / 1e6) and any(_is_likely(float(text) / other) for other in _PER_S):
        return None, Defect.TIMESTAMP_UNIT
    return (timestamp_us, None) if _US_MIN <= timestamp_us <= _US_MAX else (None, Defect.BAD_TIMESTAMP)


def _is_likely(time_s: float) -> bool:
    return _LIKELY_S[0] <= time_s < _LIKELY_S[1]


def _bounded(line: str) -> str:
    return _SURROGATE.sub("\ufffd", line[:TEXT_LIMIT])
