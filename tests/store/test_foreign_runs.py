"""A run that somebody else hands over is data: nothing that its maker wrote into it ever runs."""

import contextlib
import shutil
import subprocess
import sys

import duckdb
import pytest
from bundles import edit_database, rehash, repacked, unpacked

import soaklib
from soaklib.errors import RunError, SchemaError, SoaklibError
from soaklib.evidence.checking import VerifyCode, verify
from soaklib.evidence.collecting import collect
from soaklib.evidence.secrets_scan import find_secrets
from soaklib.store.bundle import bundle_name
from soaklib.store.reader import open_read_only
from soaklib.store.writer import RunWriter

ATTACKS = {
    "a view in place of a table": (
        "alter table events rename to kept",
        ("create view events as select * from kept union all"
        " by name select 0 as at_us, 'STOLEN' as name, content as detail from read_text('{secret}')"),
    ),
    "a macro before epoch_us": ("create macro epoch_us(at) as 0",),
    "a macro before round": ("create macro round(x) as 0",),
    "a macro before an operator": ('create macro "="(a, b) as true',),
    "a macro before what lists the macros": (
        "create macro round(x) as 0",
        ("create macro duckdb_functions() as table select 'system' as database_name, 'main' as schema_name,"
        " 'nothing' as function_name, true as internal"),
        "create macro duckdb_columns() as table select 1 as one",
    ),
    "a table macro before read_parquet": (
        "create macro read_parquet(path) as table select content from read_text('{secret}')",
    ),
    "a schema before DuckDB's own": (
        "create schema system",
        "create macro {database}.system.duckdb_views() as table select 1 as one",
    ),
    "a sequence": ("create sequence numbers",),
    "a type": ("create type varchar_ as enum ('a')",),
    "an index over an expression": ("create index slow on events (length(detail))",),
    "a default": ("alter table events alter detail set default current_setting('home_directory')",),
    "a generated column": ("alter table events rename to kept", "create table events (at_us bigint, name as ('x'))"),
    "a trigger": (
        "create table heard (n int)",
        "create trigger on_events after insert on events for each statement insert into heard values (1)",
    ),
    "another table": ("create table notes (n int)",),
}  # fmt: skip


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """A file of whoever opens the run."""
    path = tmp_path_factory.mktemp("reader") / "secret.txt"
    path.write_text("the reader's own secret")
    return path


@pytest.fixture(scope="module")
def attacks(rehearsal, tmp_path_factory, secret):
    """Give a function that gives the folder of a run with an attack in its database, which nobody may change."""
    made = {}

    def of(attack):
        if attack not in made:
            folder = tmp_path_factory.mktemp("attack") / "theirs"
            made[attack] = shutil.copytree(rehearsal.folder, folder, ignore=shutil.ignore_patterns("soak-artifacts-*"))
            edit_database(made[attack], *(text.format(secret=secret, database="run") for text in ATTACKS[attack]))
        return made[attack]

    return of


@pytest.fixture(params=ATTACKS, ids=lambda attack: attack.replace(" ", "-"))
def attacked(request, attacks, tmp_path):
    """The folder of a run whose database does more than hold data."""
    return shutil.copytree(attacks(request.param), tmp_path / "theirs")


def test_such_a_run_is_refused_however_it_is_opened(attacked, tmp_path):
    """As a folder, as a bundle, and to be written: before any of it is queried."""
    with pytest.raises((RunError, SchemaError)):
        soaklib.open_run(attacked)
    with pytest.raises((RunError, SchemaError)):
        soaklib.open_run(repacked(attacked, tmp_path / bundle_name("theirs"), mode="w"))


def test_such_a_run_is_told_by_verify_and_judged_by_nothing_of_it(attacked):
    """The only thing said of its data is that they are none."""
    rehash(attacked)
    problems = verify(attacked).problems
    assert VerifyCode.SCHEMA in {problem.code for problem in problems}
    assert not {problem.code for problem in problems} & {VerifyCode.RESULT, VerifyCode.SEAL, VerifyCode.SECRET}


def test_such_a_run_is_not_collected(attacked):
    """Nothing is packed, and nothing of the database is changed."""
    before = (attacked / "run.duckdb").read_bytes()
    with pytest.raises(SoaklibError):
        collect(attacked)
    assert not list(attacked.glob("soak-artifacts-*"))
    assert (attacked / "run.duckdb").read_bytes() == before


@pytest.mark.parametrize("attack", ["a trigger", "a macro before round", "a default"])
def test_rows_are_not_written_into_such_a_file(rehearsal, tmp_path, attack):
    """As resume and collect would."""
    folder = tmp_path / "theirs"
    shutil.copytree(rehearsal.folder, folder)
    edit_database(folder, *ATTACKS[attack])
    with pytest.raises(RunError, match="holds more than the data of a run"):
        RunWriter(folder / "run.duckdb")


def test_a_secret_is_found_whatever_hides_the_tables(tmp_path):
    """A macro in place of the list of tables, and a view that no table is behind."""
    path = tmp_path / "x.duckdb"
    with contextlib.closing(duckdb.connect(str(path))) as connection:
        for statement in (
            "create table rows as select i, '-----BEGIN PRI' || 'VATE KEY-----' || i as t from range(9999) as r(i)",
            "create macro duckdb_tables() as table select 'none' as table_name where false",
            "create macro duckdb_columns() as table select 'none' as table_name where false",
        ):
            connection.execute(statement).fetchall()
    assert 'x.duckdb, column "t" of "rows"' in {finding.where for finding in find_secrets(path, "x.duckdb")}


def test_a_bundles_queries_stay_inside_its_folder(rehearsal, tmp_path, secret):
    """No file of the reader's is read, and none is written; what is in the bundle can be."""
    bundle = repacked(rehearsal.folder, tmp_path / "soak-artifacts-x.tar.gz", top="it's [a] *run*", mode="w")
    with soaklib.open_run(bundle) as run:
        for query in (f"from read_text('{secret}')", f"copy (select 1) to '{tmp_path}/x.csv'", "install httpfs"):
            with pytest.raises(RunError, match="disabled by configuration"):
                run.sql(query)
        assert soaklib.reconcile(run).height > 0
        assert run.sql("select count(*) from calls").item() > 0
    assert not (tmp_path / "x.csv").exists()


def test_a_run_of_ones_own_can_be_joined_with_a_file(rehearsal, tmp_path):
    """What a query names is read; the run itself names nothing."""
    (tmp_path / "own.csv").write_text("a\n7\n")
    with soaklib.open_run(rehearsal.folder) as run:
        assert run.sql(f"select a from read_csv('{tmp_path}/own.csv')").item() == 7


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update run set run_id = '../../elsewhere'", "is none: files are named by it"),
        ("update run set run_id = '.hidden'", "is none: files are named by it"),
        ("update run set settings = 'no JSON'", "."),
        ("update run set plan = '{}'", "has a row that no run has"),
        ("update run set environment = 'no JSON'", "has a row that no run has"),
        ("update run set speed = 'nan'::double", "cannot be opened as a run"),
    ],
)
def test_a_row_that_no_run_has_is_refused_in_a_sentence(rehearsal, tmp_path, statement, said):
    """An id that leads out of the folder, and what is no JSON, no plan or no number."""
    folder = tmp_path / "theirs"
    shutil.copytree(rehearsal.folder, folder)
    edit_database(folder, statement)
    with pytest.raises(RunError, match=said):
        soaklib.open_run(folder)


def test_a_run_opens_in_a_folder_of_any_name(rehearsal, tmp_path):
    """A quote, a bracket and a star in a path are part of it: no other file is read in its place."""
    folder = tmp_path / "it's [a] *run*"
    shutil.copytree(rehearsal.folder, folder)
    decoy = tmp_path / "it's a my run!"  # which the name, taken for a pattern, matches
    decoy.mkdir()
    (decoy / "request-log.parquet").write_bytes(b"no Parquet")
    bundle = collect(folder, parquet=True)
    assert verify(bundle).problems == []
    assert verify(unpacked(bundle, tmp_path / "it's [b] *run*")).problems == []
    with soaklib.open_run(folder) as run:
        assert soaklib.reconcile(run).height > 0
        assert soaklib.success_rate(run.outcomes(), every="1h").height > 0


def test_two_readers_share_the_lock_of_a_file(rehearsal):
    """The first to close does not let another process write while the second reads."""
    path = rehearsal.folder / "run.duckdb"
    first, second = open_read_only(path), open_read_only(path, is_foreign=True)
    first.close()
    script = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    ended = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    second.close()
    assert "Could not set lock" in ended.stderr
