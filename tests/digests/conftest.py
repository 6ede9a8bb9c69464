"""The made-up set of kept runs."""

import pytest
from gateway_digests import write_digests

import soaklib


@pytest.fixture(scope="session")
def kept_folder(tmp_path_factory):
    """Folder of the digests; the runs are in ``runs`` beside it."""
    return write_digests(tmp_path_factory.mktemp("kept"))


@pytest.fixture
def kept(kept_folder):
    """The digests, read anew."""
    return soaklib.read_digests(kept_folder)
