"""What a bundle's whitepaper says that does not follow from the bundle's run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.analysis.verdicts.criteria import verdict_frame
from soaklib.whitepaper.claims import CLAIMS_NAME, read_claims
from soaklib.whitepaper.html import HTML_NAME, stated_in
from soaklib.whitepaper.ledger import ClaimError, Ledger, broken_claims

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soaklib.analysis.sources.run import Run
    from soaklib.records import Verdict
    from soaklib.whitepaper.claims import Claim

__all__ = ["unfounded_claims"]


def unfounded_claims(run: Run, verdicts: Sequence[Verdict], *, is_same_version: bool) -> Iterator[str]:
    """Make every claim of claims.json anew, and hold what whitepaper.html says to claims.json.

    Parameters
    ----------
    run
        The bundle's run.
    verdicts
        Those that it was judged to have just now.
    is_same_version
        Whether this version of soaklib collected the bundle; if not, claims that it asks otherwise are passed over.

    Yields
    ------
    str
        A sentence for each that does not follow. None where the bundle has no claims.

    Raises
    ------
    RunError
        A query cannot be answered, or claims.json is no list of claims.
    """
    recorded = read_claims(run.folder)
    if recorded is None:
        return
    broken = broken_claims(recorded, Ledger(run, verdicts=verdict_frame(verdicts)), is_same_version=is_same_version)
    yield from (f"{claim} ({CLAIMS_NAME})" for claim in broken)
    page = run.folder / HTML_NAME
    if page.is_file():
        yield from _unstated(page.read_text("utf-8"), {claim.name: claim for claim in recorded})


def _unstated(page: str, recorded: dict[str, Claim]) -> Iterator[str]:
    try:
        stated = stated_in(page)
    except ClaimError as exc:
        yield str(exc)
        return
    for place, said in stated:
        name, part = place, "value"
        if place not in recorded:
            name, _, part = place.rpartition(":")
        if name not in recorded or recorded[name].worded(part) != said:
            yield f"{HTML_NAME} says {said!r} of the claim {place}, and {CLAIMS_NAME} does not"
