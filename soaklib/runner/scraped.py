"""The text of a scrape of /metrics into samples, and what its row of ``scrapes`` says of it: by the recorder's process.

A text that is cut short (:mod:`soaklib.exposition.ending`) is a failed scrape, whatever it holds: what it lacks would
seem to be gone. One that lacks families elsewhere is kept, and its row says which.

Some thousand series take a fifth of a second to read, for which no call could leave if the runner did it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from soaklib.errors import ExpositionError
from soaklib.exposition.text import parse_exposition
from soaklib.records import Sample

if TYPE_CHECKING:
    from soaklib.exposition.ending import Wholeness
    from soaklib.records import Scrape

__all__ = ["Scraped", "judge_whole", "read_scrape"]

_MOST_WORDS: Final = 200


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
    """

    scrape: Scrape
    samples: list[Sample]
    fault: str | None = None


def read_scrape(scrape: Scrape, text: bytes) -> Scraped:
    """Read the text of a scrape that was answered with 200; whatever becomes of it is in the row."""
    try:
        exposed = parse_exposition(text).samples
    except ExpositionError as exc:
        return Scraped(scrape._replace(ok=False, detail=str(exc)), [])
    except Exception as exc:  # noqa: BLE001 - whatever a gateway's text does to the reader, the recorder goes on
        fault = f"the reader of /metrics failed: {exc!r}"[:_MOST_WORDS]
        return Scraped(scrape._replace(ok=False, detail=fault), [], fault)
    samples = [Sample(scrape.at_us, sample.metric, sample.labels, sample.value) for sample in exposed]
    return Scraped(scrape._replace(ok=bool(samples), detail=None if samples else "no samples"), samples)


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
