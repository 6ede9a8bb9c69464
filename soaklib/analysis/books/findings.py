"""Changes of an account that no call under way explains, and why they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from soaklib.analysis.books.pairs import Cause

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from soaklib.analysis.books.accounts import Account
    from soaklib.analysis.books.spare import SpareCalls

__all__ = ["Finding", "Judge", "findings_of"]


class Finding(NamedTuple):
    """A change that no call under way explains.

    Attributes
    ----------
    book, account
        Whose it is.
    win
        The window in which it is certain.
    size
        In calls: under 0 what is lost, over 0 what is too many.
    since
        The earliest window in which it may have come.
    """

    book: str
    account: Account
    win: int
    size: float
    since: int


def findings_of(
    book: str, account: Account, epochs: Iterable[tuple[int, int]], witness: Account | None = None
) -> Iterator[Finding]:
    """Give the findings of an account, epoch by epoch; `witness` as for :meth:`Account.jumps`."""
    for start, end in epochs:
        for jump in account.jumps(start, end, witness):
            yield Finding(book, account, start + jump.reading, jump.size / account.factor, start + jump.since)


class Judge(NamedTuple):
    """Says why an account is over or under.

    Attributes
    ----------
    spare
        Calls that may be counted without an answer.
    witnesses
        Findings of the counters that rise with every call of this one; None where there is no such counter.
    """

    spare: SpareCalls
    witnesses: Sequence[Finding] | None

    def surplus(self, finding: Finding) -> tuple[float, Cause, str]:
        """Give how much of a surplus is harmless, the cause of the rest (of it all, if there is none), and why."""
        account = finding.account
        used = self.spare.take(finding.win, account.tool, account.action, int(finding.size))
        harmless = float(sum(used.values()))
        if harmless == finding.size:
            return harmless, max(used, key=lambda cause: used[cause]), "counted, and the client has no answer"
        if self.witnesses is None:
            return harmless, Cause.UNEXPLAINED, "no other counter can tell whether there was a further call"
        if self._moved(finding, 1) >= finding.size - harmless:
            return harmless, Cause.UNEXPLAINED, "other counters rise as well: calls that this client did not make"
        return harmless, Cause.COUNTED_TWICE, "no other counter knows of a further call"

    def loss(self, finding: Finding) -> str:
        """Say whether other counters know of the calls that are not counted."""
        if self.witnesses is None:
            return "answered, and not counted"
        if self._moved(finding, -1) >= -finding.size:
            return "answered, and in no other counter either"
        return "answered and in another counter, so that only the count is missing"

    def _moved(self, finding: Finding, sign: int) -> float:
        """Give by how much the other counters moved the same way, in this window or the one on either side."""
        near = [one.size for one in self.witnesses or () if abs(one.win - finding.win) <= 1 and sign * one.size > 0]
        return abs(sum(near))
