"""Each command as it is used by someone who makes mistakes: one clear sentence, the documented code, nothing lost."""

import errno
import resource
import shutil
import subprocess
import sys

import duckdb
import pytest
from soak_hour import write_soak_hour

from soaklib.commands import collect, notebooks, report, run, sample, schedules, verify, watch, weekly
from soaklib.commands import main as door
from soaklib.evidence import checking

READERS = {
    "report": report.main,
    "collect": collect.main,
    "resume": lambda arguments: run.main(["--resume", *arguments]),
    "weekly": lambda arguments: weekly.main(["--resume", *arguments]),
    "watch": watch.main,
}
"""What takes a run and writes to it, or shows it for as long as it is looked at."""

COPIERS = {
    "sample": sample.main,
    "schedules": schedules.main,
    "notebooks": lambda words: notebooks.main([*words, "--copy-only"]),
}
"""What copies files that come with soaklib."""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template")
    write_soak_hour(folder)
    return folder


def nothing(_, folder):
    folder.mkdir()


def no_database(_, folder):
    folder.mkdir()
    (folder / "run.duckdb").write_text("a text\n")


def another_database(_, folder):
    folder.mkdir()
    with duckdb.connect(str(folder / "run.duckdb")) as connection:
        connection.execute("create table outcomes (a int)").fetchall()


def cut_short(template, folder):
    shutil.copytree(template, folder)
    with (folder / "run.duckdb").open("r+b") as file:
        file.truncate(200_000)


def of_the_future(template, folder):
    shutil.copytree(template, folder)
    with duckdb.connect(str(folder / "run.duckdb")) as connection:
        connection.execute("update run set schema_version = 99").fetchall()


MISTAKES = {
    nothing: "run.duckdb does not exist: pass the folder of a run",
    no_database: "is not a valid DuckDB database file",
    another_database: "is not a soaklib run: it has no table",
    cut_short: "Could not read enough bytes from file",
    of_the_future: "has schema version 99, this soaklib reads",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_what_is_no_run_is_code_2_and_stays_as_it_was(template, tmp_path, capsys, reader, mistake):
    """A sentence that says what is wrong with it; no file is added, none changed."""
    folder = tmp_path / "run"
    mistake(template, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*")}
    assert READERS[reader]([str(folder)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    [line] = said.err.splitlines()
    assert MISTAKES[mistake] in " ".join(line.split())
    assert {path: path.read_bytes() for path in folder.rglob("*")} == before


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_what_is_no_bundle_has_the_code_of_what_is_wrong(template, tmp_path, capsys, mistake):
    """Without a manifest nothing else is looked at."""
    folder = tmp_path / "run"
    mistake(template, folder)
    assert verify.main([str(folder)]) == checking.VerifyCode.MANIFEST
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "manifest: manifest.json cannot be read: No such file or directory", f"{folder} is not authentic",
    ]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
def test_a_bundle_is_not_written_to(tmp_path, capsys, reader):
    """What would be written beside its unpacked copy would be lost."""
    (tmp_path / "soak-artifacts-x.tar.gz").touch()
    assert READERS[reader]([str(tmp_path / "soak-artifacts-x.tar.gz")]) == 2
    assert "is a bundle, to which nothing is added: unpack it, and pass the folder" in capsys.readouterr().err


def test_what_is_no_run_to_compare_with_is_refused_before_anything_is_done(template, tmp_path, capsys):
    """Before a week's soak is run, and before a report's notebooks are."""
    (tmp_path / "nothing").mkdir()
    for words in (["weekly", "--out", str(tmp_path / "runs")], ["report", str(template)]):
        before = sorted(template.iterdir())
        assert door.main([*words, "--against", str(tmp_path / "nothing")]) == 2
        assert "run.duckdb does not exist: pass the folder of a run" in " ".join(capsys.readouterr().err.split())
        assert sorted(template.iterdir()) == before


def test_a_week_is_not_compared_with_itself(template, capsys):
    """It would accept its own level, whatever that is."""
    assert weekly.main(["--resume", str(template), "--against", str(template)]) == 2
    assert "is the run that is gone on with: pass another" in capsys.readouterr().err
    assert not (template / "comparison.json").exists()


@pytest.mark.parametrize("reader", [*READERS, "verify", "plan"])
def test_a_path_that_is_no_text_is_told_in_a_sentence(template, tmp_path, capsys, reader):
    """DuckDB takes none, and would say so by an error of another language's."""
    folder = tmp_path / "caf\udce9"
    shutil.copytree(template, folder)
    others = {
        "verify": verify.main,
        "plan": lambda words: run.main(["--check", "--plan", *words]),
    }
    assert (READERS | others)[reader]([str(folder / "plan.toml" if reader == "plan" else folder)]) == 2
    assert "is no UTF-8 text" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("copier", COPIERS)
def test_what_can_be_no_folder_is_told_in_a_sentence(tmp_path, capsys, copier):
    """Nothing can lie beneath a file; what is wanted can be had elsewhere."""
    (tmp_path / "file").touch()
    assert COPIERS[copier]([str(tmp_path / "file" / "in it")]) == 2
    assert capsys.readouterr().err == f"soaklib: {tmp_path}/file/in it cannot be made a folder: Not a directory\n"
    assert COPIERS[copier]([str(tmp_path / "made" / "whole")]) == 0


_LANE = ("--lane", "0/2", "--start-at", "2030-01-01T00:00:00Z", "--gateway-url", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["merge", "{run}", "--out"], "--out"),
        (["send", *_LANE, "--folder"], "--folder"),
        (["send", *_LANE, "--out"], "--out"),
    ],
    ids=["merge", "send into a folder", "send"],
)
def test_what_can_be_no_folder_of_a_fleet_is_told_in_a_sentence(template, tmp_path, capsys, words, flag):
    """Bad usage, and no criterion that fails, as the code of a traceback would say."""
    (tmp_path / "file").touch()
    place = f"{tmp_path}/file/in it"
    assert door.main([*(word.format(run=template) for word in words), place]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{flag} {place} cannot be made a folder: Not a directory" in said or f"{flag} {place}: no folder" in said


def test_half_a_sample_does_not_stay(tmp_path, capsys, monkeypatch):
    """A disk that is full in the midst of it: a sentence, the code for that, and room for the next try."""

    def full(source, target):
        target.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    assert sample.main([str(tmp_path / "kept")]) == 4
    said = capsys.readouterr().err
    assert said.startswith(f"soaklib: {tmp_path}/kept/")
    assert said.endswith(": No space left on device\n")
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_no_known_kind_is_refused_before_anything_is_packed(template, capsys):
    """Where a flag names it, the evidence would be without it."""
    before = sorted(template.iterdir())
    assert collect.main([str(template), "--database-url", "foo"]) == 2
    assert capsys.readouterr().err == (
        "soaklib: --database-url must be sqlite:///path or postgresql://user:password@host/name\n"
    )
    assert sorted(template.iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize("command", ["report", "collect", "resume", "weekly"])
def test_a_disk_that_takes_nothing_is_code_4_and_changes_nothing(template, tmp_path, command):
    """No byte can be written anywhere: a sentence, no traceback, and the run is as it was."""
    folder = tmp_path / "run"
    shutil.copytree(template, folder)
    with duckdb.connect(str(folder / "run.duckdb")) as connection:
        connection.execute("update run set status = 'interrupted'").fetchall()
    before = (folder / "run.duckdb").read_bytes()
    module, flags = {"resume": ("run", ["--resume"]), "weekly": ("weekly", ["--resume"])}.get(command, (command, []))
    ended = subprocess.run(
        [sys.executable, "-m", f"soaklib.{module}", *flags, str(folder)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )  # fmt: skip
    assert ended.returncode == (2 if command == "weekly" else 4), (
        ended.stderr
    )  # its lock cannot be had: nothing is sent
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 2
    assert (folder / "run.duckdb").read_bytes() == before
