"""The sections of the paper, in order; which sentences each has is chosen by the claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soaklib.whitepaper.document import Paper
from soaklib.whitepaper.sections.appendix import queries, settings
from soaklib.whitepaper.sections.front import front
from soaklib.whitepaper.sections.glossary import glossary
from soaklib.whitepaper.sections.limits import limits
from soaklib.whitepaper.sections.method import method
from soaklib.whitepaper.sections.references import references
from soaklib.whitepaper.sections.results import results
from soaklib.whitepaper.sections.setup import setup

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
            front(writer, figures), results(writer, figures), limits(writer), method(writer), setup(writer),
            glossary(writer), references(), settings(writer), queries(writer),
        ),
    )  # fmt: skip
