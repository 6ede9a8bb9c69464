"""What a pipeline shows of a run: its criteria as JUnit tests, and as a summary in GitHub's Markdown."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from soaklib.analysis.verdicts.sentence import ORDER, verdict_sentence
from soaklib.errors import RecordingError
from soaklib.records import State
from soaklib.records.units import unit_behind
from soaklib.reports.text_table import cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SUMMARY_VARIABLE", "junit_xml", "step_summary", "tell_pipeline"]

SUMMARY_VARIABLE: Final = "GITHUB_STEP_SUMMARY"
_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN: Final = str.maketrans({character: f"\\{character}" for character in "\\`*_[]|~#"})
_SIGNS: Final = {State.FAIL: "✗", State.INSUFFICIENT: "?", State.PASS: "✓", State.NOT_APPLICABLE: ""}


def junit_xml(run_id: str, criteria: Sequence[Mapping[str, Any]], *, strict: bool = False) -> str:
    """Give the criteria of a run as JUnit XML, one test each.

    What failed is a failure. What could not be judged or does not apply is skipped; with `strict`, where it makes the
    exit code 1, it is a failure too.
    """
    failing = {State.FAIL, State.INSUFFICIENT, State.NOT_APPLICABLE} if strict else {State.FAIL}
    failures = sum(row["state"] in failing for row in criteria)
    skipped = sum(row["state"] != State.PASS for row in criteria) - failures
    counts = {"tests": str(len(criteria)), "failures": str(failures), "errors": "0", "skipped": str(skipped)}
    suites = ET.Element("testsuites", counts)
    suite = ET.SubElement(suites, "testsuite", {"name": _xml(f"soak {run_id}"), **counts})
    for row in criteria:
        case = ET.SubElement(suite, "testcase", {"classname": "soak", "name": _xml(row["name"])})
        said = {"message": _xml(f"{row['state']}: {row['detail']} (required: {row['threshold']})")}
        if row["state"] in failing:
            ET.SubElement(case, "failure", {"type": str(row["state"]), **said}).text = _xml(row["query"])
        elif row["state"] != State.PASS:
            ET.SubElement(case, "skipped", said)
        else:
            ET.SubElement(case, "system-out").text = _xml(row["detail"])
    ET.indent(suites)
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ET.tostring(suites, encoding='unicode')}\n"


def step_summary(run_id: str, criteria: Sequence[Mapping[str, Any]]) -> str:
    """Give the verdict and the criteria as GitHub's Markdown, what failed first."""
    lines = [
        f"### {_markdown(verdict_sentence(criteria))}",
        "",
        f"Run {_markdown(run_id)}",
        "",
        "| | criterion | measure | required | n | interval | seen |",
        "|---|---|---:|---|---:|---|---|",
    ]
    for row in sorted(criteria, key=lambda row: ORDER[State(row["state"])]):
        low, high = row["low"], row["high"]
        interval = "-" if low is None and high is None else f"{cell(low)} to {_measure(row, 'high')}"
        values = (
            f"{_SIGNS[State(row['state'])]} {row['state']}", row["name"], _measure(row, "measure"), row["threshold"],
            cell(row["n"]), interval, row["detail"],
        )  # fmt: skip
        lines.append(f"| {' | '.join(_markdown(value) for value in values)} |")
    return "\n".join(lines) + "\n\n"


def _measure(row: Mapping[str, Any], column: str) -> str:
    """Give a number of a criterion with its unit behind it."""
    return f"{cell(row[column])} {unit_behind(row['name'], row[column])}".rstrip()


def tell_pipeline(
    run_id: str, criteria: Sequence[Mapping[str, Any]], *, junit: Path | None, strict: bool = False
) -> None:
    """Write JUnit XML where it is asked for, and add to GitHub's step summary where there is one.

    Raises
    ------
    RecordingError
        One of them cannot be written.
    """
    summary = os.environ.get(SUMMARY_VARIABLE)
    path = junit
    try:
        if path is not None:
            path.write_text(junit_xml(run_id, criteria, strict=strict), "utf-8")
        if summary:
            path = Path(summary)
            with path.open("a", encoding="utf-8") as file:
                file.write(step_summary(run_id, criteria))
    except OSError as exc:
        msg = f"cannot write {path}: {exc.strerror or exc}"
        raise RecordingError(msg) from exc


def _xml(text: str) -> str:
    """Give text without the characters that XML cannot hold."""
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _markdown(text: str) -> str:
    """Give text on one line that Markdown shows as it is: no markup, no element, no mention."""
    escaped = html.escape(" ".join(text.split()), quote=False).translate(_MARKDOWN)
    return escaped.replace("&gt;", ">").replace("@", "@\u200b").replace("://", ":\u200b//")
