"""What tests of the verdicts share: a real run that can be broken on purpose."""

from pathlib import Path

import pytest
from known_files import changed_copy

import soaklib

SAMPLE = Path(__file__).parents[2] / "data" / "sample"

# the rows that a test breaks must count, also when the machine was busy as the rehearsal ran
PUNCTUAL = "update runner_health set schedule_lag_max_us = 1000, loop_lag_max_us = 1000"


class Verdicts:
    """The verdicts on a run by name, each judged when it is asked for: all of them take more than a second."""

    def __init__(self, folder):
        self.folder = folder

    def __getitem__(self, name):
        with soaklib.open_run(self.folder) as run:
            [verdict] = soaklib.criteria(run, name).iter_rows(named=True)
        return verdict


@pytest.fixture
def change(rehearsal, tmp_path):
    """Give a function that changes a copy of the rehearsal with SQL, and gives its folder."""

    def change_copy(*statements):
        folder = tmp_path / f"changed-{len(list(tmp_path.iterdir()))}"
        return changed_copy(rehearsal.folder, folder, PUNCTUAL, *statements)

    return change_copy


@pytest.fixture
def broken(change):
    """Give a function that breaks a copy of the rehearsal with SQL and gives its verdicts by name."""
    return lambda *statements: Verdicts(change(*statements))


@pytest.fixture
def judged(change):
    """Give a function that changes a copy of the rehearsal with SQL and judges it by one criterion."""

    def change_and_judge(criterion, *statements):
        with soaklib.open_run(change(*statements)) as run:
            return criterion(run)

    return change_and_judge


@pytest.fixture(scope="session")
def _sample_copies(tmp_path_factory):
    return tmp_path_factory.mktemp("changed-samples")


@pytest.fixture
def changed_sample(_sample_copies):
    """Give a function that changes a copy of the sample, a day of steady noise, with SQL, and gives its folder."""

    def change_copy(*statements):
        return changed_copy(SAMPLE, _sample_copies / str(len(list(_sample_copies.iterdir()))), *statements)

    return change_copy


@pytest.fixture
def judged_sample(changed_sample):
    """Give a function that changes a copy of the sample with SQL and judges it by one criterion."""

    def change_and_judge(criterion, *statements):
        with soaklib.open_run(changed_sample(*statements)) as run:
            return criterion(run)

    return change_and_judge
