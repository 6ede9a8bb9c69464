"""The made-up set of kept runs."""

import pytest
from gateway_digests import write_digests
from rehearsals import made_once

import soaklib


@pytest.fixture(scope="session")
def kept_folder(tmp_path_factory):
    """Folder of the digests; the runs are in ``runs`` beside it."""
    return made_once(tmp_path_factory, "kept", write_digests) / "gateways"


@pytest.fixture
def kept(kept_folder):
    """The digests, read anew."""
    return soaklib.read_digests(kept_folder)
