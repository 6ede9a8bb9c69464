"""The lines of the reconciliation: for each window and outcome two counts, their difference, and why it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from soaklib.analysis.books.accounts import accounts_of, epochs_of
from soaklib.analysis.books.findings import Judge, findings_of
from soaklib.analysis.books.pairs import BOOKS, FINDINGS, Answer, Cause, Pair
from soaklib.analysis.books.spare import SpareCalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soaklib.analysis.books.accounts import Account
    from soaklib.analysis.books.findings import Finding
    from soaklib.analysis.books.pairs import Book
    from soaklib.analysis.books.readings import Reading

__all__ = ["Line", "counter_lines", "log_lines", "unseen_lines"]


class Line(NamedTuple):
    """A row of :func:`~soaklib.analysis.books.reconcile.reconcile` with its window's number instead of its times."""

    win: int
    pair: str
    outcome: str
    tool: str | None
    action: str | None
    reason: str | None
    client_rows: int
    counter_increase: float | None
    factor: int | None
    database_rows: int | None
    residual: float | None
    explained: float | None
    discrepancy: float
    cause: str
    detail: str | None


def counter_lines(
    at: Sequence[Reading], answers: pl.DataFrame, counters: pl.DataFrame, spare: pl.DataFrame
) -> Iterator[Line]:
    """Compare the answers with every counter that there is.

    Parameters
    ----------
    at
        The readings.
    answers, counters, spare
        As :mod:`~soaklib.analysis.books.tallies` and :mod:`~soaklib.analysis.books.spare` give them.
    """
    told = set(counters["metric"])
    books = {book.name: accounts_of(book, answers, counters, at) for book in BOOKS if book.metric in told}
    epochs = epochs_of(at)
    findings = [
        finding
        for book in BOOKS
        for account in books.get(book.name, ())
        for finding in findings_of(book.name, account, epochs, _counted_with(book, account, books))
    ]
    for book in BOOKS:
        if book.name not in books:
            yield from _unkept_lines(book, answers)
        calls = SpareCalls(spare)
        has_witness = any(name in books for name in book.witnesses)
        for account in books.get(book.name, ()):
            mine = {finding.win: finding for finding in findings if finding.account is account}
            witnesses = [
                finding
                for finding in findings
                if finding.book in book.witnesses and _may_count_the_same(finding.account, account)
            ]
            ledger = _Ledger(book.name, account, at, mine, Judge(calls, witnesses if has_witness else None))
            yield from ledger.lines()


def _counted_with(book: Book, account: Account, books: Mapping[str, Sequence[Account]]) -> Account | None:
    """Give the account that counts the calls of this one at the same moment: of the one witness, by tool and action."""
    if len(book.witnesses) != 1 or None in (account.tool, account.action):
        return None
    others = books.get(book.witnesses[0], ())
    return next((one for one in others if (one.tool, one.action) == (account.tool, account.action)), None)


def _unkept_lines(book: Book, answers: pl.DataFrame) -> Iterator[Line]:
    """Give the answers of a book whose counter the gateway does not expose."""
    its = answers.filter(pl.col("answer").is_in([str(answer) for answer in book.answers]), pl.col("rows") > 0)
    for win, rows in its.group_by("win").agg(pl.col("rows").sum()).iter_rows():
        yield Line(
            win, Pair.COUNTER, book.name, None, None, None, rows, None, None, None, None, None, 0.0, Cause.NOT_COUNTED,
            f"there is no counter {book.metric}",
        )  # fmt: skip


def _may_count_the_same(one: Account, other: Account) -> bool:
    pairs = ((one.tool, other.tool), (one.action, other.action))
    return all(a is None or b is None or a == b for a, b in pairs)


class _Ledger(NamedTuple):
    """An account on its way to lines."""

    book: str
    account: Account
    at: Sequence[Reading]
    findings: Mapping[int, Finding]
    judge: Judge

    def lines(self) -> Iterator[Line]:
        """Give the lines of all windows in which something happened."""
        increases = self.account.increases()
        for win, rows in enumerate(self.account.rows):
            if win in {0, len(self.at)}:
                if rows:
                    yield self._line(win, None, None, 0.0, Cause.SCRAPE_GAP, "no reading of the counters on one side")
            elif self.at[win].epoch != self.at[win - 1].epoch:
                yield from self._over_a_restart(win, rows)
            else:
                yield from self._within_an_epoch(win, rows, increases[win])

    def _over_a_restart(self, win: int, rows: int) -> Iterator[Line]:
        if self.at[win].at_us is None:
            if rows:
                why = "counted up to the restart, and forgotten with it"
                yield self._line(win, None, -float(rows), 0.0, Cause.RESTART, why)
            return
        increase = self.account.counts[win]
        if not (rows or increase):
            return
        residual = increase / self.account.factor - rows
        # The moment is not known: anything up to all answers of the window may have been forgotten, nothing more.
        surplus = max(0.0, residual - self.account.early[win] - self.account.late[win - 1])
        cause = Cause.UNEXPLAINED if surplus else Cause.RESTART
        yield self._line(
            win, increase, residual, surplus, cause, "a counter fell, at an unknown moment", self._gap(win)
        )

    def _within_an_epoch(self, win: int, rows: int, increase: float) -> Iterator[Line]:
        finding = self.findings.get(win)
        if not (rows or increase or finding):
            return
        residual = increase / self.account.factor - rows
        if finding is None:
            cause = Cause.IN_FLIGHT if residual else Cause.BALANCED
            yield self._line(win, increase, residual, 0.0, cause, self._gap(win))
            return
        discrepancy, cause, why = finding.size, Cause.LOST, ""
        if finding.size > 0:
            harmless, cause, why = self.judge.surplus(finding)
            discrepancy -= harmless
        else:
            why = self.judge.loss(finding)
        older = win - finding.since
        age = f"certain here, it may be up to {older} windows older" if older else None
        yield self._line(win, increase, residual, discrepancy, cause, why, age, self._gap(win))

    def _gap(self, win: int) -> str | None:
        failed = self.at[win].failed_scrapes
        return f"a scrape gap: {failed} failed scrapes within" if failed else None

    def _line(
        self,
        win: int,
        increase: float | None,
        residual: float | None,
        discrepancy: float,
        cause: Cause,
        *sentences: str | None,
    ) -> Line:
        account = self.account
        return Line(
            win, Pair.COUNTER, self.book, account.tool, account.action, account.reason, account.rows[win],
            increase, account.factor, None, residual, None if residual is None else residual - discrepancy, discrepancy,
            cause, "; ".join(filter(None, sentences)) or None,
        )  # fmt: skip


def unseen_lines(answers: pl.DataFrame) -> Iterator[Line]:
    """Give the calls that had no answer: no counter is expected to have them."""
    causes = {str(Answer.NEVER_CONNECTED): Cause.NEVER_CONNECTED, str(Answer.UNANSWERED): Cause.UNANSWERED}
    unseen = answers.filter(pl.col("answer").is_in(list(causes)), pl.col("rows") > 0)
    columns = ("win", "tool", "action", "answer", "reason", "rows")
    for win, tool, action, answer, reason, rows in unseen.select(columns).iter_rows():
        missing = -float(rows)
        yield Line(
            win, Pair.COUNTER, answer, tool, action, reason, rows, None, None, None, missing, missing, 0.0,
            causes[answer], None,
        )  # fmt: skip


def log_lines(rows: pl.DataFrame) -> Iterator[Line]:
    """Give the lines of the request log, from :func:`~soaklib.analysis.books.logmatch.log_rows`."""
    for win, outcome, tool, action, reason, client_rows, database_rows, cause, detail in rows.iter_rows():
        residual = float(database_rows - client_rows)
        # An answer written down as another one has its row: its residual is 0, and yet it is wrong.
        discrepancy = (residual or float(client_rows)) if cause in FINDINGS else 0.0
        yield Line(
            win, Pair.DATABASE, outcome, tool, action, reason, client_rows, None, None, database_rows, residual,
            residual - discrepancy, discrepancy, cause, detail,
        )  # fmt: skip
