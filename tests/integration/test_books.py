"""Whole runs whose books are judged with the request log of a real database, and again from the bundle alone."""

import json
from functools import partial
from pathlib import Path

import pytest
from postgres_server import postgres_server
from rehearsals import run_command, side_by_side

from soaklib.commands.rehearsal import EmbeddedGateway
from soaklib.evidence.checking import verify
from soaklib.plan.settings import SoakSettings

pytestmark = pytest.mark.slow

SHORT = ("--hours", "0.5", "--speed", "240", "--rps", "0.4", "--no-report")


def books_of(ended):
    """Give the run's folder and its verdict on the books."""
    folder = Path(ended.stdout.splitlines()[-1])
    verdicts = json.loads((folder / "soak-summary.json").read_text())["verdicts"]
    return folder, next(verdict for verdict in verdicts if verdict["name"] == "books balanced")


def in_postgresql(out):
    with postgres_server() as server:
        return run_command(*SHORT, "--database-url", server.new_database("gateway"), "--out", str(out))


def with_rows_missing(out):
    return run_command(*SHORT, "--gateway-fault", "lose_log_rows=3@600", "--out", str(out))


def without_its_database(out):
    url = f"sqlite:///{out / 'none.db'}"
    with EmbeddedGateway(SoakSettings.model_validate({"speed": 240}), out / "gateway.log") as gateway:
        return run_command(
            *SHORT, "--gateway-url", gateway.url, "--no-preflight", "--database-url", url, "--out", str(out)
        )


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    """Each of these soaks, all at the same time."""
    soaks = (in_postgresql, with_rows_missing, without_its_database)
    return side_by_side({soak: partial(soak, tmp_path_factory.mktemp(soak.__name__)) for soak in soaks})


def test_the_books_are_judged_with_postgresql_and_again_without_it(soaked):
    """Every answer is in the database; the bundle says the same of it when the server is gone."""
    folder, books = books_of(soaked[in_postgresql].result())
    assert (books["state"], books["measure"]) == ("pass", 0)
    assert books["detail"].endswith("; the gateway's request log agrees too")
    [bundle] = folder.glob("soak-artifacts-*.tar.gz")
    assert verify(bundle).problems == []


def test_a_log_with_rows_missing_fails_the_books_of_the_run(soaked):
    """The gateway answers three calls that it does not write down."""
    _, books = books_of(soaked[with_rows_missing].result())
    assert (books["state"], books["measure"]) == ("fail", 3)
    assert "lost (client and database)" in books["detail"]


def test_a_database_that_cannot_be_read_is_said_and_leaves_the_books_open(soaked):
    """A run against a gateway whose database is not where it was said to be."""
    ended = soaked[without_its_database].result()
    _, books = books_of(ended)
    assert books["state"] == "insufficient"
    assert "no request log: there is no SQLite file" in " ".join(ended.stderr.split())
