"""What is kept of a run: small, the same each time, and of a whole run alone."""

import gzip
import json
import shutil

import polars as pl
import pytest
from gateway_digests import write_run

import soaklib
from soaklib.errors import RunError, SchemaError
from soaklib.records import RunStatus

MOST_BYTES = 300_000


@pytest.fixture
def run_folder(kept_folder, tmp_path):
    """A run of its own."""
    return shutil.copytree(kept_folder.parent / "runs" / "thin", tmp_path / "thin")


def test_a_digest_is_small_and_the_same_each_time(kept_folder, run_folder, tmp_path):
    """Byte by byte what was made of the same run before."""
    again = soaklib.digest(run_folder, tmp_path / "again", name="thin", about="made up: thin")
    there = {path.name: path.read_bytes() for path in (kept_folder / "thin").iterdir()}
    assert {path.name: path.read_bytes() for path in again.iterdir()} == there
    assert sum(map(len, there.values())) < MOST_BYTES


def test_it_says_which_run_it_is_of_and_names_no_host(kept):
    """Its length is the real one."""
    facts = kept["slow"].facts
    assert (facts["run_id"], facts["wall_s"], facts["wire"], facts["calls"]) == ("slow", 2700.0, "openai", 5400)
    assert facts["machine"] == {"cpus": 2, "python": "3.11"}
    assert kept["slow"].verdicts.filter(name="full duration")["state"].item() == "pass"
    assert kept["slow"].kinds.filter(kind="unauthorized")["n"].sum() == 44


def test_no_path_and_no_name_of_the_machine_is_kept(kept):
    """The paper's claims say every setting; where it is a path, its name is enough. The host's is left out."""
    kept_claims = json.loads(gzip.decompress((kept["slow"].folder / "claims.json.gz").read_bytes()))
    assert kept_claims == [{"name": "settings[plan].value", "value": "soak.toml"}]


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("gateway.corp.example", "at https://address/v1 (address), gateway.corp.example.org and Gateway"),
        ("10.0.3.7", "at https://address/v1 (address), 10.0.3.7.org and Gateway"),
        ("gateway", "at https://address/v1 (address), gateway.org and Gateway"),
        ("[fd00::7]", "at https://address/v1 (address), [address].org and Gateway"),
        ("127.0.0.1", "at https://127.0.0.1:8443/v1 (127.0.0.1:8443), 127.0.0.1.org and Gateway"),
    ],
)
def test_no_address_of_a_gateway_is_kept(run_folder, tmp_path, host, kept):
    """Where a gateway is found is nobody's business who reads a table; a word that is alike is no address."""
    said = f"at https://{host}:8443/v1 ({host}:8443), {host}.org and Gateway"
    _changed(run_folder, f"update run set target = 'https://{host}:8443'")
    _changed(run_folder, f"update verdicts set detail = '{said}' where name = 'healthy'")
    (run_folder / "claims.json").write_text(json.dumps([{"name": "run.target", "value": said}]))
    folder = soaklib.digest(run_folder, tmp_path / "digest", name="thin")
    told = json.loads(gzip.decompress((folder / "claims.json.gz").read_bytes()))
    assert told == [{"name": "run.target", "value": kept}]
    assert pl.read_parquet(folder / "verdicts.parquet").filter(name="healthy")["detail"].to_list() == [kept]


@pytest.mark.parametrize(
    ("database", "said", "kept"),
    [
        (
            "postgresql://soak:a[b@db.corp.example:5432/log",
            "at db.corp.example, db.corp.example.org",
            "at address, db.corp.example.org",
        ),
        ("postgresql://[::db/log", "at [::db and db", "at address and db"),
    ],
)
def test_an_address_that_is_no_url_is_not_kept_either(run_folder, tmp_path, database, said, kept):
    """A password may hold a bracket, and a run's settings may say anything."""
    _changed(run_folder, f'update run set settings = json_merge_patch(settings, \'{{"database_url": "{database}"}}\')')
    (run_folder / "claims.json").write_text(json.dumps([{"name": "run.database", "value": said}]))
    folder = soaklib.digest(run_folder, tmp_path / "digest", name="thin")
    [claim] = json.loads(gzip.decompress((folder / "claims.json.gz").read_bytes()))
    assert claim["value"] == kept


def refusal_of(run_folder, tmp_path):
    """Give why a run is not kept; nothing is left behind."""
    with pytest.raises(RunError) as caught:
        soaklib.digest(run_folder, tmp_path / "digest", name="thin")
    assert not (tmp_path / "digest").exists()
    return str(caught.value)


def test_a_run_that_was_interrupted_is_refused(tmp_path):
    """It did not end by itself."""
    run = write_run(tmp_path / "run", "run", status=RunStatus.INTERRUPTED)
    assert "it is interrupted, not completed" in refusal_of(run, tmp_path)


@pytest.mark.parametrize("name", ["claims.json", "soak-summary.json"])
def test_a_run_without_its_report_is_refused(run_folder, tmp_path, name):
    """What the paper and the verdicts left is part of the evidence."""
    (run_folder / name).unlink()
    assert f"it has no {name}" in refusal_of(run_folder, tmp_path)


def test_a_run_with_a_summary_of_another_is_refused(run_folder, tmp_path):
    """Folders that were mixed up."""
    path = run_folder / "soak-summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"run_id": "another"}))
    assert "soak-summary.json is of the run another" in refusal_of(run_folder, tmp_path)


def _changed(run_folder, statement):
    """Change the run's database."""
    import duckdb  # noqa: PLC0415 - only here

    with duckdb.connect(run_folder / "run.duckdb") as connection:
        connection.execute(statement)


def test_a_run_that_was_not_judged_is_refused(run_folder, tmp_path):
    """Its report has yet to be made."""
    _changed(run_folder, "delete from verdicts")
    assert "it was not judged" in refusal_of(run_folder, tmp_path)


def test_a_run_with_a_hole_is_refused(run_folder, tmp_path):
    """A slot without a row, as the verdict says."""
    _changed(
        run_folder, "update verdicts set state = 'fail', detail = '1 lacks' where name = 'every slot accounted for'"
    )
    assert "every slot accounted for: 1 lacks" in refusal_of(run_folder, tmp_path)


def test_a_digest_of_another_format_is_refused(kept_folder, tmp_path):
    """It says what to do."""
    folder = shutil.copytree(kept_folder / "thin", tmp_path / "thin")
    path = folder / "digest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(SchemaError, match="distil the run anew"):
        soaklib.read_digests(tmp_path)


def test_what_is_no_digest_is_told(tmp_path):
    """A broken file, and a folder that is not there."""
    with pytest.raises(RunError, match="there is no folder"):
        soaklib.read_digests(tmp_path / "nowhere")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "digest.json").write_text("{}")
    with pytest.raises(RunError, match="is no digest"):
        soaklib.read_digests(tmp_path)


def test_what_comes_with_soaklib_can_be_read():
    """Every kept run of the checkout, all its frames."""
    for one in soaklib.read_digests().values():
        assert one.measures.height
        assert one.minutes.height
