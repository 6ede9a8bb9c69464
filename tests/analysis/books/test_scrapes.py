"""What scrapes do to the books: processes in turn, series that a text lacks; each beside the loss it must not hide."""

from dataclasses import dataclass

import polars as pl
import pytest
from bookkeeping_runs import ANCHOR_US, SECOND, Miniature, calls_from, clean, found, scrapes_at, write_run

from soaklib.analysis.books.pairs import Cause
from soaklib.analysis.books.reconcile import books_balanced, reconcile
from soaklib.analysis.measures.lineage import IN_TURN
from soaklib.exposition.ending import Endings, Wholeness
from soaklib.records import Scrape, State
from soaklib.runner.scraped import Scraped, judge_whole, read_scrape


@dataclass
class Workers(Miniature):
    """Two processes: calls go to one and the other in turn, and so do scrapes; one has answered others before."""

    def counters(self, scrape):
        """Give the counters of the process that answers."""
        which = self.scrapes.index(scrape) % 2
        mine = self.but(calls=self.calls[which::2])
        values = Miniature.counters(mine, scrape)
        for key in values:
            values[key] += which * (1 if "start_time" in key[0] else 5_000)
        return values


@pytest.mark.parametrize("tells_start", [True, False])
def test_several_processes_in_turn_prove_nothing(tmp_path, tells_start):
    """The verdict is insufficient for that cause, and no call is called lost."""
    scrapes = scrapes_at(0.5, 5, 10, 15, 20, 25, 30, 35, 40, 50)
    workers = Workers(calls_from(1, 480), scrapes, tells_start=tells_start)
    with workers.write(tmp_path / "run") as run:
        assert found(reconcile(run)) == []
        verdict = books_balanced(run)
    assert (verdict.state, verdict.detail) == (State.INSUFFICIENT, IN_TURN)


def test_a_process_beside_the_first_is_no_restart(tmp_path):
    """It has run for long when it first answers: what it counted is not what was counted since."""

    @dataclass
    class Beside(Miniature):
        def counters(self, scrape):
            values = Miniature.counters(self, scrape)
            if self.scrapes.index(scrape) > 3:
                values = {key: value + 5_000 for key, value in values.items() if "start_time" not in key[0]}
                values["gateway_process_start_time_seconds", ()] = (ANCHOR_US + self.ahead_us) / 1e6 - 4_000.0
            elif ("gateway_process_start_time_seconds", ()) in values:
                values["gateway_process_start_time_seconds", ()] -= 9_000.0
            return values

    for ahead_us in (0, 7_200 * SECOND):
        beside = Beside(calls_from(1, 480), scrapes_at(0.5, 10, 20, 30, 40, 50), ahead_us=ahead_us)
        with beside.write(tmp_path / str(ahead_us)) as run:
            verdict = books_balanced(run)
        assert (verdict.state, verdict.detail) == (State.INSUFFICIENT, IN_TURN)


@dataclass
class CutNumber(Miniature):
    """The text of its fourth scrape breaks off within the last number, or within that of a counter before it."""

    is_last: bool = True

    def counters(self, scrape):
        """Put the number that is cut at the end, or something behind it."""
        key = "gateway_token_validations_total", ()
        values = Miniature.counters(self, scrape)
        values[key] = values.pop(key, 0) // (10 if self.scrapes.index(scrape) == 3 else 1)
        if not self.is_last:
            values["gateway_breaker_fastfail_total", (("tool", "gmail_send"),)] = 0
        return values


def test_a_number_cut_short_is_no_reset(tmp_path):
    """That scrape is a gap, and the next reading has what it lacks; a fall elsewhere in a text is a reset."""
    miniature = CutNumber(calls_from(1, 480), scrapes_at(0.5, 10, 20, 30, 40, 50))
    with miniature.write(tmp_path / "cut") as run:
        frame = reconcile(run)
        assert books_balanced(run).state is State.PASS
    assert found(frame) == []
    assert not frame.filter(pl.col("cause") == Cause.RESTART).height
    assert frame["end_s"].unique().sort().round().to_list() == [10.0, 20.0, 40.0, 50.0]
    with miniature.but(is_last=False).write(tmp_path / "fallen") as run:
        assert reconcile(run).filter(pl.col("cause") == Cause.RESTART).height


def test_two_restarts_are_not_several_processes(tmp_path):
    """Each begins at zero, and the books of what came after them balance."""
    restarted = clean(restarts_us=[15 * SECOND - 50_000, 35 * SECOND - 50_000], tells_start=False)
    with restarted.write(tmp_path / "run") as run:
        assert books_balanced(run).state is State.PASS


@dataclass
class Labelled(Miniature):
    """Has a series for every agent, and the text of one scrape breaks off before the last of them."""

    cut: int = 3

    def counters(self, scrape):
        """Split the requests between two agents."""
        values = {}
        for (metric, labels), value in Miniature.counters(self, scrape).items():
            if metric != "gateway_requests_total":
                values[metric, labels] = value
                continue
            values[metric, (("agent", "a"), *labels)] = value // 2
            if self.scrapes.index(scrape) != self.cut:
                values[metric, (("agent", "b"), *labels)] = value - value // 2
        return values


def test_a_series_that_one_scrape_lacks_is_no_loss(tmp_path):
    """The counter is not told there, and the next reading has it; what is lost is found all the same."""
    miniature = Labelled(calls_from(1, 480), scrapes_at(0.5, 10, 20, 30, 40, 50))
    with miniature.write(tmp_path / "whole") as run:
        assert found(reconcile(run)) == []
    miniature.calls[50].times = 0
    with miniature.write(tmp_path / "lossy") as run:
        assert found(reconcile(run)) == [(10, "ok", "serpapi", -1.0, "lost")]


def text_of(miniature, scrape):
    """Write what a gateway exposes at a scrape."""
    lines = []
    for (metric, labels), value in sorted(miniature.counters(scrape).items()):
        lines.append(f"# TYPE {metric} counter")
        inside = ",".join(f'{key}="{word}"' for key, word in labels)
        lines.append(f"{metric}{{{inside}}} {value!r}")
    return "\n".join([*dict.fromkeys(lines), ""]).encode()


@pytest.mark.parametrize("share", [0.02, 0.4, 0.7, 0.87, 0.97, 0.999])
@pytest.mark.parametrize("end", [b"", b"# EOF\n"], ids=["text", "openmetrics"])
def test_a_scrape_cut_anywhere_accuses_nobody(tmp_path, share, end):
    """It is a gap: what was counted meanwhile is in the next reading, and a loss is found there all the same."""
    kinds = {"kind": "ok"}, {"kind": "denied"}, {"kind": "upstream_error"}
    calls = [call for number, kind in enumerate(kinds) for call in calls_from(1 + number * 0.03, 480, **kind)]
    miniature = Miniature(calls, scrapes_at(0.5, 10, 20, 30, 40, 50))
    for lost in (0, 1):
        calls[250].times = 1 - lost
        wholeness, endings, samples, rows = Wholeness(), Endings(), [], []
        for number, one in enumerate(miniature.scrapes):
            text = text_of(miniature, one) + end
            text = text[: int(share * len(text))] if number == 3 else text
            row = Scrape(one.end_us, "metrics", 200, ok=False, duration_us=4_000, size_bytes=1, detail=None)
            cut = endings.cut(text)
            read = judge_whole(read_scrape(row, text), text, wholeness) if cut is None else Scraped(row, [])
            samples += read.samples
            rows.append(tuple(read.scrape))
        assert [row[3] for row in rows] == [True, True, True, False, True, True]
        with write_run(tmp_path / str(lost), miniature.outcomes(), samples, rows) as run:
            frame = reconcile(run)
        # the call is of the window that the gap makes longer
        assert found(frame) == [(40, "ok", "serpapi", -1.0, "lost")] * lost
