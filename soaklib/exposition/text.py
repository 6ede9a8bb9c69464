"""Metrics text into samples, line by line: a malformed line costs that line and nothing else.

How one line is read and mended is in :mod:`soaklib.exposition.line`; here is what concerns the whole text: its
encoding, its line ends, whether it is OpenMetrics, series that come twice, and whether it is an exposition at all. What
was mended, skipped or ignored is in the list of repairs, one row a defect; nothing is silent. Names and values stay as
exposed. Metadata (HELP, TYPE, UNIT) and exemplars are not part of a sample and are left aside.

The text is OpenMetrics, whose timestamps are seconds, if it says so in a way that only OpenMetrics has (``# EOF``,
``# UNIT``, a type of its own, an exemplar); a timestamp with a fraction is one in seconds too. All others are
milliseconds.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from soaklib.errors import ExpositionError
from soaklib.exposition.line import Defect, Labels, read_line, write_line

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
    reading = _Reading(openmetrics=any(map(_is_openmetrics, lines)))
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            reading.add_metadata(number, line)
        elif line:
            reading.add_sample(number, line)
    if reading.n_readable < reading.n_lines * READABLE_SHARE_MIN:
        raise ExpositionError(_refusal(lines, reading))
    if reading.openmetrics and "# EOF" not in lines:
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
        timestamp_us = None
        if not isinstance(read, Defect) and read.timestamp is not None:
            timestamp_us = _timestamp_us(read.timestamp, openmetrics=self.openmetrics)
            if timestamp_us is None:
                read = Defect.BAD_TIMESTAMP
        if isinstance(read, Defect):
            self.repairs.append(Repair(number, read, _bounded(line), None))
            return
        self.n_readable += 1
        series = (read.metric, read.labels, timestamp_us)
        if series in self._series:
            self.repairs.append(Repair(number, Defect.DUPLICATE_SERIES, _bounded(line), None))
            return
        self._series.add(series)
        self.samples.append(Exposed(read.metric, read.labels, read.value, timestamp_us))
        if read.defects:
            result = _bounded(write_line(read))
            self.repairs.extend(Repair(number, defect, _bounded(line), result) for defect in read.defects)


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
        return " # {" in line and _EXEMPLAR.search(line) is not None
    metadata = _METADATA.fullmatch(line)
    return line == "# EOF" or (
        metadata is not None
        and (metadata[1] == "UNIT" or (metadata[1] == "TYPE" and metadata[3] in _OPENMETRICS_TYPES))
    )


def _timestamp_us(text: str, *, openmetrics: bool) -> int | None:
    timestamp_us = round(float(text) * 1e6) if openmetrics or "." in text else int(text) * 1000
    return timestamp_us if _US_MIN <= timestamp_us <= _US_MAX else None


def _bounded(line: str) -> str:
    return _SURROGATE.sub("\ufffd", line[:TEXT_LIMIT])
