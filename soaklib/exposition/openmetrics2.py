"""What only a line of OpenMetrics 2.0 has: a start timestamp, and a histogram or summary as one composite value.

====================================================== ==============================================================
as exposed                                             as read
====================================================== ==============================================================
``c{a="b"} 3 st@1520430000``                           ``c{a="b"} 3`` and ``c_created{a="b"} 1520430000``
``h {count:2,sum:3.5,bucket:[0.1:1,+Inf:2]}``          ``h_count``, ``h_sum`` and an ``h_bucket`` for each ``le``
``h {gcount:2,gsum:3.5,bucket:[+Inf:2]}``              ``h_gcount``, ``h_gsum`` and the buckets
``s {count:2,sum:3.5,quantile:[0.5:1]}``               ``s_count``, ``s_sum`` and an ``s`` for each ``quantile``
``n {count:2,sum:3.5,schema:3,positive_spans:[...]}``  count and sum; a repair names the native histogram's own buckets
====================================================== ==============================================================

So all is as OpenMetrics 1.0 has it, which every reader of samples knows.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from soaklib.exposition.line import TIMESTAMP, VALUE, Defect, SampleLine, read_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soaklib.exposition.line import Labels

__all__ = ["read_openmetrics2"]

_LINE: Final = re.compile(rf"(.*?)(?:[ \t]+st@({TIMESTAMP}))?(?:[ \t]+# \{{.*)?")
_LIST: Final = rf"\[(?:{VALUE}:{VALUE}(?:,{VALUE}:{VALUE})*)?\]"
_FIELD: Final = rf"[a-z_]+:(?:{VALUE}|{_LIST}|\[[0-9:,.eE+-]*\])"
_COMPOSITE: Final = re.compile(rf"(.*?)[ \t]+\{{({_FIELD}(?:,{_FIELD})*)\}}(?:[ \t]+({TIMESTAMP}))?")
_FIELDS: Final = re.compile(r"([a-z_]+):(\[[^\]]*\]|[^,]+)")
_PARTS: Final = re.compile(rf"({VALUE}):({VALUE})")
_SINGLE: Final = frozenset({"count", "sum", "gcount", "gsum"})
_LISTS: Final = {"bucket": ("_bucket", "le"), "quantile": ("", "quantile")}


def read_openmetrics2(line: str) -> list[SampleLine]:
    """Read a line that no older format has into one or more samples; none if it is not of OpenMetrics 2.0 either.

    The first sample carries the defects: what was made of the line.
    """
    split = _LINE.fullmatch(line)
    if split is None:
        return []
    rest, started = split.groups()
    if composite := _COMPOSITE.fullmatch(rest):
        head, fields, timestamp = composite.groups()
        read = read_line(f"{head} 0")
        if isinstance(read, Defect):
            return []
        samples = list(_parts(read.metric, read.labels, fields, timestamp))
        defects = [Defect.COMPOSITE_VALUE]
        if any(name not in _SINGLE and name not in _LISTS for name, _ in _FIELDS.findall(fields)):
            defects.append(Defect.NATIVE_HISTOGRAM)
    else:
        read = read_line(rest) if started is not None else Defect.BAD_VALUE
        if isinstance(read, Defect):
            return []
        samples, defects = [read], list(read.defects)
    if started is not None:
        created = f"{read.metric.removesuffix('_total')}_created"
        samples.append(SampleLine(created, read.labels, float(started), samples[0].timestamp if samples else None))
        defects.append(Defect.START_TIMESTAMP)
    return [samples[0]._replace(defects=tuple(defects)), *samples[1:]] if samples else []


def _parts(name: str, labels: Labels, fields: str, timestamp: str | None) -> Iterator[SampleLine]:
    for field, value in _FIELDS.findall(fields):
        if field in _SINGLE:
            yield SampleLine(f"{name}_{field}", labels, float(value), timestamp)
        elif field in _LISTS:
            suffix, key = _LISTS[field]
            for bound, number in _PARTS.findall(value):
                yield SampleLine(name + suffix, tuple(sorted([*labels, (key, bound)])), float(number), timestamp)
