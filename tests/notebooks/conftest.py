"""The run that notebooks are executed on."""

import pytest
from soak_hour import write_soak_hour


@pytest.fixture(scope="session")
def soak_hour(tmp_path_factory):
    """Folder of the run."""
    folder = tmp_path_factory.mktemp("runs") / "r1"
    folder.mkdir()
    write_soak_hour(folder)
    return folder
