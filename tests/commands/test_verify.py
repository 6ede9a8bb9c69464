"""What is told of a bundle that was tampered with, and of one that was not."""

import gzip
import json
import shutil
import subprocess
import sys

import duckdb
import pytest
from bundles import TOKEN, edit_database, edit_manifest, flip, gateway_database, rehash, repacked, unpacked

from soaklib.commands.verify import main
from soaklib.evidence.checking import VerifyCode, verify
from soaklib.evidence.collecting import collect
from soaklib.evidence.manifest import PartState, read_manifest, write_manifest
from soaklib.evidence.provenance import software


def _bundle(rehearsal, top, *, parquet):
    """Collect a copy of the rehearsal, with everything in it that a test changes."""
    folder = shutil.copytree(rehearsal.folder, top / rehearsal.folder.name)
    (folder / "gateway.log").write_text("started\n")
    return collect(folder, parquet=parquet, database_url=gateway_database(top / "gateway.sqlite"))


@pytest.fixture(scope="module")
def bundle(rehearsal, tmp_path_factory):
    """A bundle without Parquet files, half of the time to check it."""
    return _bundle(rehearsal, tmp_path_factory.mktemp("plain"), parquet=False)


@pytest.fixture(scope="module")
def sealed_bundle(rehearsal, tmp_path_factory):
    """A bundle with Parquet files."""
    return _bundle(rehearsal, tmp_path_factory.mktemp("sealed"), parquet=True)


@pytest.fixture
def folder(bundle, tmp_path):
    """The bundle, unpacked to be changed."""
    return unpacked(bundle, tmp_path / "unpacked")


@pytest.fixture
def sealed(sealed_bundle, tmp_path):
    """The bundle with Parquet files, unpacked to be changed."""
    return unpacked(sealed_bundle, tmp_path / "unpacked")


@pytest.fixture
def verdict(tmp_path, capsys):
    """Pack a folder, verify it, give the exit code and the problems told."""

    def of(folder):
        code = main([str(repacked(folder, tmp_path / "repacked.tar", mode="w"))])
        return code, capsys.readouterr().err

    return of


def test_an_untouched_bundle_is_authentic(sealed_bundle, capsys):
    """Exit code 0, nothing on standard error, and parts that were never there are told as notes."""
    assert main([str(sealed_bundle)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines()[-1] == f"{sealed_bundle} is authentic"
    assert "note: missing: claims.json (made by: python -m soaklib.report RUN)" in told.out


def test_it_runs_as_a_command(bundle):
    """``python -m soaklib.verify`` gives the code to the shell."""
    command = [sys.executable, "-m", "soaklib.verify"]
    assert subprocess.run([*command, bundle], check=False, capture_output=True).returncode == 0
    ended = subprocess.run([*command, f"{bundle}.gone"], check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"soaklib: there is no {bundle}.gone; pass a bundle, soak-artifacts-<run-id>.tar.gz")


@pytest.mark.parametrize(("top", "mode", "name"), [("run", "w:gz", "a.tgz"), (".", "w", "no-suffix")])
def test_an_honest_repack_is_authentic(folder, tmp_path, top, mode, name):
    """Another folder or none, another compression or none, other owners and times do not matter."""
    assert verify(repacked(folder, tmp_path / name, top=top, mode=mode)).problems == []


def test_the_unpacked_folder_is_authentic_too(sealed):
    """A folder is checked like the archive it came from."""
    assert verify(sealed).problems == []


def test_failing_verdicts_do_not_make_a_bundle_unauthentic(folder):
    """What matters is that verdicts follow from the data, not what they say."""
    # data in which the run fails honestly: one probe got through; judged and collected anew
    edit_database(folder, "update outcomes set kind = 'ok', status = 200 where purpose = 'probe' and slot = 7")
    with_failure = collect(folder)
    code = main([str(with_failure)])
    assert code == 0
    state = [one["state"] for one in summary_of(folder)["verdicts"] if one["name"] == "no false-allow"]
    assert state == ["fail"]


def summary_of(folder):
    """Read the summary."""
    return json.loads((folder / "soak-summary.json").read_text())


# -- what can be done to a bundle, each with its code and what is told


def test_a_flipped_byte(folder, verdict):
    """The file is named as changed."""
    flip(folder / "soak-final.prom", 100)
    code, told = verdict(folder)
    assert code == VerifyCode.CHANGED
    assert "changed: soak-final.prom was changed: its SHA-256 is not that of the manifest" in told


def test_a_byte_more(folder, verdict):
    """Both sizes are told."""
    size = (folder / "soak-h0.prom").stat().st_size
    with (folder / "soak-h0.prom").open("ab") as file:
        file.write(b"\n")
    code, told = verdict(folder)
    assert code == VerifyCode.CHANGED
    assert f"soak-h0.prom was changed: it has {size + 1:,} bytes instead of {size:,}" in told


def test_a_flipped_byte_of_the_database(folder, verdict):
    """It is told as changed, whatever else it does to the tables."""
    flip(folder / "run.duckdb", (folder / "run.duckdb").stat().st_size // 2)
    assert "run.duckdb was changed: its SHA-256 is not that of the manifest" in verdict(folder)[1]


@pytest.mark.parametrize("name", ["run.duckdb", "parquet/events.parquet"])
def test_a_missing_file(sealed, verdict, name):
    """It is named."""
    (sealed / name).unlink()
    code, told = verdict(sealed)
    assert code == (VerifyCode.SEAL if name.startswith("parquet") else VerifyCode.MISSING)
    assert f"missing: {name} is missing" in told


@pytest.mark.parametrize("name", ["parquet/extra.txt", "live/.hidden"])
def test_an_added_file(sealed, verdict, name):
    """It is named, also where a run's folder would have files that are no evidence."""
    (sealed / name).parent.mkdir(parents=True, exist_ok=True)
    (sealed / name).write_text("x")
    code, told = verdict(sealed)
    assert code == VerifyCode.ADDED
    assert told.splitlines()[0] == f"added: {name} was added: the manifest does not name it"
    assert told.splitlines()[1].endswith("repacked.tar is not authentic")


def test_a_file_beside_the_folder(folder, tmp_path):
    """It is an added one, even under the name of one that is in the folder."""
    (folder.parent / "run.duckdb").write_text("x")
    problems = verify(repacked(folder.parent, tmp_path / "a.tar.gz", top=".")).problems
    assert [(problem.code, problem.text) for problem in problems] == [
        (VerifyCode.ADDED, "../run.duckdb was added: the manifest does not name it")
    ]


@pytest.mark.parametrize("is_rehashed", [False, True])
def test_a_planted_secret(folder, verdict, is_rehashed):
    """Its kind and its place are told, never the secret, and the code is not that of a mere change."""
    with (folder / "gateway.log").open("a") as file:
        file.write(f"{TOKEN}\n")
    if is_rehashed:
        rehash(folder)
    code, told = verdict(folder)
    assert code == VerifyCode.SECRET
    assert "secret: gateway.log holds an agent token" in told
    assert ("changed: gateway.log was changed" in told) is not is_rehashed
    assert TOKEN not in told


def test_a_secret_in_a_column(sealed, verdict):
    """The text columns of the tables are looked at value by value, those of Parquet files too."""
    edit_database(sealed, f"update events set detail = 'token {TOKEN}' where name = 'SOAK_TEST_STARTED'")
    with duckdb.connect() as connection:
        path = sealed / "parquet" / "scrapes.parquet"
        rows = f"select * replace ('{TOKEN}' as detail) from '{path}'"
        connection.execute(f"copy ({rows}) to '{path}.new' (format parquet, compression zstd)").fetchall()
        path.with_name(f"{path.name}.new").replace(path)
    rehash(sealed)
    code, told = verdict(sealed)
    assert code == VerifyCode.SECRET
    assert 'run.duckdb, column "detail" of "events" holds an agent token' in told
    assert 'parquet/scrapes.parquet, column "detail" holds an agent token' in told
    assert TOKEN not in told


def test_a_truncated_dump(folder, verdict):
    """It is told that the dump ends early, and the code is not that of a mere change."""
    dump = folder / "database-snapshot.sql.gz"
    dump.write_bytes(dump.read_bytes()[:-20])
    code, told = verdict(folder)
    assert code == VerifyCode.DUMP
    assert "dump: database-snapshot.sql.gz cannot be read to its end: the dump is cut short" in told


def test_a_dump_with_other_rows(folder, verdict):
    """A dump is restored and counted, so that a row that was taken out is told even if the hash fits."""
    dump = folder / "database-snapshot.sql.gz"
    content = gzip.decompress(dump.read_bytes()).replace(b"INSERT INTO \"agents\" VALUES('agent-1'", b"-- ")
    dump.write_bytes(gzip.compress(content))
    rehash(folder)
    code, told = verdict(folder)
    assert code == VerifyCode.DUMP
    assert "dump: database-snapshot.sql.gz holds 1 rows of agents instead of 2" in told


def test_a_verdict_that_does_not_follow(folder, verdict):
    """A verdict that was changed in the table, its hash put right, is told with both values."""
    edit_database(folder, "update verdicts set state = 'fail' where name = 'denials happen'")
    rehash(folder)
    code, told = verdict(folder)
    assert code == VerifyCode.RESULT
    assert (
        "result: the verdict on 'denials happen' in the run's table does not follow from the data: "
        "state fail instead of pass\n"
    ) in told


def test_data_that_the_verdicts_do_not_follow_from(sealed, verdict):
    """Outcomes that were made better than they were are told by the verdicts that they would have."""
    edit_database(sealed, "delete from outcomes where kind = 'denied' and purpose = 'load'")
    rehash(sealed)
    code, told = verdict(sealed)
    assert code == VerifyCode.RESULT
    assert "totals in soak-summary.json does not follow from the data" in told
    assert "parquet/outcomes.parquet does not hold the rows of table outcomes of run.duckdb" in told


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("success_rate", "success_rate in soak-summary.json does not follow from the data"),
        ("approved_by", "approved_by in soak-summary.json is nothing that a run has"),
    ],
)
def test_a_summary_that_does_not_follow(folder, verdict, member, said):
    """Each value of the summary is computed again."""
    path = folder / "soak-summary.json"
    path.write_text(json.dumps(summary_of(folder) | {member: 100.0}))
    rehash(folder)
    code, told = verdict(folder)
    assert (code, f"result: {said}" in told) == (VerifyCode.RESULT, True)


def test_a_verdict_missing_from_the_summary(folder, verdict):
    """The verdicts of the summary are compared one by one."""
    summary = summary_of(folder)
    [state] = [one["state"] for one in summary["verdicts"] if one["name"] == "success rate"]  # of a busy machine: any
    summary["verdicts"] = [one for one in summary["verdicts"] if one["name"] != "success rate"]
    (folder / "soak-summary.json").write_text(json.dumps(summary))
    rehash(folder)
    told = f"the verdict on 'success rate' is missing from soak-summary.json; the data say {state}"
    assert told in verdict(folder)[1]


@pytest.mark.parametrize("pattern", ["soak-test-report-*.md", "metrics-analysis.txt"])
def test_a_text_that_does_not_follow(folder, verdict, pattern):
    """The report and the metrics analysis are made again and compared."""
    [path] = folder.glob(pattern)
    path.write_text(path.read_text().replace("0", "1"))
    rehash(folder, collected_with=software())
    code, told = verdict(folder)
    assert code == VerifyCode.RESULT
    assert f"result: {path.name} does not follow from the data" in told


def test_texts_of_another_soaklib_are_not_compared(folder):
    """Another version may word them otherwise: that is a note, and no accusation."""
    [path] = folder.glob("soak-test-report-*.md")
    path.write_text("as an older version wrote it")
    rehash(folder, collected_with=software().model_copy(update={"source_sha256": "0" * 64, "git_commit": None}))
    checked = verify(folder)
    assert checked.problems == []
    assert any("made by another soaklib (0." in note and "not compared" in note for note in checked.notes)


def test_a_seal_that_does_not_fit(sealed, verdict):
    """A Parquet file with a changed value is told."""
    path = sealed / "parquet" / "outcomes.parquet"
    with duckdb.connect() as connection:
        rows = f"select * replace (if(slot = 5, 'timeout', kind) as kind) from '{path}'"
        connection.execute(f"copy ({rows}) to '{path}.new' (format parquet, compression zstd)").fetchall()
    path.with_name(f"{path.name}.new").replace(path)
    rehash(sealed)
    code, told = verdict(sealed)
    assert code == VerifyCode.SEAL
    assert "seal: parquet/outcomes.parquet does not hold the rows of table outcomes of run.duckdb" in told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json cannot be read: No such file or directory"),
        (lambda folder: edit_manifest(folder, format=2), "manifest.json is not the manifest of a bundle: format: "),
        (lambda folder: edit_manifest(folder, seed=2), "manifest.txt does not say what manifest.json says"),
        (lambda folder: (folder / "manifest.txt").unlink(), "manifest.txt is missing or cannot be read"),
        (
            lambda folder: edit_manifest(folder, files=[{"path": "../x", "size_bytes": 0, "sha256": "0" * 64}]),
            "'../x' is no path inside a bundle",
        ),
    ],
)
def test_a_manifest_that_is_none(folder, verdict, change, said):
    """What is wrong with it is told."""
    change(folder)
    code, told = verdict(folder)
    assert code == VerifyCode.MANIFEST
    assert said in told


def test_a_manifest_that_is_of_another_run(folder, verdict):
    """Whatever it says as the run's row does is compared with that."""
    other = {
        "run_id": "another", "status": "failed", "started_at": "2026-01-01T00:00:00+00:00", "completed_at": None,
        "duration_s": 1.0, "seed": 2, "speed": 1.0, "rps": 9.0, "hours": 99.0, "plan": "another", "settings": {},
        "made_with": "9.9", "environment": {},
    }  # fmt: skip
    edit_manifest(folder, **other)
    rehash(folder)
    code, told = verdict(folder)
    assert code == VerifyCode.RESULT
    for name in other:
        assert f"{name} in manifest.json is not that of the run" in told


def _left_out(folder, name):
    """Take a file out of a bundle and out of its manifest, which goes on saying that it is there."""
    (folder / name).unlink()
    files = tuple(entry for entry in read_manifest(folder).files if entry.path != name)
    write_manifest(folder, read_manifest(folder).model_copy(update={"files": files}))


def test_a_part_that_is_not_there_is_not_present(folder, verdict):
    """A snapshot that was taken out without a trace is one that the manifest's parts still count."""
    taken = len(list(folder.glob("soak-h*.prom")))
    _left_out(folder, "soak-h1.prom")
    code, told = verdict(folder)
    assert code == VerifyCode.RESULT
    words = f"soak-h0.prom to soak-h{taken - 1}.prom is present ({taken} of {taken}); by its files it is missing"
    assert f"manifest.json says that {words} ({taken - 1} of {taken})" in told


def test_a_dump_that_is_not_there_is_not_good(folder, verdict):
    """The manifest says what its database's snapshot is worth, so there must be one."""
    _left_out(folder, "database-snapshot.sql.gz")
    parts = tuple(
        part.model_copy(update={"state": PartState.MISSING}) if part.name == "database-snapshot.sql.gz" else part
        for part in read_manifest(folder).parts
    )
    rehash(folder, parts=parts)
    code, told = verdict(folder)
    assert code == VerifyCode.DUMP
    assert "database-snapshot.sql.gz is not there, and the manifest says that it is good" in told


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["drop table scrapes"], "it has no table 'scrapes'"),
        (["create view v as select * from read_text('/etc/hostname')"], "it has a view 'v'"),
        (["update run set settings = 'x'"], "run.duckdb cannot be read as a run: "),
        (["update run set schema_version = 99"], "has schema version 99"),
    ],
)
def test_a_database_of_another_schema(folder, verdict, statements, said):
    """The difference is told, and a database that is none of a run's is not queried."""
    edit_database(folder, *statements)
    rehash(folder)
    code, told = verdict(folder)
    assert code == VerifyCode.SCHEMA
    assert said in told


def test_a_database_that_is_none(folder, verdict):
    """A file that DuckDB cannot open is told as such."""
    (folder / "run.duckdb").write_bytes(b"SQLite format 3\0" + b"\0" * 8192)
    rehash(folder)
    code, told = verdict(folder)
    assert code == VerifyCode.SCHEMA
    assert "run.duckdb is not the database of a run of this version: it cannot be opened" in told
