"""Builds the whitepaper of a run: claims.json, the captions of the figures, whitepaper.html and whitepaper.pdf.

Where claims.json is there already, every claim in it is made anew first. A claim that gives something else now ends the
build before any file is touched, unless the claims are to be renewed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from soaklib.analysis.sources.run import open_run
from soaklib.analysis.verdicts.criteria import verdict_frame
from soaklib.errors import RunError, SettingsError
from soaklib.records import FIGURES_FOLDER
from soaklib.store.whole import whole_file
from soaklib.whitepaper.claims import CLAIMS_NAME, read_claims, written
from soaklib.whitepaper.document import Stated, plain
from soaklib.whitepaper.html import HTML_NAME, html_paper
from soaklib.whitepaper.ledger import ClaimError, Ledger, broken_claims
from soaklib.whitepaper.pdf import PDF_NAME, pdf_paper
from soaklib.whitepaper.prose import Writer
from soaklib.whitepaper.sections import written_paper
from soaklib.whitepaper.sections.figures import FIGURES, caption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from soaklib.analysis.sources.run import Run
    from soaklib.records import Verdict
    from soaklib.whitepaper.claims import Claim
    from soaklib.whitepaper.ledger import BrokenClaim

__all__ = ["build_whitepaper", "check_claims", "claims_of", "made_claims"]

_RENEW = "pass --renew to state what the run says now"


def made_claims(folder: Path, *, renew: bool = False, verdicts: Sequence[Verdict] | None = None) -> Ledger:
    """Make the claims of a run, and hold those that are recorded to them; no file is touched.

    Parameters
    ----------
    folder
        The run's folder.
    renew
        Whether recorded claims do not matter: the run itself has changed.
    verdicts
        Those of the run, where it was judged already; None to judge it.

    Raises
    ------
    ClaimError
        A recorded claim does not follow any more.
    RunError
        claims.json is no list of claims, or a query fails.
    """
    recorded = None if renew else read_claims(folder)
    with open_run(folder) as run:
        ledger = Ledger(run, verdicts=None if verdicts is None else verdict_frame(verdicts))
    if recorded is not None:
        if broken := list(broken_claims(recorded, ledger)):
            others = f", and {len(broken) - 1} others do not follow either" if len(broken) > 1 else ""
            msg = f"{broken[0]}{others}; {_RENEW}"
            raise ClaimError(msg)
        ledger.keep(recorded)
    return ledger


def check_claims(folder: Path) -> tuple[int, list[BrokenClaim]]:
    """Make every recorded claim of a run anew; give how many there are, and those that do not follow any more.

    Raises
    ------
    SettingsError
        There is no claims.json.
    """
    recorded = read_claims(folder)
    if recorded is None:
        msg = f"there is no {CLAIMS_NAME} in {folder}: make it with python -m soaklib.report {folder}"
        raise SettingsError(msg)
    with open_run(folder) as run:
        return len(recorded), list(broken_claims(recorded, Ledger(run)))


def claims_of(run: Run) -> Sequence[Claim]:
    """Give the claims that are recorded for a run, or, where there are none yet, those it supports now."""
    recorded = read_claims(run.folder)
    return list(Ledger(run).claims.values()) if recorded is None else recorded


def build_whitepaper(folder: Path, ledger: Ledger, *, started: Callable[[str], None] = lambda _: None) -> list[Path]:
    """Write the whitepaper of a run, from claims that were made of it.

    Parameters
    ----------
    folder
        The run's folder; the figures that the notebooks have drawn are in it.
    ledger
        As :func:`made_claims` gives it.
    started
        Called with the name of each file before it is made.

    Returns
    -------
    list of pathlib.Path
        claims.json, whitepaper.html, whitepaper.pdf.

    Raises
    ------
    ClaimError
        A sentence states a number that no claim makes.
    SettingsError
        What renders the HTML or the PDF is not installed; the rest is written all the same.
    RunError
        A file cannot be written.
    """
    with open_run(folder) as run:
        made = run.info.completed_utc or run.info.started_utc
    writer = Writer(ledger)
    paper = written_paper(writer, folder / FIGURES_FOLDER)
    content: dict[str, bytes] = {CLAIMS_NAME: written(ledger.claims.values()).encode()}
    missing: list[SettingsError] = []
    renderers: dict[str, Callable[[], bytes]] = {
        HTML_NAME: lambda: html_paper(paper).encode(),
        PDF_NAME: lambda: pdf_paper(paper, made_s=made.timestamp()),
    }
    for name, make in renderers.items():
        started(name)
        try:
            content[name] = make()
        except SettingsError as exc:
            missing.append(exc)
    try:
        _write_captions(folder, writer)
        for name in renderers:
            if name not in content:
                (folder / name).unlink(missing_ok=True)  # it would say what the claims do not
        for name, data in content.items():
            with whole_file(folder / name) as part:
                part.write_bytes(data)
    except OSError as exc:
        msg = f"the whitepaper cannot be written to {folder}: {exc.strerror or exc}"
        raise RunError(msg) from exc
    if missing:
        raise missing[0]
    return [folder / name for name in content]


def _write_captions(folder: Path, writer: Writer) -> None:
    """Put each figure's caption, and the claims in it, into the sidecar beside its files."""
    for name in FIGURES:
        sidecar = folder / FIGURES_FOLDER / f"{name}.json"
        if not sidecar.is_file():
            continue
        told = json.loads(sidecar.read_text("utf-8"))
        text = caption(writer, name)
        told["caption"] = plain(text)
        told["claims"] = sorted({part.claim.split(":")[0] for part in text if isinstance(part, Stated)})
        sidecar.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
