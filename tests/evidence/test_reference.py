"""A good run against which another is judged: the sample, changed with SQL so that both have a day."""

import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import duckdb
import pytest

import soaklib
from soaklib.analysis.verdicts.criteria import stability
from soaklib.analysis.verdicts.reference import REFERENCE_NAME, kept_days
from soaklib.commands import report, run, verify, weekly
from soaklib.commands.weekly import _Week
from soaklib.errors import ExitCode, RunError, SettingsError
from soaklib.evidence.baseline import Baseline
from soaklib.evidence.collecting import collect
from soaklib.evidence.judging import judge_folder, verdicts_on
from soaklib.evidence.reference import keep_reference
from soaklib.page.data import page_data
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.writer import RunWriter

pytestmark = pytest.mark.slow  # each judges a day or two

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
SHARE = "(slot / (select max(slot) + 1 from outcomes where purpose = 'load'))"
LATER = "update outcomes set done_at_us = done_at_us + ({})::BIGINT where purpose = 'load'"
SWING = LATER.format(f"20000 * (1 + sin(2 * pi() * {SHARE}))")
CREEP = LATER.format(f"15000 * {SHARE}")
CLOCK = (
    "update segments set started_at_us = started_at_us * 360, ended_at_us = ended_at_us * 360",
    *(f"update {table} set at_us = at_us * 360" for table in ("events", "samples", "runner_health")),
    "update outcomes set sent_at_us = sent_at_us + planned_at_us * 359, done_at_us = done_at_us + planned_at_us * 359",
    "update outcomes set planned_at_us = planned_at_us * 360",
    "update run set speed = 1",
)
"""Let the sample follow the clock: a day of 24 hours in place of four minutes."""


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    """Give a function that makes a copy of the sample at the present schema, changed with SQL; once for each change."""
    made = {}

    def of(*statements):
        if statements not in made:
            path = tmp_path_factory.mktemp("variant") / DATABASE_NAME
            shutil.copy(made[()] if statements else SAMPLE / DATABASE_NAME, path)
            if not statements:
                RunWriter(path).close()
            with duckdb.connect(str(path)) as connection:
                for statement in statements:
                    connection.execute(statement).fetchall()
            made[statements] = path
        return made[statements]

    of()
    return of


@pytest.fixture
def changed(variant, tmp_path):
    """Give a function that makes a changed copy of the sample of that name."""

    def copy(name, *statements):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        shutil.copy(variant(*statements), folder)
        with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
            connection.execute(f"update run set run_id = '{name}'").fetchall()
        return folder

    return copy


@pytest.fixture(scope="module")
def held_against_a_good_run(variant, tmp_path_factory):
    """Folder of a run that is judged against a good one, which nobody may change."""
    top = tmp_path_factory.mktemp("held")
    for name in ("good", "judged"):
        (top / name).mkdir()
        shutil.copy(variant(SWING), top / name)
        with duckdb.connect(str(top / name / DATABASE_NAME)) as connection:
            connection.execute(f"update run set run_id = '{name}'").fetchall()
    keep_reference(top / "judged", top / "good")
    return top / "judged"


def median(folder):
    """Judge the drift of the median."""
    with soaklib.open_run(folder) as opened:
        return stability.no_drift_in_latency_median(opened)


def test_a_day_that_a_good_run_has_too_is_no_drift(changed):
    """By itself its cycle cannot be told from a drift; against the good run it passes, and the verdict names that."""
    good, judged = changed("good", SWING), changed("judged", SWING)
    alone = median(judged)
    assert (alone.state, "a reference run, can tell" in alone.detail) == ("insufficient", True), alone
    assert keep_reference(judged, good) == ("gmail_send", "http_fetch", "openai", "serpapi")
    beside = median(judged)
    assert (beside.state, "Judged against the day of good." in beside.detail) == ("pass", True), beside
    with soaklib.open_run(judged) as opened:
        trends = soaklib.endpoint_trends(opened, soaklib.ENDPOINTS[0]).trends
        assert "against the day of good" in page_data(opened, [])["verdict"]["sentence"]
    assert {trend.state for trend in trends.values()} == {"stable"}


def test_what_creeps_beyond_the_good_runs_day_fails(changed):
    """15 ms more at the end of the day are found, with their size."""
    judged = changed("judged", SWING, CREEP)
    keep_reference(judged, changed("good", SWING))
    verdict = median(judged)
    assert (verdict.state, verdict.measure) == ("fail", pytest.approx(15, abs=3)), verdict


def test_a_good_run_that_creeps_itself_hides_no_creep(changed):
    """It ends its day elsewhere than it began: nothing of it is taken away."""
    judged = changed("judged", CREEP)
    keep_reference(judged, changed("good", CREEP))
    with soaklib.open_run(judged) as opened:
        assert kept_days(opened, "latency (median)") == {}
        assert kept_days(opened, "errors")
    assert median(judged).state == "fail"


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("update run set hours = 12", "its hours is another"),
        ("update run set rps = 3", "its rps is another"),
        ("update run set status = 'stopped'", "it is stopped"),
    ],
)
def test_a_run_of_another_kind_is_no_reference(changed, statement, why):
    """It is refused with the reason, and nothing is kept."""
    judged = changed("judged")
    with pytest.raises(SettingsError, match=why):
        keep_reference(judged, changed("good", statement))
    assert not (judged / REFERENCE_NAME).exists()


def test_a_run_is_no_reference_of_its_own(changed):
    """Beside its own day it would never have crept."""
    judged = changed("judged", CREEP)
    with pytest.raises(SettingsError, match="is the run itself"):
        keep_reference(judged, judged)
    assert not (judged / REFERENCE_NAME).exists()
    assert median(judged).state == "fail"


def test_a_reference_shorter_than_a_day_is_none(changed):
    """Two runs of twelve hours have half a cycle each."""
    short = "update run set hours = 12"
    with pytest.raises(SettingsError, match="12 hours of the 24 of a day"):
        keep_reference(changed("judged", short), changed("good", short))


@pytest.mark.parametrize("content", [None, "{}", "another"])
def test_a_run_whose_reference_was_changed_is_not_judged(held_against_a_good_run, tmp_path, content):
    """The file is gone, is none, or holds something else than what was kept."""
    judged = shutil.copytree(held_against_a_good_run, tmp_path / "judged")
    path = judged / REFERENCE_NAME
    kept = path.read_text()
    path.unlink()
    if content is not None:
        path.write_text(content if content == "{}" else kept.replace("1", "2"))
    with pytest.raises(RunError, match="the run is judged against good"):
        median(judged)


def test_a_run_that_was_cut_off_is_judged_by_itself(changed):
    """At speed 1 its soak time is the time of day no longer."""
    judged = changed("judged", *CLOCK, SWING)
    keep_reference(judged, changed("good", *CLOCK, SWING))
    assert "Judged against" in median(judged).detail
    with duckdb.connect(str(judged / DATABASE_NAME)) as connection:
        connection.execute("update segments set segment = 1").fetchall()
    verdict = median(judged)
    assert (verdict.state, "Judged against" in verdict.detail) == ("insufficient", False)


def test_a_day_is_that_of_the_clock(changed):
    """The good run began six hours later, with its cycle at another hour of its own: the time of day counts."""
    later = LATER.format(f"20000 * (1 + sin(2 * pi() * ({SHARE} + 0.25)))")
    judged = changed("judged", *CLOCK, SWING)
    keep_reference(judged, changed("good", *CLOCK, later, "update run set anchor_utc = anchor_utc + interval 6 hours"))
    assert median(judged).state == "pass"


def test_a_bundle_is_verified_by_the_reference_that_it_holds(changed, capsys):
    """It judges the same without the good run; with it, what was kept of it is compared."""
    good, other, judged = changed("good", SWING), changed("other", SWING, CREEP), changed("judged", SWING)
    judge_folder(judged)
    keep_reference(judged, good)
    bundle = collect(judged)
    good.rename(good.with_name("gone"))
    assert verify.main([str(bundle)]) == 0
    assert "note: latency and errors were judged against the day of good" in capsys.readouterr().out
    assert verify.main([str(bundle), "--reference", str(good.with_name("gone"))]) == 0
    assert verify.main([str(bundle), "--reference", str(other)]) == 14
    assert "is not what" in capsys.readouterr().err
    recorded = json.loads((judged / "soak-summary.json").read_text())
    assert recorded["configuration"]["environment"]["reference"]["run_id"] == "good"


def test_report_judges_anew_against_a_reference(changed, monkeypatch):
    """Its verdicts are recorded, and the claims are renewed."""
    good, judged = changed("good", SWING), changed("judged", SWING)
    judge_folder(judged)
    built = []
    monkeypatch.setattr(report, "build_report", lambda folder, **options: built.append((folder, options["renew"])))
    assert report.main([str(judged), "--reference", str(good)]) == 0
    assert built == [(judged, True)]
    with soaklib.open_run(judged) as opened:
        assert opened.verdict("no drift in latency (median)").state == "pass"
        assert opened.verdict("no drift in latency (median)") in verdicts_on(opened)


def test_a_run_is_refused_before_it_begins_where_its_reference_has_another_load(changed, tmp_path, capsys):
    """Nothing is sent, and no folder is made."""
    good = changed("good")
    assert run.main(["--quick", "--out", str(tmp_path / "new"), "--reference", str(good)]) == ExitCode.USAGE
    assert f"--reference {good}: its rps is another" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("is_good", [True, False], ids=["of the same load", "of another"])
def test_who_resumes_a_run_may_name_its_reference(changed, monkeypatch, capsys, is_good):
    """It is kept before the load goes on; one that is none is refused, and the run stays as it is."""
    good = changed("good", *([] if is_good else ["update run set rps = 3"]))
    judged = changed("judged", "update run set status = 'interrupted'")
    monkeypatch.setattr(run, "_gateway", lambda *_: nullcontext(("http://127.0.0.1:9", None)))
    monkeypatch.setattr(run, "_ask", lambda *_: None)
    monkeypatch.setattr(run, "_soak", lambda *_: ExitCode.OK)
    code = run.main(["--resume", str(judged), "--reference", str(good), "--no-report"])
    assert code == (ExitCode.OK if is_good else ExitCode.USAGE), capsys.readouterr().err
    with soaklib.open_run(judged) as opened:
        assert (opened.info.reference is not None, opened.info.status) == (
            (True, "running") if is_good else (False, "interrupted")
        )


@pytest.mark.parametrize(("statements", "beside"), [(CLOCK, True), ((), False)], ids=["a day", "a rehearsal"])
def test_a_week_is_judged_against_the_last_good_one(changed, monkeypatch, statements, beside):
    """Where both follow the clock for a day: what could not be told before passes, and so says the exit code."""
    good, judged = changed("good", *statements, SWING), changed("judged", *statements, SWING)
    monkeypatch.setattr(weekly, "judge_folder", lambda folder: ([median(folder)], {}))
    week = _Week(weekly.flags().parse_args([]), [], weekly.load_settings(["--strict"]), judged.parent, None)
    with soaklib.open_run(judged) as opened:
        assert opened.info.reference is None
    code, is_new = week._judge_against(judged, Baseline(good, "the last good run").folder, ExitCode.CRITERION_FAILED)
    assert (code, is_new) == ((ExitCode.OK, True) if beside else (ExitCode.CRITERION_FAILED, False))
