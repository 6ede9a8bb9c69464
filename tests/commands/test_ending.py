"""The end of a run: what goes wrong in a step costs what that step makes."""

import errno
import json
import shutil
import sys
from types import SimpleNamespace

import pytest
from bundles import edit_database
from soak_hour import write_soak_hour

import soaklib
from soaklib.analysis.verdicts.criteria import judge
from soaklib.analysis.verdicts.summary import summary
from soaklib.commands import ending, report, weekly
from soaklib.commands.ending import conclude
from soaklib.commands.process import Stopped
from soaklib.commands.terminal import new_console
from soaklib.errors import RecordingError, SettingsError, SoaklibError, first_line
from soaklib.evidence import collecting, judging
from soaklib.plan.loading import load_settings
from soaklib.plan.model import TargetTable, load_plan
from soaklib.records import RunStatus
from soaklib.runner.job import SoakResult
from soaklib.store.names import SUMMARY_NAME
from soaklib.store.tables import DATABASE_NAME
from soaklib.store.views import Segment
from soaklib.store.writer import RunWriter

NOTE_GATEWAY = ending._note_gateway
MARKUP = "[/app/x.js:12] is no markup"
FAILURES = [
    RuntimeError("Kernel didn't respond in 60 seconds"), ZeroDivisionError("division by zero"), MemoryError(),
    OSError(errno.ENOSPC, "No space left on device"), SoaklibError(f"a cell says {MARKUP}"), KeyError("x"),
]  # fmt: skip


STEPS_FAIL = FAILURES[3:5]  # each step by two of them, since all steps go by the one way that is tried with all


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template")
    write_soak_hour(folder)
    (folder / "soak-summary.json").unlink(missing_ok=True)
    return folder


@pytest.fixture(scope="module")
def verdicts(template):
    """What the template's data say by some criteria, one of them failed: what is looked at here is what follows."""
    with soaklib.open_run(template) as run:
        found = judge(run, "full duration", "every slot accounted for", "success rate", "measurement valid")
    assert "fail" in {verdict.state for verdict in found}
    return found


@pytest.fixture(scope="module")
def segment(template):
    """The only one of every run here."""
    with soaklib.open_run(template) as run:
        [segment] = run.info.segments
    return segment


@pytest.fixture(scope="module")
def judged(template, verdicts):
    """What judging a folder gives: the verdicts and their summary."""
    with soaklib.open_run(template) as run:
        return verdicts, summary(run, verdicts)


@pytest.fixture(autouse=True)
def judged_once(judged, monkeypatch):
    """Every run here is the template's: its judging is known, and no gateway is there to say a word."""

    def judge_folder(folder):
        (folder / SUMMARY_NAME).write_text(json.dumps(judged[1]), "utf-8")
        return list(judged[0]), judged[1]

    monkeypatch.setattr(ending, "judge_folder", judge_folder)
    monkeypatch.setattr(ending, "_note_gateway", lambda _: None)


@pytest.fixture
def truly_judged(judged_once, verdicts, monkeypatch):  # noqa: ARG001 - in place of it
    """Every step is taken as it is, but for the criteria, which are asked once."""
    monkeypatch.setattr(ending, "judge_folder", judging.judge_folder)
    monkeypatch.setattr(ending, "_note_gateway", NOTE_GATEWAY)
    monkeypatch.setattr(judging, "judge", lambda _: list(verdicts))


@pytest.fixture
def job(template, segment, tmp_path):
    """A soak that has come to its end, in a folder of its own."""
    folder = shutil.copytree(template, tmp_path / "r1")
    return SimpleNamespace(
        folder=folder, settings=load_settings([]), plan=load_plan(), run_id="r1", target="http://127.0.0.1:1",
        segment=segment,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def steps(monkeypatch):
    """Report and bundle in name only; give what was made."""
    made = []
    monkeypatch.setattr(report, "build_report", lambda *_, **__: made.append("report"))
    monkeypatch.setattr(collecting, "collect", lambda *_, **__: made.append("bundle"))
    return made


def result(job, error=None, status=RunStatus.COMPLETED):
    started_us = job.segment.started_at_us
    ended = Segment(
        segment=0, started_at_us=started_us, soak_started_s=0.0,
        ended_at_us=started_us + 5_000_000, soak_ended_s=3600.0,
    )  # fmt: skip
    return SoakResult(status=RunStatus.FAILED if error else status, segments=(ended,), error=error)


def end(job, *, error=None, signal_number=None, log_url=None, status=RunStatus.COMPLETED):
    return conclude(
        job, result(job, error, status), log_url=log_url, signal_number=signal_number, console=new_console()
    )  # fmt: skip


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


def summary_of(job):
    return json.loads((job.folder / "soak-summary.json").read_text())


def expected_code(job):
    return int(any(verdict["state"] == "fail" for verdict in summary_of(job)["verdicts"]))


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_whatever_a_step_raises_is_told_in_one_line(error):
    """And goes no further; a signal is no such failure."""
    told = []
    with ending.costing(told.append):
        raise error
    assert told == [first_line(error)]
    with pytest.raises(Stopped), ending.costing(told.append):
        raise Stopped(15)
    assert len(told) == 1


@pytest.mark.usefixtures("truly_judged")
def test_a_good_end_has_everything(job, steps, capsys):
    """Verdicts, summary, report, bundle, the folder on standard output, and the code of the verdicts."""
    code = end(job)
    assert steps == ["report", "bundle"]
    assert code == expected_code(job)
    said = capsys.readouterr()
    assert said.out == f"{job.folder}\n"
    assert " no " not in said.err.split("run r1")[0]
    with soaklib.open_run(job.folder) as run:
        assert run.verdicts().height == len(summary_of(job)["verdicts"])


@pytest.mark.parametrize("error", STEPS_FAIL, ids=lambda error: type(error).__name__)
def test_whatever_fails_the_report_costs_the_report_alone(job, steps, monkeypatch, capsys, error):
    """One sentence; the bundle is packed, and the code is that of the verdicts."""
    monkeypatch.setattr(report, "build_report", raising(error))
    assert end(job) == expected_code(job)
    assert steps == ["bundle"]
    said = capsys.readouterr().err
    assert [line for line in said.splitlines() if line.startswith("no report: ")] != []
    assert "Traceback" not in said
    if isinstance(error, SoaklibError):
        assert f"no report: a cell says {MARKUP}" in said


@pytest.mark.parametrize("error", STEPS_FAIL, ids=lambda error: type(error).__name__)
def test_whatever_fails_the_bundle_costs_the_bundle_alone(job, steps, monkeypatch, capsys, error):
    """The code is that of the verdicts."""
    monkeypatch.setattr(collecting, "collect", raising(error))
    assert end(job) == expected_code(job)
    assert steps == ["report"]
    assert "no bundle: " in capsys.readouterr().err


def test_what_the_plan_names_is_looked_for_in_the_bundle(job, monkeypatch):
    """Keys that it takes from the environment, as well as the values of headers."""
    asked = []
    monkeypatch.setenv("MASTER_KEY", "sk-1234")
    monkeypatch.setenv("GATEWAY_AUTH", "the word of the day")
    monkeypatch.setattr(collecting, "collect", lambda *_, secrets, **__: asked.append(set(secrets)))
    job.settings = load_settings(["--header-env", "Authorization=GATEWAY_AUTH"])
    job.plan = job.plan.model_copy(update={"target": TargetTable(kind="openai", admin_key="MASTER_KEY")})
    end(job)
    assert asked == [{"the word of the day", "sk-1234"}]


@pytest.mark.parametrize("error", STEPS_FAIL, ids=lambda error: type(error).__name__)
def test_a_run_that_cannot_be_judged_is_kept_and_code_4(job, steps, monkeypatch, capsys, error):
    """It is still reported and packed as far as that goes; the sentence says how to judge it later."""
    monkeypatch.setattr(ending, "judge_folder", raising(error))
    with pytest.raises(
        RecordingError, match=r"the run is recorded and was not judged; python -m soaklib\.collect .* does"
    ):
        end(job)
    assert steps == ["report", "bundle"]
    said = capsys.readouterr()
    assert "no verdicts: " in said.err
    assert said.out == f"{job.folder}\n"


def test_a_table_that_cannot_be_shown_costs_nothing_else(job, steps, monkeypatch):
    """The verdicts are in the run all the same."""
    monkeypatch.setattr(ending, "show_verdicts", raising(ValueError("a width")))
    assert end(job) == expected_code(job)
    assert steps == ["report", "bundle"]


def test_a_request_log_that_cannot_be_had_costs_nothing_else(job, steps, capsys):
    """No such database."""
    assert end(job, log_url="sqlite:////nowhere/at/all.db") == expected_code(job)
    assert steps == ["report", "bundle"]
    assert "no request log: " in capsys.readouterr().err


def test_an_end_that_cannot_be_written_down_is_code_4_and_everything_else_is_tried(job, steps, monkeypatch, capsys):
    """The disk is full at that moment; what went wrong with the soak itself comes first."""
    full = RecordingError("cannot write run.duckdb: No space left on device")
    monkeypatch.setattr(ending, "_end", raising(full))
    with pytest.raises(RecordingError) as caught:
        end(job)
    assert caught.value is full
    assert steps == ["report", "bundle"]
    assert capsys.readouterr().out == f"{job.folder}\n"
    first = RecordingError("the recorder was killed by SIGKILL")
    with pytest.raises(RecordingError) as caught:
        end(job, error=first)
    assert caught.value is first


def test_a_signal_is_heard_at_the_end_too(job, monkeypatch, capsys):
    """It is no failure of a step: everything recorded is said to be there, and the command ends."""
    monkeypatch.setattr(report, "build_report", raising(Stopped(15)))
    with pytest.raises(Stopped):
        end(job)
    assert "everything recorded is in" in capsys.readouterr().err


def test_an_interrupted_soak_has_the_signals_code_even_without_verdicts(job, monkeypatch):
    """128 + n."""
    assert end(job, signal_number=2, status=RunStatus.INTERRUPTED) == 130
    monkeypatch.setattr(ending, "judge_folder", raising(KeyError("x")))
    assert end(job, signal_number=15, status=RunStatus.INTERRUPTED) == 143


def test_a_signal_after_the_last_call_is_no_interruption(job, capsys):
    """The run is complete: its code is that of its verdicts, and nobody is told to go on with it."""
    assert end(job, signal_number=2) == expected_code(job)
    assert "--resume" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.EIO, errno.EPIPE, errno.ENOSPC])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_streams_that_take_no_word_cost_nothing(job, steps, monkeypatch, number, stream):
    """Verdicts, report, bundle and exit code are there without a word."""
    monkeypatch.setattr(sys, stream, SimpleNamespace(write=raising(OSError(number, "no")), flush=lambda: None))
    assert end(job) == expected_code(job)
    assert steps == ["report", "bundle"]


@pytest.mark.usefixtures("truly_judged")
def test_verdicts_are_replaced_whole_or_not_at_all(job):
    """A defect or a full disk in the middle of them leaves the earlier ones."""
    end(job)
    with soaklib.open_run(job.folder) as run:
        before = run.verdicts().rows()
    writer = RunWriter(job.folder / DATABASE_NAME)
    with pytest.raises(RecordingError):
        writer.replace_verdicts([before[0], ("one column",)])
    writer.close()
    with soaklib.open_run(job.folder) as run:
        assert run.verdicts().rows() == before


@pytest.fixture
def rest_of_the_week(job, monkeypatch):
    """What a week does after its soak, in name only."""
    for name in ("build_report", "collect"):
        monkeypatch.setattr(weekly, name, lambda *_, **__: job.folder)
    monkeypatch.setattr(weekly, "verify", lambda _: ([], []))


@pytest.mark.usefixtures("truly_judged", "rest_of_the_week")
@pytest.mark.parametrize("left", ["delete from verdicts", "update verdicts set state = 'pass'"])
def test_a_week_that_was_killed_before_it_was_judged_is_not_taken_for_good(job, tmp_path, left):
    """Its verdicts are made on resume, also where those of an earlier segment are there; the pipeline is told them."""
    assert end(job) == 1
    edit_database(job.folder, left)
    assert weekly.main(["--resume", str(job.folder), "--junit", str(junit := tmp_path / "junit.xml")]) == 1
    assert "<failure" in junit.read_text("utf-8")


@pytest.mark.usefixtures("truly_judged", "rest_of_the_week")
def test_a_week_that_cannot_be_judged_is_code_4(job, monkeypatch, capsys):
    """As a soak that cannot be; the last line is its folder all the same."""
    end(job)
    monkeypatch.setattr(weekly, "settle", raising(KeyError("x")))
    assert weekly.main(["--resume", str(job.folder)]) == 4
    said = capsys.readouterr()
    assert "weekly: NOT JUDGED: KeyError: 'x'" in said.err
    assert said.out.splitlines()[-1] == str(job.folder)


@pytest.mark.usefixtures("truly_judged", "rest_of_the_week")
@pytest.mark.parametrize("error", STEPS_FAIL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "step", [("build_report", "REPORT"), ("write_comparison", "COMPARISON"), ("collect", "BUNDLE")]
)
def test_a_week_goes_on_past_what_fails_in_it(job, monkeypatch, capsys, step, error):
    """Each of its steps; the last lines say what is lacking, and the code is not that of a good week."""
    name_of_step, lacks = step
    code = end(job)
    monkeypatch.setattr(weekly, name_of_step, raising(error))
    assert weekly.main(["--resume", str(job.folder)]) == max(code, 1)
    said = capsys.readouterr()
    assert f"weekly: NO {lacks}: " in said.err
    assert said.out.splitlines()[-1] == str(job.folder)


def test_a_missing_extra_costs_the_report_alone(job, steps, monkeypatch):
    """The notebooks' packages are not installed."""
    monkeypatch.setattr(report, "build_report", raising(SettingsError("a report needs papermill")))
    assert end(job) == expected_code(job)
    assert steps == ["bundle"]
