"""The weekly soak, with soaks that are written by hand; tests/integration/test_weekly_runs.py runs real ones."""

import os
import re
import signal
import subprocess
import sys
import time

import duckdb
import polars as pl
import pytest
from soak_hour import write_soak_hour
from weekly_soaks import Weeks

from soaklib.analysis.sources.run import RunInfo
from soaklib.analysis.verdicts.compare import COMPARISON_SCHEMA
from soaklib.commands import weekly
from soaklib.errors import RecordingError, SoaklibError
from soaklib.evidence import comparison
from soaklib.evidence.comparison import read_comparison
from soaklib.reports.pipeline import SUMMARY_VARIABLE
from soaklib.store.bundle import bundle_name
from soaklib.store.lock import RunLock, is_owned

pytestmark = pytest.mark.slow  # each week is judged and compared

SLOWER = "update outcomes set done_at_us = done_at_us + 20000 where done_at_us is not null"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Folder of a run that every soak is a copy of."""
    folder = tmp_path_factory.mktemp("template")
    write_soak_hour(folder)
    return folder


@pytest.fixture
def weeks(template, tmp_path, monkeypatch, capsys):
    return Weeks(template, tmp_path / "runs", monkeypatch, capsys)


@pytest.fixture
def alike(monkeypatch):
    """Weeks that are the same unseen: to compare two takes a second, and is looked at by other tests."""
    monkeypatch.setattr(comparison, "compare_tools", lambda *_, **__: pl.DataFrame(schema=COMPARISON_SCHEMA))


def test_the_first_week_has_nothing_to_be_compared_with(weeks):
    """It is packed and verified all the same; the last line of stdout is the folder."""
    code, folder, said = weeks.week()
    assert code == 0
    assert "not compared: there is no good run before it (it is the first)" in said
    assert f"{bundle_name(folder.name)} is authentic" in said
    assert weeks.stdout == [str(folder)]
    assert read_comparison(folder).against is None
    assert "Not compared" in (folder / "comparison.md").read_text()


def test_a_second_week_is_compared_with_the_first(weeks):
    """In the words at the end, in comparison.json and in comparison.md; an hour has too few calls for a tool's p99."""
    _, first, _ = weeks.week()
    code, second, said = weeks.week()
    assert code == 0
    assert said.count(f"against {first.name}: same: ") == 2
    comparison = read_comparison(second)
    assert comparison.against == first.name
    assert [change.state for change in comparison.endpoints] == ["same", "inconclusive", "same"]
    assert comparison.regressions == ()
    text = (second / "comparison.md").read_text()
    assert f"Compared with {first.name}, the last good run." in text
    assert re.search(r"\| latency \(median\) \| (1\.\d+) \| \1 \| ms \| 0 \|", text)


def test_a_week_that_got_worse_ends_with_1_and_names_the_endpoint(weeks):
    """Although its soak passed; and it is not the measure of the next week, until --against makes another one."""
    _, first, _ = weeks.week()
    code, worse, said = weeks.week(statements=[SLOWER])
    assert code == 1
    told = re.escape(f"weekly: WORSE than {first.name}: latency (median): ") + r"1\.2\d\d? to 21\.2\d? ms"
    assert re.match(told, said.splitlines()[-2])
    assert said.splitlines()[-1] == "weekly: exit code 1"
    assert "**different: worse**" in (worse / "comparison.md").read_text()

    code, still, said = weeks.week(statements=[SLOWER])
    assert code == 1
    assert f"WORSE than {first.name}" in said
    code, accepted, said = weeks.week("--against", str(still), statements=[SLOWER])
    assert code == 0
    assert f"against {still.name}: same: " in said
    code, _, said = weeks.week(statements=[SLOWER])
    assert code == 0
    assert f"against {accepted.name}: same: " in said


@pytest.mark.usefixtures("alike")
def test_a_week_that_is_judged_anew_says_so_to_the_pipeline(weeks, monkeypatch, tmp_path):
    """The soak told it before the day of the good run was taken out of what it measured."""
    anew = "update verdicts set state = 'pass'"
    monkeypatch.setattr(weekly, "why_no_reference", lambda *_: "")
    monkeypatch.setattr(weekly, "keep_reference", lambda *_: ["openai"])
    monkeypatch.setattr(weekly, "judge_folder", lambda run: duckdb.connect(run / "run.duckdb").execute(anew).close())
    monkeypatch.setattr(RunInfo, "follows_the_clock", True)
    _, first, _ = weeks.week()
    code, _, said = weeks.week("--junit", str(junit := tmp_path / "junit.xml"), code=1, verdict="fail")
    assert (code, f"judged against the day of {first.name}: openai" in said) == (0, True)
    assert "<failure" not in junit.read_text("utf-8")
    monkeypatch.setenv(SUMMARY_VARIABLE, str(tmp_path / "no" / "summary.md"))
    code, _, said = weeks.week(code=1, verdict="fail")
    assert (code, "NO WORD TO THE PIPELINE: cannot write" in said) == (1, True)


def test_a_week_whose_comparison_is_damaged_is_no_measure(weeks):
    """Nobody knows whether it got worse; the next week is compared with the one before."""
    _, first, _ = weeks.week()
    _, second, _ = weeks.week()
    (second / "comparison.json").write_text("")
    code, third, said = weeks.week()
    assert code == 0, said
    assert read_comparison(third).against == first.name
    assert f"found: {second / 'comparison.json'} cannot be read as a comparison: " in said


def test_a_week_that_got_better_is_no_regression(weeks):
    """It is different, said so, and passes."""
    weeks.week(statements=[SLOWER])
    code, better, said = weeks.week()
    assert code == 0
    assert "different: latency (median)" in said
    assert read_comparison(better).regressions == ()


@pytest.mark.usefixtures("alike")
@pytest.mark.parametrize(
    ("why", "options"),
    [
        ("a criterion failed", {"verdict": "fail", "code": 1}),
        ("it was not judged", {"statements": ["delete from verdicts"]}),
        ("its rps is another", {"statements": ["update run set rps = 2"]}),
        ("it is interrupted", {"status": "interrupted", "code": 143}),
    ],
)
def test_a_run_that_is_not_good_is_passed_over_and_it_is_said_why(weeks, why, options):
    """A failed criterion, another load, an early end: the run before it is the measure."""
    _, first, _ = weeks.week()
    assert weeks.week(**options)[0] == options.get("code", 0)
    _, third, _ = weeks.week()
    assert read_comparison(third).against == first.name
    weeks.unauthentic |= {first.name, third.name}
    _, _, said = weeks.week()
    assert f"0002: {why}; {first.name}: run.duckdb was changed" in said


def test_the_soaks_own_code_is_the_weeks(weeks):
    """A failed criterion, and what ends before there is a run."""
    assert weeks.week(code=1, verdict="fail")[0] == 1
    for code in (2, 3):
        ended, folder, _ = weeks.week(code=code)
        assert ended == code
        assert not folder.exists()
        assert weeks.stdout == []


@pytest.mark.parametrize(("code", "status"), [(143, "interrupted"), (4, "failed"), (-9, "running")])
def test_a_soak_that_was_cut_off_is_not_compared_and_can_be_gone_on_with(weeks, code, status):
    """By a signal, by a full disk, by a kill: its code, its folder, the way on, and nothing done to it."""
    ended, folder, said = weeks.week(code=code, status=status, says_folder=code > 0)
    assert ended == (137 if code == -9 else code)
    assert f"the run is {status} and was not compared; go on with it: --resume {folder}" in said
    assert ("the soak was killed by SIGKILL (out of memory?)" in said) == (code == -9)
    assert read_comparison(folder) is None
    assert weeks.stdout == [str(folder)]

    ended, _, said = weeks.week()
    assert ended == 0
    how = {"running": "was cut off"}.get(status, f"is {status}")
    assert f"found: {folder} {how}; go on with it: --resume {folder}" in said


def test_a_week_that_was_killed_after_its_soak_is_finished_by_resume(weeks, monkeypatch):
    """No second soak: what is left is done. The next week says what it found."""
    monkeypatch.setattr(weekly, "settle", lambda _: None)  # its verdict is the one that was put there
    _, folder, _ = weeks.week()
    assert "found: " not in weeks.week(code=3)[2]
    for name in ("comparison.json", bundle_name(folder.name)):
        (folder / name).unlink()
        _, _, said = weeks.week(code=3)
        assert f"found: {folder} is complete, and was not compared or packed; to do so: --resume {folder}" in said
    code, _, said = weeks.week("--resume", str(folder), soaks=False)
    assert code == 0
    assert "the soak is complete; doing what is left" in said
    assert read_comparison(folder) is not None
    assert weeks.stdout == [str(folder)]


@pytest.mark.usefixtures("alike")
def test_a_second_start_is_refused(weeks):
    """While a week goes on, and while any soak goes on in the folder; with a sentence and code 2."""
    _, folder, _ = weeks.week()
    with weekly.only_one(weeks.out):
        code, _, said = weeks.week(soaks=False)
    assert code == 2
    assert f"the weekly soak of {weeks.out} is going on already (pid {os.getpid()})" in said
    with RunLock(folder):
        code, _, said = weeks.week(soaks=False)
    assert code == 2
    assert f"a soak is still going on in {folder}; wait for it or stop it first" in said
    assert weeks.week()[0] == 0


@pytest.mark.usefixtures("alike")
def test_old_runs_are_named_first_and_go_only_when_told_to(weeks):
    """Without --remove it is said what would go; with it, it goes. What is not authentic stays, and the oldest good."""
    folders = [weeks.week()[1] for _ in range(4)]
    weeks.unauthentic.add(folders[0].name)
    _, _, said = weeks.week("--keep", "2")
    assert f"would remove {folders[2].name}" in said
    assert f"kept {folders[0].name}: its evidence does not verify: run.duckdb was changed" in said
    assert all(folder.exists() for folder in folders)
    _, newest, said = weeks.week("--keep", "2", "--remove")
    assert f"removed {folders[2].name}" in said
    left = sorted(path.name for path in weeks.out.iterdir() if path.is_dir())
    assert left == [folders[0].name, folders[1].name, "20260105T060000Z-0005", newest.name]


def test_a_run_that_cannot_be_removed_costs_no_word(weeks, monkeypatch):
    """What got worse is said, the folder is named, and the next old run is tried."""
    for _ in range(2):
        weeks.week()
    tried = []

    def refuse(folder):
        tried.append(folder)
        msg = f"{folder} cannot be removed: Permission denied"
        raise RecordingError(msg)

    monkeypatch.setattr(weekly, "remove_run", refuse)
    weeks.week()
    code, folder, said = weeks.week("--keep", "1", "--remove", statements=[SLOWER])
    assert (code, len(tried)) == (1, 1)
    assert "WORSE than" in said
    assert "NOT REMOVED: " in said
    assert folder.is_dir()


def test_the_good_run_that_a_bad_week_was_compared_with_stays(weeks):
    """Even as the oldest of many bad ones."""
    _, good, _ = weeks.week()
    for _ in range(3):
        _, _, said = weeks.week("--keep", "1", "--remove", statements=[SLOWER])
    assert good.exists()
    assert f"kept {good.name}: it is a good run that others are compared with" in said


def test_a_report_that_failed_is_code_1(weeks, monkeypatch):
    """The soak passed, the week did not; the bundle is made all the same, and the last lines say what is lacking."""
    monkeypatch.setattr(weekly, "build_report", _failing(SoaklibError("notebook 10 failed")))
    code, _, said = weeks.week(reports=True)
    assert code == 1
    assert said.splitlines()[-2:] == ["weekly: NO REPORT: notebook 10 failed", "weekly: exit code 1"]


def test_a_report_finds_a_run_that_nobody_holds(weeks, monkeypatch):
    """Its kernels are other processes, and would wait for whoever holds the run."""
    held = []
    monkeypatch.setattr(weekly, "build_report", lambda folder, **_: held.append(is_owned(folder)))
    assert weeks.week(reports=True)[0] == 0
    assert held == [False]


def test_a_bundle_that_cannot_be_made_or_does_not_hold_is_code_1(weeks, monkeypatch):
    """The last lines say so."""
    monkeypatch.setattr(weekly, "collect", _failing(RecordingError("the disk is full")))
    code, _, said = weeks.week()
    assert (code, said.splitlines()[-2]) == (1, "weekly: NO BUNDLE: the disk is full")
    monkeypatch.setattr(weekly, "collect", weeks._collect)
    weeks.unauthentic.add(bundle_name("20260102T060000Z-0002"))
    code, folder, said = weeks.week()
    assert code == 1
    assert said.splitlines()[-2].endswith(f"{bundle_name(folder.name)} IS NOT AUTHENTIC: run.duckdb was changed")


def _failing(error):
    def fail(*_, **__):
        raise error

    return fail


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rps", "0"], "--rps '0': input should be greater than 0"),
        (["--against", "no-such-run"], "there is no run 'no-such-run'"),
        (["--resume", "no-such-run"], "there is no run 'no-such-run'"),
        (["--out", "/proc/nowhere"], "--out /proc/nowhere: cannot be written"),
        (["--nope"], "there is no flag --nope"),
    ],
)
def test_bad_usage_is_a_sentence_and_code_2(tmp_path, capsys, arguments, message):
    """And nothing is run."""
    code = weekly.main(["--out", str(tmp_path / "runs"), *arguments])
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert message in told.err


def test_the_shell_is_given_the_code(tmp_path):
    """Of bad usage: the sentence alone."""
    command = [sys.executable, "-m", "soaklib.weekly", "--out", str(tmp_path / "runs"), "--keep", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "'0' is no whole number from 1" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.usefixtures("hangup_is_heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_soak_once_and_its_code_comes_back(tmp_path, monkeypatch, number):
    """What asks the week to end asks the soak to end, and how the soak ends is the answer."""
    program = tmp_path / "soaklib"
    program.mkdir()
    (program / "__init__.py").touch()
    (program / "run.py").write_text(
        "import signal, sys, time, os\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(128 + {int(number)}))\n"
        "os.kill(os.getppid(), " + str(int(number)) + ")\n"
        "time.sleep(30)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    before = signal.getsignal(number)
    assert weekly._run_soak([], 2) == 128 + number
    assert signal.getsignal(number) is before
    assert time.monotonic() - began < 20
