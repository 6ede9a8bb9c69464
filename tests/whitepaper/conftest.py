"""The sample run, its claims, and copies of it that a test may change."""

import shutil
from pathlib import Path

import duckdb
import pytest

import soaklib
from soaklib.whitepaper.ledger import Ledger
from soaklib.whitepaper.prose import Writer

_SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


@pytest.fixture(scope="session")
def sample_ledger():
    """The claims of the sample, made once."""
    with soaklib.open_run(_SAMPLE) as run:
        return Ledger(run)


@pytest.fixture(scope="session")
def oks(sample_ledger):
    """How many calls of the sample were answered ok."""
    return sample_ledger.claims["totals.ok"].value


@pytest.fixture
def writer(sample_ledger):
    """A writer who knows the sample's claims."""
    return Writer(sample_ledger)


@pytest.fixture
def copy_sample(tmp_path):
    """Give a copy of the sample in which statements were carried out first."""

    def copied(*statements):
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        shutil.copy(_SAMPLE / "run.duckdb", folder)
        with duckdb.connect(str(folder / "run.duckdb")) as connection:
            for statement in statements:
                connection.execute(statement).fetchall()
        return folder

    return copied
