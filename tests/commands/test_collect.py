"""The evidence of a run, made whole and packed."""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile

import pytest
from bundles import edit_database, gateway_database, loose_copy, manifest_of

import soaklib
from soaklib.commands.collect import main
from soaklib.errors import RecordingError, RunError
from soaklib.evidence import collecting
from soaklib.evidence.checking import verify
from soaklib.evidence.collecting import collect
from soaklib.records import Event
from soaklib.store import lock
from soaklib.store.bundle import unpack
from soaklib.store.lock import RunLock
from soaklib.store.writer import RunWriter


@pytest.fixture
def folder(rehearsal, tmp_path):
    """A finished run's folder, to be changed."""
    return loose_copy(rehearsal.folder, tmp_path)


def test_every_part_that_is_due_is_there_or_named_with_the_reason(folder):
    """The manifest lists all of them; what the report makes is missing from a run without one."""
    manifest = manifest_of(collect(folder))
    with soaklib.open_run(folder) as run:
        hours = int(run.info.hours)
    assert {part.name: (part.state, part.detail) for part in manifest.parts} == {
        "run.duckdb": ("present", ""),
        f"soak-h0.prom to soak-h{hours - 1}.prom": ("present", f"{hours} of {hours}"),
        "soak-final.prom": ("present", ""),
        "soak-events.log": ("present", ""),
        "soak-summary.json": ("present", ""),
        "request-log.parquet": ("present", ""),
        "metrics-analysis.txt": ("present", ""),
        f"soak-test-report-{folder.name}.md": ("present", ""),
        **dict.fromkeys(
            ("figures/", "report.html", "whitepaper.html", "whitepaper.pdf", "claims.json"),
            ("missing", "made by: python -m soaklib.report RUN"),
        ),
    }
    assert (manifest.database_snapshot.state, manifest.database_snapshot.detail) == (
        "not applicable",
        "the run knows of no database of the gateway; pass --database-url to add one",
    )


def test_a_rehearsal_has_a_snapshot_of_its_own_gateways_database(rehearsal):
    """Taken before that gateway ends; its tables of tokens and credentials are schema only."""
    [bundle] = rehearsal.folder.glob("soak-artifacts-*")
    snapshot = manifest_of(bundle).database_snapshot
    assert (snapshot.state, snapshot.kind, snapshot.includes_secrets) == ("good", "sqlite", False)
    with soaklib.open_run(rehearsal.folder) as run:
        sent = run.sql("select count(*) from outcomes where attempts > 0").item()
    assert {table.table: table.rows for table in snapshot.tables}["proxy_logs"] >= sent


def test_the_manifest_names_every_file_of_the_bundle_as_it_is(folder):
    """Path, size and SHA-256 of each member but the manifests, which sha256sum can check too."""
    bundle = collect(folder)
    with tarfile.open(bundle) as archive:
        packed = {member.name.removeprefix(f"{folder.name}/"): archive.extractfile(member).read() for member in archive}
    manifests = {name: packed.pop(name) for name in ("manifest.json", "manifest.txt")}
    entries = json.loads(manifests["manifest.json"])["files"]
    assert entries == [
        {"path": name, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(packed.items())
    ]
    checked = subprocess.run(
        ["sha256sum", "--check", "manifest.txt"], cwd=folder, check=False, capture_output=True, text=True  # noqa: S607
    )  # fmt: skip
    assert (checked.returncode, len(checked.stdout.splitlines())) == (0, len(entries))


def test_the_manifest_says_where_everything_comes_from(folder):
    """The run's own row, what made it and what made the bundle."""
    manifest = manifest_of(collect(folder))
    with soaklib.open_run(folder) as run:
        info = run.info
    said = (manifest.run_id, manifest.seed, manifest.speed, manifest.rps, manifest.hours, manifest.status)
    assert said == (folder.name, info.seed, info.speed, info.rps, info.hours, "completed")
    assert manifest.settings == info.settings
    assert manifest.environment == info.environment
    assert manifest.collected_with.packages["duckdb"] == info.environment["packages"]["duckdb"]
    assert manifest.gateway.embedded
    assert manifest.gateway.facts == info.environment["gateway"]["begin"]["facts"]
    assert info.environment["gateway"]["end"] == info.environment["gateway"]["begin"]
    assert manifest.gateway.detail.startswith("as its /health says: process.version v")


def test_the_same_run_gives_the_same_bytes(folder, tmp_path):
    """Whoever collects, when, in which folder and under which rights: the bundle does not tell."""
    first = collect(folder, parquet=True).read_bytes()
    elsewhere = tmp_path / "elsewhere" / folder.name
    shutil.copytree(folder, elsewhere)
    for path in elsewhere.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1, 1))
    assert collect(elsewhere, parquet=True).read_bytes() == first
    with tarfile.open(collect(elsewhere)) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == sorted(member.name for member in members)
    with soaklib.open_run(folder) as run:
        ended_s = int(run.info.completed_utc.timestamp())
    assert {(member.uid, member.gid, member.uname, member.mode, member.mtime) for member in members} == {
        (0, 0, "", 0o644, ended_s)
    }


def test_the_texts_hold_the_numbers_of_the_data(folder):
    """The report's rows are those of its queries, the metrics analysis' those of the last scrape less the first."""
    collect(folder)
    report = (folder / f"soak-test-report-{folder.name}.md").read_text()
    analysis = (folder / "metrics-analysis.txt").read_text()
    with soaklib.open_run(folder) as run:
        kinds = run.sql("select purpose, kind, count(*) from outcomes group by all").rows()
        [row] = run.sql(
            """select count(*), count(*) filter (kind = 'ok'), count(*) filter (kind = 'denied'),
                      count(*) filter (kind not in ('ok', 'denied'))
               from outcomes where tool = 'serpapi' and purpose = 'load'"""
        ).rows()
        totals = run.sql(
            """select metric, sum("value") filter (at_us = (select max(at_us) from samples where metric = s.metric))
               - coalesce(sum("value") filter (at_us = (select min(at_us) from samples where metric = s.metric)), 0)
               from samples as s where metric = 'gateway_token_validations_total' group by metric"""
        ).rows()
    for purpose, kind, n in kinds:
        assert f"| {purpose} | {kind} | {n:,} |" in report
    assert f"| serpapi | search | {' | '.join(f'{n:,}' for n in row)} |" in report
    [line] = [line for line in analysis.splitlines() if line.startswith("gateway_token_validations_total")]
    assert line.split()[-1] == f"{totals[0][1]:,.0f}"


def test_the_bundle_opens_and_verifies(folder):
    """What was packed is a run like any other."""
    bundle = collect(folder, parquet=True)
    assert verify(bundle).problems == []
    unpacked = unpack(bundle)
    assert unpack(bundle) == unpacked
    with soaklib.open_run(unpacked) as packed, soaklib.open_run(folder) as run:
        assert packed.info.run_id == run.info.run_id
        assert packed.outcomes().equals(run.outcomes())


def test_the_seal_holds_the_tables(folder):
    """Each table as Parquet, made anew by a later call that does not ask for it."""
    collect(folder, parquet=True)
    sealed = {path.stem for path in (folder / "parquet").iterdir()}
    assert sealed == {
        "run", "segments", "outcomes", "samples", "scrapes", "events", "runner_health", "verdicts",
    }  # fmt: skip
    edit_database(folder, "update events set detail = 'changed' where name = 'POLICIES_REMOVED'")
    collect(folder)
    with soaklib.open_run(folder) as run:
        changed = run.sql(f"from '{folder}/parquet/events.parquet' where detail = 'changed'")
    assert changed["name"].to_list() == ["POLICIES_REMOVED"]


def test_a_seal_that_cannot_be_written_leaves_the_bundle_whole(folder):
    """It is named as missing, with the reason; nothing of it is packed."""
    (folder / ".parquet.part").write_text("in the way")
    manifest = manifest_of(collect(folder, parquet=True))
    [part] = [part for part in manifest.parts if part.name == "parquet/"]
    assert (part.state, "cannot be written: [Errno 17] File exists" in part.detail) == ("missing", True)
    assert not [entry.path for entry in manifest.files if entry.path.startswith("parquet/")]


def test_verdicts_that_are_not_those_of_the_data_are_made_anew(folder):
    """So that a bundle always says what its own data say."""
    edit_database(folder, "delete from verdicts", "update outcomes set kind = 'ok' where purpose = 'probe'")
    bundle = collect(folder)
    with soaklib.open_run(folder) as run:
        assert dict(run.verdicts().select("name", "state").iter_rows())["no false-allow"] == "fail"
    assert verify(bundle).problems == []


@pytest.mark.parametrize("status", ["running", "completed"])
def test_a_crashed_run_is_collected_with_what_it_wrote_last(folder, tmp_path, status):
    """What a killed writer left in its log is in the bundle, and the run stays what it is."""
    writer = RunWriter(folder / "run.duckdb")
    writer.append({"events": [Event(10**12, "LATE_SENDING", "the last words", None)]})
    if status == "running":
        writer.reopen_run()
    crashed = tmp_path / "crashed" / folder.name
    shutil.copytree(folder, crashed)  # as kill -9 leaves it: the rows are in run.duckdb.wal
    writer.close()
    assert (crashed / "run.duckdb.wal").stat().st_size > 0
    bundle = collect(crashed)
    manifest = manifest_of(bundle)
    assert (manifest.status, manifest.completed_at is None) == (status, status == "running")
    assert not {entry.path for entry in manifest.files} & {"run.duckdb.wal"}
    assert verify(bundle).problems == []
    with soaklib.open_run(unpack(bundle)) as run:
        assert run.events()["detail"].to_list()[-1] == "the last words"


# -- the database snapshot


def test_a_snapshot_stays_when_the_database_is_gone(folder, tmp_path):
    """Collected again later, the bundle still holds what was taken when the run ended."""
    database = tmp_path / "gateway.sqlite"
    first = collect(folder, database_url=gateway_database(database))
    content = first.read_bytes()
    database.unlink()
    assert collect(folder).read_bytes() == content
    snapshot = manifest_of(collect(folder, database_url=f"sqlite:///{database}")).database_snapshot
    assert snapshot.state == "good"
    assert snapshot.detail.endswith(f"a newer one was not taken: there is no SQLite file {database}")


def test_a_snapshot_is_not_taken_anew_unasked(folder, tmp_path):
    """What the gateway wrote later belongs to another run."""
    url = gateway_database(tmp_path / "gateway.sqlite")
    first = manifest_of(collect(folder, database_url=url)).database_snapshot
    assert first.state == "good"
    with contextlib.closing(sqlite3.connect(tmp_path / "gateway.sqlite")) as database:
        database.execute("delete from agents")
        database.commit()
    assert manifest_of(collect(folder)).database_snapshot == first
    rows = {
        table.table: table.rows for table in manifest_of(collect(folder, database_url=url)).database_snapshot.tables
    }
    assert rows["agents"] == 0


def test_a_database_that_cannot_be_reached_leaves_the_bundle_whole(folder):
    """The snapshot is insufficient, and the manifest says why, without the password."""
    bundle = collect(folder, database_url="postgresql://soak:hunter22hunter@127.0.0.1:1/gateway")
    manifest = manifest_of(bundle)
    assert manifest.database_snapshot.state == "insufficient"
    assert "Connection refused" in manifest.database_snapshot.detail
    [part] = [part for part in manifest.parts if part.name == "database-snapshot.sql.gz"]
    assert (part.state, part.detail) == ("missing", manifest.database_snapshot.detail)
    assert "hunter22hunter" not in manifest.model_dump_json()
    assert verify(bundle).problems == []


# -- what cannot be collected


def test_a_bundle_that_cannot_be_written_leaves_nothing(folder):
    """The sentence names it; no half bundle stays."""
    (folder / f"soak-artifacts-{folder.name}.tar.gz").mkdir()
    with pytest.raises(RecordingError, match=r"^the bundle .* cannot be written: Is a directory$"):
        collect(folder)
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    ("name", "shown", "why"),
    [
        ("a\\b.txt", "a\\b.txt", "there is a backslash in its name"),
        ("caf\udce9.txt", "caf\\udce9.txt", "its name is no UTF-8 text"),
        ("caf\udce9.parquet", "caf\\udce9.parquet", "its name is no UTF-8 text"),
        ("two\nlines.txt", "two\nlines.txt", "there is a line end or another control character in its name"),
    ],
    ids=["backslash", "no text", "no text, a table", "lines"],
)
def test_a_file_whose_name_no_manifest_can_hold_is_left_out_and_costs_no_bundle(folder, name, shown, why):
    """It is named with the reason, and what is packed verifies."""
    (folder / name).write_text("put here by hand")
    bundle = collect(folder)
    assert [(part.name, part.state, part.detail) for part in manifest_of(bundle).parts if part.name == shown] == [
        (shown, "left out", why)
    ]
    assert verify(bundle).problems == []


def test_a_folder_without_a_run_is_refused(tmp_path):
    """It is said what to pass."""
    with pytest.raises(RunError, match="does not exist: pass the folder of a run"):
        collect(tmp_path)


def test_the_command_tells_what_is_missing_and_where_the_bundle_is(folder, capsys, tmp_path, monkeypatch):
    """The last line of standard output is the bundle; what is missing goes to standard error."""
    monkeypatch.setenv("SOAK_DATABASE_URL", gateway_database(tmp_path / "gateway.sqlite"))
    assert main([str(folder)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{folder}/soak-artifacts-{folder.name}.tar.gz\n"
    assert "missing: claims.json (made by: python -m soaklib.report RUN)\n" in told.err
    assert told.err.splitlines()[-1].startswith("database snapshot good: 2 rows of 5 tables, as schema only: ")


def test_the_command_refuses_what_is_no_run_or_not_its_own(folder, capsys):
    """Exit code 2 and a sentence."""
    assert main(["no-such-run"]) == 2
    assert "soaklib: there is no run 'no-such-run'" in capsys.readouterr().err
    owner = "import sys, time; from pathlib import Path; from soaklib.store.lock import RunLock\n"
    owner += "with RunLock(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", owner, str(folder)], stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            assert main([str(folder)]) == 2
        finally:
            process.kill()
    assert f"is owned by a live process (pid {process.pid})" in capsys.readouterr().err


@pytest.fixture
def going_on(folder, monkeypatch):
    """Make a run look as if it were going on; give its folder and what says so, a look each."""

    def _copied(one, into):
        shutil.copytree(one, into, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)

    looks = []
    monkeypatch.setattr(collecting, "is_published", lambda _: looks.pop(0))
    monkeypatch.setattr(collecting, "copy_live_run", _copied)
    return folder, looks


def test_a_run_that_is_going_on_can_be_packed_by_two_at_a_time(going_on):
    """Neither writes into what the other has not finished."""
    folder, looks = going_on
    looks += [True, True]
    part = folder / f".soak-artifacts-{folder.name}.tar.gz.part"
    part.write_text("another's")
    assert verify(collect(folder)).problems == []
    assert part.read_text() == "another's"


def test_a_run_that_ended_while_it_was_packed_keeps_its_own_bundle(going_on):
    """The one that its end has made meanwhile holds all of it."""
    folder, looks = going_on
    looks += [True, False]
    bundle = folder / f"soak-artifacts-{folder.name}.tar.gz"
    bundle.write_text("of its end")
    with pytest.raises(RunError, match="ended while it was packed as one that is going on: pack it again"):
        collect(folder)
    assert bundle.read_text() == "of its end"
    assert not list(folder.glob(".collecting-*"))


def test_a_run_whose_end_is_being_written_is_left_alone(going_on, monkeypatch):
    """Its recorder has just ended, and its process takes the last steps in its folder."""
    folder, looks = going_on
    looks += [True, False]

    def just_ended(*_):
        msg = "has just ended"
        raise RunError(msg)

    monkeypatch.setattr(collecting, "copy_live_run", just_ended)
    monkeypatch.setattr(lock, "_ASKING_S", 0.0)
    with RunLock(folder), pytest.raises(RunError, match="is owned by a live process"):
        collect(folder)
    assert not (folder / "manifest.json").exists()


@pytest.mark.slow
def test_a_run_that_is_going_on_is_packed_as_it_is(tmp_path):
    """The bundle verifies, its run opens as one that is running, and the run goes on undisturbed to its end."""
    command = [sys.executable, "-m", "soaklib.run", "--hours", "1", "--speed", "240", "--no-report", "--out", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            folder = tmp_path / "latest"
            wait_for(lambda: "TOKENS_ROTATED" in log_of(folder), process)
            bundle = collect(folder)
            assert manifest_of(bundle).status == "running"
            assert verify(bundle).problems == []
            with soaklib.open_run(unpack(bundle)) as run:
                [(calls,)] = run.sql("select count(*) from outcomes").rows()
            assert calls > 0
            assert not (folder / "manifest.json").exists()
            process.communicate(timeout=120)
        finally:
            process.kill()
    assert json.loads((folder / "soak-summary.json").read_text())["status"] == "completed"
    assert not list(folder.resolve().glob(".collecting-*"))


def log_of(folder):
    """Read the event log of a run that may not have one yet."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / "soak-events.log").read_text()
    return ""


def wait_for(condition, process):
    """Wait for a real process."""
    for _ in range(1200):
        if condition():
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    pytest.fail("it did not come to pass")
