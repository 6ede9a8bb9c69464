"""What soaks on virtual time are made in."""

import pytest
from virtual_soak import World


@pytest.fixture
def world():
    """Give what makes a world; it is closed at the end."""
    worlds = []

    def make(*arguments):
        worlds.append(World(*arguments))
        return worlds[-1]

    yield make
    for one in worlds:
        one.close()
