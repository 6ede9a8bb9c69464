r"""One line of metrics text into one sample, however it is written.

Three readers stand behind each other:

1. the grammar of a sample line in the Prometheus text format 0.0.4 and in OpenMetrics, as one expression: what
   prometheus-client reads, at a third of its cost;
2. prometheus-client's parser, for what is legal but unusual: blanks around braces, quoted UTF-8 names;
3. mending, for what no strict parser takes but that can be read in one way only:

======================= =================================== =====================================
defect                  as exposed                          as read
======================= =================================== =====================================
label_outside_braces    ``a_bucket{x="y"}le="25" 5``        ``a_bucket{le="25",x="y"} 5``
unescaped_quote         ``a{q="say "hi""} 1``               ``a{q="say \"hi\""} 1``
invalid_escape          ``a{path="C:\dir\"} 1``             ``a{path="C:\\dir\\"} 1``
missing_comma           ``a{x="1" y="2"} 1``                ``a{x="1",y="2"} 1``
======================= =================================== =====================================

A label value that holds ``",name="`` unescaped is the one case that reads as two labels; nothing in the line tells.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from sys import intern
from typing import Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["EXEMPLAR", "LINE_LIMIT", "TIMESTAMP", "VALUE", "Defect", "Labels", "SampleLine", "read_line", "write_line"]

Labels = tuple[tuple[str, str], ...]
"""(key, value) pairs sorted by key."""

LINE_LIMIT: Final = 8_192
"""Characters up to which an irregular line is looked into; keeps hostile text from costing quadratic time."""

_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_KEY: Final = r"[a-zA-Z_][a-zA-Z0-9_]*"
_LABEL: Final = rf'{_KEY}="[^"\\]*(?:\\[\\n"][^"\\]*)*"'
VALUE: Final = (
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?"
    r"|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])"
)
TIMESTAMP: Final = r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?"
EXEMPLAR: Final = r"(?:[ \t]+# .*)?"
"""A value, a timestamp, and what may follow them, as expressions."""

_PLAIN: Final = re.compile(
    rf"({_NAME})(?:\{{((?:{_LABEL}(?:,|(?=\}})))*+)\}})?[ \t]+({VALUE})(?:[ \t]+({TIMESTAMP}))?{EXEMPLAR}",
)
_UNUSUAL: Final = re.compile(
    rf'((?:{_NAME}[ \t]*)?\{{[^\\]*(?:\\[\\n"][^\\]*)*\}})[ \t]*({VALUE})(?:[ \t]+({TIMESTAMP}))?{EXEMPLAR}',
)
_PAIR: Final = re.compile(rf'({_KEY})="([^"\\]*(?:\\[\\n"][^"\\]*)*)"')
_ESCAPE: Final = re.compile(r'\\([\\n"])')

_IRREGULAR_NAME: Final = re.compile(rf"({_NAME})(?=[ \t{{]|$)[ \t]*")
_IRREGULAR_EXEMPLAR: Final = re.compile(r'[ \t]+# \{[^{}]*\}[ \t][^"{}]*$')
_IRREGULAR_LABELS: Final = re.compile(r'(\{.*[}"])([^{}"]*)')
_BRACES: Final = re.compile(rf"\{{(.*)\}},?((?:{_LABEL},?)*)")
_BETWEEN_LABELS: Final = re.compile(rf'"([ \t]*,[ \t]*|[ \t]+)(?={_KEY}[ \t]*=[ \t]*")')
_OPEN_PAIR: Final = re.compile(rf'[ \t]*({_KEY})[ \t]*=[ \t]*"(.*)')
_WHOLE_VALUE: Final = re.compile(VALUE)
_WHOLE_TIMESTAMP: Final = re.compile(TIMESTAMP)


class Defect(StrEnum):
    """What a strict parser would refuse a line or a text for: the vocabulary of repairs."""

    # of the whole text
    ENCODING = "encoding"  #: UTF-16, or bytes that are not UTF-8
    BYTE_ORDER_MARK = "byte_order_mark"
    CARRIAGE_RETURN = "carriage_return"  #: lines end in CR LF
    NO_FINAL_NEWLINE = "no_final_newline"  #: the last line may be cut short
    NO_EOF = "no_eof"  #: OpenMetrics without ``# EOF``: the text is cut short
    # of metadata, which samples do not depend on
    REPEATED_METADATA = "repeated_metadata"
    MALFORMED_METADATA = "malformed_metadata"
    # of a line that is mended
    LABEL_OUTSIDE_BRACES = "label_outside_braces"
    UNESCAPED_QUOTE = "unescaped_quote"
    INVALID_ESCAPE = "invalid_escape"
    MISSING_COMMA = "missing_comma"
    # of a line that is read, and of which something is left aside or put in other words
    TIMESTAMP_UNIT = (
        "timestamp_unit"  #: of another unit than the format's: the value is read, without a time of its own
    )
    EXEMPLAR = "exemplar"  #: in a text that is not OpenMetrics: left out
    START_TIMESTAMP = "start_timestamp"  #: OpenMetrics 2.0: read as ``_created``
    COMPOSITE_VALUE = "composite_value"  #: OpenMetrics 2.0: read as ``_count``, ``_sum`` and so on
    NATIVE_HISTOGRAM = "native_histogram"  #: its own buckets are left out; count, sum and classic buckets are read
    # of a line that is skipped
    BAD_NAME = "bad_name"
    BAD_LABELS = "bad_labels"
    NO_VALUE = "no_value"
    BAD_VALUE = "bad_value"
    BAD_TIMESTAMP = "bad_timestamp"  #: a number that is no time costs the time alone, what is no number the line
    DUPLICATE_LABEL = "duplicate_label"
    DUPLICATE_SERIES = "duplicate_series"
    LINE_TOO_LONG = "line_too_long"


class SampleLine(NamedTuple):
    """A line as read; ``timestamp`` is its text, because its unit depends on the rest of the exposition."""

    metric: str
    labels: Labels
    value: float
    timestamp: str | None
    defects: tuple[Defect, ...] = ()


def read_line(line: str) -> SampleLine | Defect:
    """Read a sample line without surrounding blanks; a defect is why it cannot be read."""
    if plain := _PLAIN.fullmatch(line):
        labels = _plain_labels(plain[2]) if plain[2] else ()
        if labels is None:
            return Defect.DUPLICATE_LABEL
        return SampleLine(intern(plain[1]), labels, float(plain[3]), plain[4])
    if len(line) > LINE_LIMIT:
        return Defect.LINE_TOO_LONG
    if (unusual := _UNUSUAL.fullmatch(line)) and (series := _client_series(unusual[1])):
        return SampleLine(*series, float(unusual[2]), unusual[3])
    return _mend_line(line)


def write_line(line: SampleLine) -> str:
    """Write a sample line in the Prometheus text format."""
    labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in line.labels)
    stamp = "" if line.timestamp is None else f" {line.timestamp}"
    return f"{line.metric}{'{' if labels else ''}{labels}{'}' if labels else ''} {line.value!r}{stamp}"


@lru_cache(maxsize=16_384)  # the next scrape has the same series
def _plain_labels(text: str) -> Labels | None:
    """Give the labels of well-formed text, None when a key comes twice."""
    pairs = [(intern(key), intern(value)) for key, value in _PAIR.findall(text)]  # thousands of series share them
    if "\\" in text:
        pairs = [(key, _unescaped(value)) for key, value in pairs]
    return _sorted(pairs)


def _sorted(pairs: list[tuple[str, str]]) -> Labels | None:
    return tuple(sorted(pairs)) if len(dict(pairs)) == len(pairs) else None


def _client_series(head: str) -> tuple[str, Labels] | None:
    """Read ``name{...}`` with prometheus-client; the value is left to us, as the client takes text after it."""
    try:
        (family,) = text_string_to_metric_families(f"{head} 0")
    except (ValueError, IndexError):  # IndexError: braces with a name and nothing else in quotes
        return None
    (sample,) = family.samples
    return sample.name, tuple(sorted(sample.labels.items()))


def _mend_line(line: str) -> SampleLine | Defect:
    named = _IRREGULAR_NAME.match(line)
    if named is None:
        return Defect.BAD_LABELS if line.startswith("{") else Defect.BAD_NAME
    rest = _IRREGULAR_EXEMPLAR.sub("", line[named.end() :])
    labels: Labels = ()
    defects: tuple[Defect, ...] = ()
    if rest.startswith("{"):
        split = _IRREGULAR_LABELS.fullmatch(rest)
        mended = _mend_labels(split[1]) if split else Defect.BAD_LABELS
        if split is None or isinstance(mended, Defect):
            return mended if isinstance(mended, Defect) else Defect.BAD_LABELS
        labels, defects = mended
        rest = split[2]
    if not rest.strip():
        return Defect.NO_VALUE
    value, *stamps = rest.split()
    if not _WHOLE_VALUE.fullmatch(value):
        return Defect.BAD_VALUE
    if len(stamps) > 1 or not all(map(_WHOLE_TIMESTAMP.fullmatch, stamps)):
        return Defect.BAD_TIMESTAMP
    return SampleLine(named[1], labels, float(value), stamps[0] if stamps else None, defects)


def _mend_labels(text: str) -> tuple[Labels, tuple[Defect, ...]] | Defect:
    braces = _BRACES.fullmatch(text)
    if braces is None:
        return Defect.BAD_LABELS
    inside, outside = braces.groups()
    defects = {Defect.LABEL_OUTSIDE_BRACES} if outside else set()
    pairs = [(key, _unescaped(value)) for key, value in _PAIR.findall(outside)]
    inside = inside.strip(" \t").removesuffix(",").rstrip(" \t")
    if inside:
        if not inside.endswith('"'):
            return Defect.BAD_LABELS
        pieces = _BETWEEN_LABELS.split(inside[:-1])
        if not all("," in separator for separator in pieces[1::2]):
            defects.add(Defect.MISSING_COMMA)
        for piece in pieces[::2]:
            pair = _OPEN_PAIR.fullmatch(piece)
            if pair is None:
                return Defect.BAD_LABELS
            key, raw = pair.groups()
            unescaped = _ESCAPE.sub("", raw)
            if '"' in unescaped:
                defects.add(Defect.UNESCAPED_QUOTE)
            if "\\" in unescaped:
                defects.add(Defect.INVALID_ESCAPE)
            pairs.append((key, _unescaped(raw)))
    labels = _sorted(pairs)
    return Defect.DUPLICATE_LABEL if labels is None else (labels, tuple(sorted(defects)))


def _unescaped(raw: str) -> str:
    return _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], raw)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
