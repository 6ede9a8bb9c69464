"""The sections of the paper, in order; which sentences each has is chosen by the claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.whitepaper.document import Paper
from soaklib.whitepaper.sections.abstract import abstract
from soaklib.whitepaper.sections.appendix import definitions, queries, settings
from soaklib.whitepaper.sections.changes import changes
from soaklib.whitepaper.sections.limits import limits
from soaklib.whitepaper.sections.method import method
from soaklib.whitepaper.sections.results import results
from soaklib.whitepaper.sections.setup import setup
from soaklib.whitepaper.sections.verdicts import verdicts

if TYPE_CHECKING:
    from pathlib import Path

    from soaklib.whitepaper.prose import Writer

__all__ = ["written_paper"]


def written_paper(writer: Writer, figures: Path) -> Paper:
    """Write the paper of a run.

    Parameters
    ----------
    writer
        Knows the run's claims.
    figures
        Folder of the figures; those that are not in it are said to be missing.

    Raises
    ------
    ClaimError
        A sentence states a number that no claim makes.
    """
    gateway = "the reference gateway of soaklib" if writer.count("run.embedded") else "{run.target}"
    return Paper(
        title="Soak test of an AI-agent gateway",
        subtitle=writer.say("Run {run.run_id}"),
        facts=(
            ("Gateway", writer.say(gateway)),
            ("Begun", writer.say("{run.started}")),
            ("Ended", writer.say("{run.completed}" if writer.has("run.completed") else "not ended by itself")),
            ("Status", writer.say("{run.status}")),
        ),
        sections=(
            abstract(writer), method(writer), setup(writer), verdicts(writer), changes(writer),
            results(writer, figures), limits(writer), definitions(writer), settings(writer), queries(writer),
        ),
    )  # fmt: skip
