"""Made-up gateways, scraped well and badly: every increase is right, or less than the truth, or said to be unsure."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from unittest import mock

import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from thoroughness import examples

from soaklib.analysis.measures import counters
from soaklib.analysis.sources.samples import SAMPLES_SCHEMA, read_exposition, samples_frame
from soaklib.errors import ExpositionError
from soaklib.exposition.ending import Endings, Wholeness
from soaklib.records import Scrape
from soaklib.runner.scraped import judge_whole, read_scrape

START = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
START_US = round(START.timestamp() * 1e6)
SERIES = ('a_total{t="x"}', 'a_total{t="y"}', 'h_bucket{le="1"}', 'h_bucket{le="+Inf"}', "h_count", "z_total")
TYPES = {"a_total": "a counter", "h_bucket": "h histogram", "z_total": "z counter"}


@dataclass
class World:
    """What a gateway counted, and how its scrapes went."""

    texts: list  # bytes, one a minute
    truth: dict  # series -> what all processes counted between the first and the last scrape
    known: dict  # series -> the same, up to the last whole scrape


def text_of(values, *, started, openmetrics, respelt):
    """Write a text."""
    lines = [] if started is None else [f"process_start_time_seconds {started}"]
    for series in SERIES:
        family = series.partition("{")[0]
        if family in TYPES and f"# TYPE {TYPES[family]}" not in lines:
            lines.append(f"# TYPE {TYPES[family]}")
        name = series.replace('le="1"', 'le="1.0"') if respelt else series
        lines.append(f"{name} {values[series]}")
    return "\n".join([*lines, *(["# EOF"] if openmetrics else []), ""]).encode()


@st.composite
def worlds(draw, *, in_turn=False, restarts=True, cut=True):
    """Draw a gateway of one or two processes, its restarts, and a scrape that is cut at any byte."""
    size = draw(st.integers(3, 6))
    tells, openmetrics = draw(st.booleans()), draw(st.booleans())
    begun = START.timestamp() - 7_200
    number = st.integers(0, 1_200)
    standing = [{series: draw(number) for series in SERIES} for _ in range(1 + in_turn)]
    started = [round(begun), round(begun) + 90]
    if in_turn and not tells:  # else nothing at all can tell that there are two
        assume(any(standing[0][one] > standing[1][one] + 900 for one in SERIES))
    truth, known, texts = dict.fromkeys(SERIES, 0), {}, []
    hit = draw(st.integers(0, size - 1)) if cut else None
    for minute in range(size):
        which = minute % (1 + in_turn)
        _count(draw, minute, standing, truth)
        if restarts and not in_turn and minute and draw(st.integers(0, 3)) == 0:
            standing[0] = _anew(draw, standing[0], truth, tells=tells)
            started[0] = round(START.timestamp()) + 60 * minute - 5
        begun = started[which] if tells else None
        text = text_of(standing[which], started=begun, openmetrics=openmetrics, respelt=draw(st.booleans()))
        if minute == hit:
            text = text[: draw(st.integers(1, len(text)))]
        elif not in_turn:  # what the process that did not answer counted is not seen yet
            known = dict(truth)
        texts.append(text)
    return World(texts, truth, known)


def _count(draw, minute, standing, truth):
    """Let every process count, but before the first scrape."""
    for process in standing if minute else ():
        for series in SERIES:
            grown = draw(st.integers(0, 150))
            process[series] += grown
            truth[series] += grown


def _anew(draw, before, truth, *, tells):
    """Give the counters of a process that was started since the last scrape."""
    fresh = {series: draw(st.integers(0, 300)) for series in SERIES}
    if not tells:  # a restart after which every counter is higher than before cannot be told
        assume(any(fresh[one] < before[one] for one in SERIES))
    for series in SERIES:
        truth[series] += fresh[series]
    return fresh


def frame_of(texts):
    """Read texts that nobody watched over."""
    frames = [pl.DataFrame(schema=SAMPLES_SCHEMA)]
    for minute, text in enumerate(texts):
        try:
            frames.append(read_exposition(text, at=START + dt.timedelta(minutes=minute)))
        except ExpositionError:  # nothing of it is a sample: a failed scrape
            continue
    return pl.concat(frames)


def recorded(texts):
    """Read texts as a run records them."""
    endings, wholeness, samples = Endings(), Wholeness(), []
    for minute, text in enumerate(texts):
        if endings.cut(text):
            continue
        scrape = Scrape(minute * 60_000_000, "metrics", 200, ok=False, duration_us=1, size_bytes=1, detail=None)
        samples += judge_whole(read_scrape(scrape, text), text, wholeness).samples
    return samples_frame(
        [START_US + one.at_us for one in samples], [one.metric for one in samples], [one.labels for one in samples],
        [one.value for one in samples],
    )  # fmt: skip


def by_series(frame, column):
    """Give the values of a column by series, spelt as in ``SERIES``."""
    values = {}
    for metric, labels, value in frame.select("metric", "labels", column).iter_rows():
        inside = ",".join(f'{one["key"]}="{one["value"].replace("1.0", "1")}"' for one in labels)
        values.setdefault(metric + (f"{{{inside}}}" if inside else ""), []).append(value)
    return values


def told_of(frame):
    """Give what ``increase_doubts`` and ``increase`` do, which choose from one pairing of the samples; made once."""
    paired = counters._increases(frame, None)
    with mock.patch.object(counters, "_increases", return_value=paired):
        return counters.increase_doubts(frame), counters.increase(frame)


def check_both_ways(world):
    """Hold what is read by itself, and what a run records of it, to the truth; once where that is the same."""
    read, kept = frame_of(world.texts), recorded(world.texts)
    check(world, read)
    if not kept.equals(read):
        check(world, kept)


def check(world, frame):
    """Hold the increase of every series to the truth, unless it is doubted."""
    doubts, increases = told_of(frame)
    doubted, counted = by_series(doubts, "doubt"), by_series(increases, "increase")
    for series in SERIES:
        if series in doubted:
            continue
        total = sum(value for value in counted.get(series, []) if value is not None)
        least = world.known.get(series, 0) if series in counted and frame["at"].min() == START else 0
        assert least <= total <= world.truth[series], (series, total, least, world.truth[series])


EXAMPLES = settings(deadline=None, derandomize=True, max_examples=examples(60))


@EXAMPLES
@given(worlds(restarts=False, cut=False))
def test_whole_texts_of_one_process(world):
    """Nothing is doubted, and every increase is the truth, however bounds are spelt."""
    doubts, increases = told_of(frame_of(world.texts))
    assert doubts.filter(pl.col("doubt") != "cut_number").is_empty()
    counted = by_series(increases, "increase")
    assert {series: sum(counted[series]) for series in SERIES} == world.truth


@EXAMPLES
@given(worlds(cut=False))
def test_restarts(world):
    """What is counted is at most the truth; where a restart may have hidden something, it is doubted."""
    check(world, frame_of(world.texts))


@EXAMPLES
@given(worlds(restarts=False))
def test_a_text_cut_at_any_byte(world):
    """Read by itself, or as a run records it: an increase that the cut makes wrong is doubted."""
    check_both_ways(world)


@EXAMPLES
@given(worlds())
def test_cuts_and_restarts_together(world):
    """Neither hides the other."""
    check_both_ways(world)


@EXAMPLES
@given(worlds(in_turn=True))
def test_two_processes_in_turn(world):
    """Each is counted for itself where start times tell, and all is doubted where not."""
    check_both_ways(world)
