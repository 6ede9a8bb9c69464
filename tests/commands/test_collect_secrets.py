"""What is secret is in no bundle, and nobody is asked whom only the run names."""

import contextlib
import json
import socketserver
import sqlite3
import threading

import pytest
from bundles import TOKEN, edit_database, gateway_database, loose_copy, manifest_of

from soaklib.analysis.sources.run import open_run
from soaklib.commands.collect import main
from soaklib.errors import RunError
from soaklib.evidence.checking import verify
from soaklib.evidence.collecting import collect
from soaklib.safety.own_runs import remember


@pytest.fixture
def folder(rehearsal, tmp_path):
    """A finished run's folder, to be changed."""
    return loose_copy(rehearsal.folder, tmp_path)


def test_a_file_with_a_secret_is_left_out_and_named(folder):
    """The bundle is made without it; the manifest says what was found, and not the secret."""
    (folder / "gateway.log").write_text(f"agent token {TOKEN}\n")
    bundle = collect(folder)
    manifest = manifest_of(bundle)
    [part] = [part for part in manifest.parts if part.name == "gateway.log"]
    assert (part.state, part.detail) == ("left out", "gateway.log holds an agent token")
    assert "gateway.log" not in {entry.path for entry in manifest.files}
    assert verify(bundle).problems == []
    assert TOKEN not in manifest.model_dump_json()


def test_a_secret_of_the_environment_is_found_whatever_it_looks_like(folder, monkeypatch):
    """The admin token, a header's value and the database's password are looked for as they are."""
    monkeypatch.setenv("SOAK_GATEWAY_ADMIN_TOKEN", "open sesame")
    (folder / "gateway.log").write_text("said open sesame to it\n")
    [part] = [part for part in manifest_of(collect(folder)).parts if part.name == "gateway.log"]
    assert part.detail == "gateway.log holds a secret of this environment"


def test_a_secret_in_the_tables_makes_no_bundle(folder):
    """There is none without run.duckdb; the place is told, and not the secret."""
    edit_database(folder, f"update events set detail = 'Authorization: Bearer {TOKEN}' where name = 'AGENTS_CREATED'")
    with pytest.raises(RunError) as caught:
        collect(folder)
    assert 'run.duckdb, column "detail" of "events" holds an agent token' in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert not list(folder.glob("soak-artifacts-*"))


def test_secrets_that_were_once_asked_for_are_not_packed_again_unasked(folder, tmp_path):
    """A dump with tokens is left out of a bundle that is to have none, and verified where it was asked for."""
    database = tmp_path / "gateway.sqlite"
    url = gateway_database(database)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("create table plain_tokens (token text)")
        connection.execute("insert into plain_tokens values (?)", [TOKEN])
        connection.commit()
    with_secrets = collect(folder, database_url=url, include_secrets=True)
    checked = verify(with_secrets)
    assert checked.problems == []
    assert any("holds the rows of tables with tokens and credentials" in note for note in checked.notes)
    database.unlink()
    manifest = manifest_of(collect(folder))
    assert manifest.database_snapshot.state == "insufficient"
    assert "database-snapshot.sql.gz" not in {entry.path for entry in manifest.files}
    [part] = [part for part in manifest.parts if part.name == "database-snapshot.sql.gz"]
    assert (part.state, part.detail) == ("left out", "it is not known to be a snapshot without secrets")


def named_by_the_row(folder, **settings):
    """Let a run's row name something, as anyone can who hands a folder over."""
    edit_database(
        folder, f"update run set settings = json_merge_patch(settings::json, '{json.dumps(settings)}')::varchar"
    )


def test_a_database_that_only_the_run_names_is_not_opened(folder, tmp_path):
    """It may be any file of whoever collects; it is said how to name one."""
    named_by_the_row(folder, database_url=gateway_database(tmp_path / "private.sqlite"))
    manifest = manifest_of(collect(folder))
    assert "database-snapshot.sql.gz" not in {entry.path for entry in manifest.files}
    assert (manifest.database_snapshot.state, manifest.database_snapshot.detail) == (
        "insufficient",
        "not taken: what a run names is not opened; pass --database-url or set SOAK_DATABASE_URL",
    )


@pytest.fixture
def listener():
    """A port that counts who connects to it."""
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        server.heard = []
        server.process_request = lambda request, address: (server.heard.append(address), request.close())
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_nobody_is_asked_and_nothing_of_the_environment_is_sent(folder, listener, monkeypatch):
    """Neither the gateway that the row names, nor with the header that it names."""
    monkeypatch.setenv("PRIVATE_KEY_OF_MINE", "a secret of this environment")
    edit_database(folder, f"update run set target = 'http://127.0.0.1:{listener.server_address[1]}', embedded = false")
    named_by_the_row(folder, header_env=["X-Leak=PRIVATE_KEY_OF_MINE"], gateway_url="http://127.0.0.1:1")
    collect(folder)
    assert listener.heard == []


def test_what_a_row_names_is_no_oracle(folder, monkeypatch):
    """A file that guesses a variable which only the row names is packed, right or wrong: nothing is learnt from it."""
    monkeypatch.setenv("HOME", "/home/somebody")
    named_by_the_row(folder, header_env=["X-Guess=HOME"])
    (folder / "gateway.log").write_text("is it /home/somebody\n")
    assert "gateway.log" in {entry.path for entry in manifest_of(collect(folder)).files}


@pytest.mark.parametrize("is_own", [True, False])
def test_what_the_plan_of_a_run_of_ones_own_names_is_looked_for(folder, tmp_path, monkeypatch, is_own):
    """Keys of its target and the values of its headers, where the run was begun here; of another nothing is learnt."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("MASTER_KEY", "sk-1234")
    monkeypatch.setenv("GATEWAY_AUTH", "the word of the day")
    named_by_the_row(folder, header_env=["Authorization=GATEWAY_AUTH"])
    target = json.dumps({"target": {"kind": "openai", "admin_key": "MASTER_KEY"}})
    edit_database(folder, f"update run set plan = json_merge_patch(plan::json, '{target}')::varchar")
    (folder / "gateway.log").write_text("no such key: sk-1234\n")
    (folder / "upstream.log").write_text("said the word of the day\n")
    with open_run(folder) as run:
        info = run.info
    if is_own:
        remember(info.run_id, info.settings, info.plan.model_dump_json())
    files = {entry.path for entry in manifest_of(collect(folder)).files}
    assert {"gateway.log", "upstream.log"} & files == (set() if is_own else {"gateway.log", "upstream.log"})


def test_a_header_that_is_named_by_whoever_collects_is_looked_for(folder, monkeypatch, capsys):
    """By the command and by its function; a variable that is not there is told."""
    monkeypatch.setenv("GATEWAY_AUTH", "the word of the day")
    (folder / "gateway.log").write_text("echo the word of the day\n")
    assert "gateway.log" not in {
        entry.path for entry in manifest_of(collect(folder, secrets=["the word of the day"])).files
    }
    assert "gateway.log" in {entry.path for entry in manifest_of(collect(folder)).files}
    assert main([str(folder), "--header-env", "Authorization=GATEWAY_AUTH"]) == 0
    assert "left out: gateway.log (gateway.log holds a secret of this environment)" in capsys.readouterr().err
    assert main([str(folder), "--header-env", "Authorization=NOT_THERE"]) == 2


def test_the_password_of_a_database_is_looked_for_wherever_the_url_has_it(folder):
    """As its user's, and among its parameters."""
    (folder / "gateway.log").write_text("connecting with hunter22hunter\n")
    for url in ("postgresql://soak:hunter22hunter@127.0.0.1:1/g", "postgresql://127.0.0.1:1/g?password=hunter22hunter"):
        manifest = manifest_of(collect(folder, database_url=url))
        assert "gateway.log" not in {entry.path for entry in manifest.files}
        assert "hunter22hunter" not in manifest.model_dump_json()
