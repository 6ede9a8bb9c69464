"""What a bundle says of a run, held against the run."""

import json
import shutil
from pathlib import Path

import pytest
from bundles import edit_database

import soaklib
from soaklib.evidence.manifest import (
    BundleManifest,
    DatabaseSnapshot,
    FileEntry,
    GatewayFacts,
    Software,
    facts_of_run,
    run_files,
)
from soaklib.evidence.parts import due_parts
from soaklib.evidence.results import _parts, _same, _summary
from soaklib.records import Verdict

SOFTWARE = Software(
    soaklib="0", source_sha256="0" * 64, python="3", platform="x", packages={}, git_commit=None
)  # fmt: skip
SAMPLE = Path(__file__).parents[2] / "data" / "sample"
WORDED = (*Verdict._fields[1:7], "detail", "query")


@pytest.fixture
def run():
    """The sample."""
    with soaklib.open_run(SAMPLE) as run:
        yield run


@pytest.fixture
def manifest(run):
    """Give its manifest."""
    names = run_files(SAMPLE)
    snapshot = DatabaseSnapshot(state="not applicable", detail="")
    return BundleManifest(
        **facts_of_run(run.info), collected_with=SOFTWARE, database_snapshot=snapshot,
        gateway=GatewayFacts(target="", embedded=True, facts={}, detail=""),
        parts=due_parts(run, names, failed={}, left_out={}, snapshot=snapshot),
        files=tuple(FileEntry(path=name, size_bytes=0, sha256="0" * 64) for name in names),
    )  # fmt: skip


def test_parts_are_those_that_follow_from_the_files(run, manifest):
    """None is there that has no file, none is left out of the list, and none is made up."""
    told = lambda **changes: list(_parts(run, manifest.model_copy(update=changes), is_same=True))  # noqa: E731 - said once
    assert told() == []
    [one] = told(files=tuple(one for one in manifest.files if one.path != "soak-h1.prom"))
    assert one == (
        "manifest.json says that soak-h0.prom to soak-h23.prom is present (24 of 24); "
        "by its files it is missing (23 of 24)"
    )
    assert told(parts=manifest.parts[1:]) == ["manifest.json does not say what became of run.duckdb, which is due"]
    made_up = manifest.parts[0].model_copy(update={"name": "audit.pdf"})
    assert told(parts=(*manifest.parts, made_up)) == [
        "manifest.json says that audit.pdf is present, which is no part of a run"
    ]


def test_parts_of_another_soaklib_may_be_others(run, manifest):
    """What it does not know is due, and what is due there, is no accusation; a state is."""
    made_up = manifest.parts[0].model_copy(update={"name": "audit.pdf"})
    other = manifest.model_copy(update={"parts": (*manifest.parts[1:], made_up)})
    assert list(_parts(run, other, is_same=False)) == []
    none = manifest.model_copy(update={"files": ()})
    assert "manifest.json says that run.duckdb is present; by its files it is missing" in _parts(
        run, none, is_same=False
    )


@pytest.fixture
def without_metrics(tmp_path):
    """Give a run at a gateway that has no metrics."""
    shutil.copy(SAMPLE / "run.duckdb", tmp_path)
    target = json.dumps({"target": {"kind": "openai"}})
    edit_database(
        tmp_path, "delete from scrapes where endpoint = 'metrics'",
        f"update run set plan = json_merge_patch(plan::json, '{target}')::varchar",
    )  # fmt: skip
    with soaklib.open_run(tmp_path) as run:
        yield run


SNAPSHOTS = ("soak-h0.prom to soak-h23.prom", "soak-final.prom")


def test_what_a_gateway_without_metrics_cannot_give_is_not_due(without_metrics, manifest):
    """It is said so, and not that the run did not come to its end; another soaklib's word for it is no accusation."""
    parts = due_parts(
        without_metrics, ["run.duckdb"], failed={}, left_out={}, snapshot=manifest.database_snapshot
    )  # fmt: skip
    said = {part.name: (part.state, part.detail) for part in parts}
    assert {said[name] for name in SNAPSHOTS} == {("not due", "the gateway has no metrics")}
    files = tuple(one for one in manifest.files if one.path == "run.duckdb")
    here = manifest.model_copy(update={"parts": parts, "files": files})
    assert list(_parts(without_metrics, here, is_same=True)) == []
    missing = [part.model_copy(update={"state": "missing"}) if part.name in SNAPSHOTS else part for part in parts]
    there = here.model_copy(update={"parts": tuple(missing)})
    assert list(_parts(without_metrics, there, is_same=False)) == []
    assert len(list(_parts(without_metrics, there, is_same=True))) == 2


def test_snapshots_of_a_run_that_never_began_are_missing(without_metrics, manifest):
    """Nobody knows whether its gateway has metrics."""
    without_metrics.close()
    edit_database(without_metrics.folder, "delete from segments")
    with soaklib.open_run(without_metrics.folder) as run:
        parts = due_parts(run, [], failed={}, left_out={}, snapshot=manifest.database_snapshot)
    assert {part.state for part in parts if part.name in SNAPSHOTS} == {"missing"}


@pytest.fixture
def summed_up(run, tmp_path):
    """Give what is told of the sample's summary whose verdicts were changed."""
    verdicts = [Verdict(*row) for row in run.verdicts().iter_rows()]
    shutil.copy(SAMPLE / "run.duckdb", tmp_path)
    told = json.loads((SAMPLE / "soak-summary.json").read_text())

    def of(change):
        (tmp_path / "soak-summary.json").write_text(json.dumps(told | {"verdicts": change(told["verdicts"])}))
        with soaklib.open_run(tmp_path) as changed:
            return list(_summary(changed, verdicts, WORDED))

    return of


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"detail": "0 let through"}, "does not follow from the data: detail 0 let through instead of "),
        ({"query": "select 0"}, "does not follow from the data: query select 0 instead of "),
        ({"approved": True}, "has what no verdict has: approved"),
    ],
)
def test_what_a_verdict_says_is_all_compared(summed_up, change, said):
    """What was seen, and the query that shows it, are part of a verdict; nothing else is."""
    assert summed_up(lambda verdicts: verdicts) == []
    [told] = summed_up(lambda verdicts: [verdicts[0] | change, *verdicts[1:]])
    assert told.startswith(f"the verdict on 'full duration' in soak-summary.json {said}")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda verdicts: [verdicts[0] | {"state": "fail"}, *verdicts],
            "a criterion has two verdicts in soak-summary.json",
        ),
        (lambda verdicts: ["pass", *verdicts], "soak-summary.json is not the summary of a run"),
        (lambda verdicts: dict(enumerate(verdicts)), "soak-summary.json is not the summary of a run"),
    ],
)
def test_verdicts_of_a_summary_that_are_none(summed_up, change, said):
    """Two on one criterion, or what is no list of verdicts: a sentence, and no crash."""
    assert summed_up(change) == [said]


@pytest.mark.parametrize(
    ("left", "right", "is_same"),
    [
        (86_000_000.0, 86_000_000, True),
        (86_000_000.0, 86_000_001.0, False),
        (99.61000000001, 99.61, True),
        (99.611, 99.61, False),
        (float("nan"), float("nan"), True),
        (True, 1, False),
        ({"ok": [1, 2.5]}, {"ok": [1, 2.5]}, True),
        ({"ok": [1, 2]}, {"ok": [1, 3]}, False),
    ],
)
def test_counts_are_compared_exactly_and_fractions_are_not(left, right, is_same):
    """One call of 86 million is a call; the last digit of a share is the machine's."""
    assert _same(left, right) is is_same
