"""What scrapes do to the books: processes in turn, series that a text lacks; each beside the loss it must not hide."""

from dataclasses import dataclass

import pytest
from bookkeeping_runs import SECOND, Miniature, calls_from, clean, found, scrapes_at

from soaklib.analysis.books.reconcile import books_balanced, reconcile
from soaklib.analysis.measures.lineage import IN_TURN
from soaklib.records import State


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
