"""What tests of the verdicts share: a real run that can be broken on purpose."""

import shutil

import duckdb
import pytest

import soaklib
from soaklib.store import DATABASE_NAME

# the rows that a test breaks must count, also when the machine was busy as the rehearsal ran
PUNCTUAL = "update runner_health set schedule_lag_max_us = 1000, loop_lag_max_us = 1000"


@pytest.fixture
def broken(rehearsal, tmp_path):
    """Give a function that breaks a copy of the rehearsal with SQL and gives its verdicts by name."""

    def break_and_judge(*statements):
        folder = tmp_path / "broken"
        folder.mkdir()
        shutil.copy(rehearsal.folder / DATABASE_NAME, folder)
        with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
            for statement in (PUNCTUAL, *statements):
                connection.execute(statement).fetchall()
        with soaklib.open_run(folder) as run:
            return {row["name"]: row for row in soaklib.criteria(run).iter_rows(named=True)}

    return break_and_judge


@pytest.fixture
def judged(rehearsal, tmp_path):
    """Give a function that changes a copy of the rehearsal with SQL and judges it by one criterion."""

    def change_and_judge(criterion, *statements):
        folder = tmp_path / f"changed-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        shutil.copy(rehearsal.folder / DATABASE_NAME, folder)
        with duckdb.connect(str(folder / DATABASE_NAME)) as connection:
            for statement in (PUNCTUAL, *statements):
                connection.execute(statement).fetchall()
        with soaklib.open_run(folder) as run:
            return criterion(run)

    return change_and_judge
