"""What a bundle says of a run, computed again from the run's data and compared."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final

from soaklib.analysis.verdicts.summary import summary
from soaklib.errors import SoaklibError
from soaklib.evidence.manifest import PartState, facts_of_run
from soaklib.evidence.parts import due_parts
from soaklib.evidence.provenance import gateway_facts, software
from soaklib.reports.metrics_analysis import METRICS_ANALYSIS_NAME, metrics_analysis
from soaklib.reports.run_report import report_name, run_report
from soaklib.store.bundle import MANIFEST_NAME
from soaklib.store.names import SUMMARY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import JsonValue

    from soaklib.analysis.sources.run import Run
    from soaklib.evidence.manifest import BundleManifest, Software
    from soaklib.records import Verdict

__all__ = ["unfounded_results"]

_TOLERANCE: Final = 1e-6
"""Relative: intervals come from numerical libraries, whose versions differ in the last digits."""

_JUDGED: Final = ("state", "measure", "n", "low", "high", "threshold")
_WORDED: Final = ("detail", "query")
"""What another version of soaklib may say in other words."""


def unfounded_results(run: Run, manifest: BundleManifest, verdicts: Sequence[Verdict]) -> tuple[list[str], list[str]]:
    """Find what a bundle says that does not follow from its data.

    Parameters
    ----------
    run
        The bundle's run.
    manifest
        The bundle's manifest, which says what version of soaklib judged it.
    verdicts
        Those that the run was judged to have just now.

    Returns
    -------
    list of str
        A sentence for each verdict, each value of the summary and each text that does not follow.
    list of str
        Remarks: what fails, and what could not be compared.

    Raises
    ------
    RunError
        The run cannot be read.
    """
    here, there = software(), manifest.collected_with
    is_same = here.source_sha256 == there.source_sha256
    hint = "" if is_same else f" (it was judged by another soaklib: {_name(there)}; this is {_name(here)})"
    recorded = run.verdicts().rows(named=True)
    problems = [
        f"{name} in {MANIFEST_NAME} is not that of the run"
        for name, value in facts_of_run(run.info).items()
        if not _same(getattr(manifest, name), value)
    ]
    problems += _parts(run, manifest, is_same=is_same)
    told = (*_JUDGED, *_WORDED) if is_same else _JUDGED
    problems += [f"{text}{hint}" for text in _verdicts("the run's table", recorded, verdicts, told)]
    problems += [f"{text}{hint}" for text in _summary(run, verdicts, told)]
    failing = [verdict.name for verdict in verdicts if verdict.state == "fail"]
    remarks = [f"the run itself fails: {', '.join(failing)}"] if failing else []
    if is_same:
        problems += _texts(run)
        if "gateway" in run.info.environment and manifest.gateway != gateway_facts(run.info):
            problems.append(f"gateway in {MANIFEST_NAME} is not what the run kept of it")
    else:
        remarks.append(f"the texts were made by another soaklib ({_name(there)}) and were not compared with the data")
    return problems, remarks


def _name(made_with: Software) -> str:
    return f"{made_with.soaklib}, {made_with.git_commit or made_with.source_sha256[:12]}"


def _parts(run: Run, manifest: BundleManifest, *, is_same: bool) -> Iterator[str]:
    """Hold the parts of the evidence that the manifest calls present or missing against its own files."""
    said = {part.name: part for part in manifest.parts}
    left_out = {part.name: part.detail for part in manifest.parts if part.state is PartState.LEFT_OUT}
    files = [entry.path for entry in manifest.files]
    for due in due_parts(run, files, failed={}, left_out=left_out, snapshot=manifest.database_snapshot):
        part = said.pop(due.name, None)
        if due.state is PartState.NOT_DUE and not is_same:
            continue  # which others called missing
        if part is None:
            if is_same:
                yield f"{MANIFEST_NAME} does not say what became of {due.name}, which is due"
        elif part.state is not due.state or (is_same and due.state is PartState.PRESENT and part.detail != due.detail):
            words = [f"{one.state}{f' ({one.detail})' * bool(one.detail)}" for one in (part, due)]
            yield f"{MANIFEST_NAME} says that {due.name} is {words[0]}; by its files it is {words[1]}"
    for name, part in said.items():
        if is_same and part.state is PartState.PRESENT:
            yield f"{MANIFEST_NAME} says that {name} is {part.state}, which is no part of a run"


def _verdicts(
    where: str, recorded: Sequence[dict[str, JsonValue]], computed: Sequence[Verdict], told: Sequence[str]
) -> Iterator[str]:
    found = {str(verdict.get("name")): verdict for verdict in recorded}
    if len(found) < len(recorded):
        yield f"a criterion has two verdicts in {where}"
    for verdict in computed:
        other = found.pop(verdict.name, None)
        if other is None:
            yield f"the verdict on {verdict.name!r} is missing from {where}; the data say {verdict.state}"
            continue
        if more := sorted(set(other) - set(verdict._fields)):
            yield f"the verdict on {verdict.name!r} in {where} has what no verdict has: {', '.join(more)}"
        differing = [name for name in told if not _same(other.get(name), getattr(verdict, name))]
        if differing:
            said = ", ".join(f"{name} {other.get(name)} instead of {getattr(verdict, name)}" for name in differing)
            yield f"the verdict on {verdict.name!r} in {where} does not follow from the data: {said}"
    for name in found:
        yield f"the verdict on {name!r} in {where} is on no criterion that there is"


def _summary(run: Run, verdicts: Sequence[Verdict], told: Sequence[str]) -> Iterator[str]:
    path = run.folder / SUMMARY_NAME
    if not path.is_file():
        return  # said already, as a missing file
    try:
        recorded = json.loads(path.read_text("utf-8"))
    except ValueError as exc:
        yield f"{SUMMARY_NAME} is no JSON: {exc}"
        return
    judged = recorded.pop("verdicts", None) if isinstance(recorded, dict) else None
    if not isinstance(judged, list) or not all(isinstance(verdict, dict) for verdict in judged):
        yield f"{SUMMARY_NAME} is not the summary of a run"
        return
    yield from _verdicts(SUMMARY_NAME, judged, verdicts, told)
    computed = json.loads(json.dumps(summary(run, ())))
    del computed["verdicts"]
    for name in computed:
        if not _same(recorded.get(name), computed[name]):
            yield f"{name} in {SUMMARY_NAME} does not follow from the data"
    for name in sorted(set(recorded) - set(computed)):
        yield f"{name} in {SUMMARY_NAME} is nothing that a run has"


def _texts(run: Run) -> Iterator[str]:
    for name, make in ((report_name(run.info.run_id), run_report), (METRICS_ANALYSIS_NAME, metrics_analysis)):
        path = run.folder / name
        if path.is_file():
            try:
                follows = path.read_text("utf-8") == make(run)
            except (SoaklibError, UnicodeDecodeError):
                follows = False
            if not follows:
                yield f"{name} does not follow from the data"


def _same(left: object, right: object) -> bool:
    """Compare two JSON values: counts exactly, fractions with a tolerance.

    Not as strict as with claims, which come back as the type they were: a verdict's count has been in a DOUBLE column.
    """
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        if float(left).is_integer() and float(right).is_integer():
            return left == right  # one call of a hundred million counts
        return math.isclose(left, right, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE) or (
            math.isnan(left) and math.isnan(right)
        )
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return left == right
