"""The text of a scrape of /metrics into samples, and what its row of ``scrapes`` says of it: by the recorder's process.

A text that is cut short (:mod:`soaklib.exposition.ending`) is a failed scrape, whatever it holds: what it lacks would
seem to be gone. One that lacks families elsewhere is kept, and its row says which. Of a series that comes at several
times in one text the latest sample is read: a scrape is of one moment. What is left out is noted, each kind once.

Some thousand series take a fifth of a second to read, for which no call could leave if the runner did it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.errors import ExpositionError
from soaklib.exposition.line import Defect
from soaklib.exposition.text import parse_exposition
from soaklib.records import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soaklib.exposition.ending import Wholeness
    from soaklib.exposition.line import Labels
    from soaklib.exposition.text import Exposed, Repair
    from soaklib.records import Scrape

__all__ = ["Scraped", "judge_whole", "read_scrape"]

_MOST_WORDS: Final = 200
_SEVERAL_TIMES: Final = "several_times"
_OF_METADATA: Final = (Defect.REPEATED_METADATA, Defect.MALFORMED_METADATA)
_IN_PART: Final = {
    Defect.NATIVE_HISTOGRAM: "the buckets of a native histogram are left out",
    Defect.EXEMPLAR: "an exemplar is left out",
}
"""What a line that is read loses."""


class Scraped(NamedTuple):
    """A scrape as read.

    Attributes
    ----------
    scrape
        Its row, with ``ok`` and ``detail`` filled in.
    samples
        The rows of ``samples``; none when the text could not be read.
    fault
        What went wrong that is no fault of the text; None otherwise.
    left_out
        What of the text is in no sample: kind -> the first of it, in words.
    """

    scrape: Scrape
    samples: list[Sample]
    fault: str | None = None
    left_out: tuple[tuple[str, str], ...] = ()


def read_scrape(scrape: Scrape, text: bytes) -> Scraped:
    """Read the text of a scrape that was answered with 200; whatever becomes of it is in the row."""
    try:
        exposed, repairs = parse_exposition(text)
    except ExpositionError as exc:
        return Scraped(scrape._replace(ok=False, detail=str(exc)), [])
    except Exception as exc:  # noqa: BLE001 - whatever a gateway's text does to the reader, the recorder goes on
        fault = f"the reader of /metrics failed: {exc!r}"[:_MOST_WORDS]
        return Scraped(scrape._replace(ok=False, detail=fault), [], fault)
    left_out = dict(_left_out(repairs))
    if any(sample.timestamp_us is not None for sample in exposed):  # else no series comes twice
        latest = _latest(exposed)
        if len(latest) < len(exposed):
            left_out[_SEVERAL_TIMES] = "of a series that comes at several times all but the latest is left out"
        exposed = latest
    samples = [Sample(scrape.at_us, sample.metric, sample.labels, sample.value) for sample in exposed]
    row = scrape._replace(ok=bool(samples), detail=None if samples else "no samples")
    return Scraped(row, samples, left_out=tuple(left_out.items()))


def _latest(exposed: Sequence[Exposed]) -> list[Exposed]:
    """Give the latest sample of each series; one without a time is of now."""
    latest: dict[tuple[str, Labels], Exposed] = {}
    for sample in exposed:
        held = latest.setdefault((sample.metric, sample.labels), sample)
        if held.timestamp_us is not None and (sample.timestamp_us is None or sample.timestamp_us > held.timestamp_us):
            latest[sample.metric, sample.labels] = sample
    return list(latest.values())


def _left_out(repairs: Sequence[Repair]) -> Iterator[tuple[str, str]]:
    """Give what lines or parts of lines are in no sample, the first of each kind."""
    said: set[Defect] = set()
    for repair in repairs:
        words = _IN_PART.get(repair.what)
        if words is None and repair.result is None and repair.what not in _OF_METADATA:
            words = f"left out ({repair.what.replace('_', ' ')})"
        if words is not None and repair.what not in said:
            said.add(repair.what)
            yield repair.what.value, f"line {repair.line}: {words}"


def judge_whole(read: Scraped, text: bytes, wholeness: Wholeness) -> Scraped:
    """Give a scrape with what the one before says of it: cut short, or lacking families that it should have."""
    if not read.scrape.ok:
        return read
    judged = wholeness.judged(text, read.samples)
    if judged.cut is not None:
        return Scraped(read.scrape._replace(ok=False, detail=judged.cut[:_MOST_WORDS]), [])
    if judged.lacks is not None:
        return read._replace(scrape=read.scrape._replace(detail=judged.lacks[:_MOST_WORDS]))
    return read
