"""What fleets of real processes are tried on."""

import pytest
from running_fleet import own_gateway


@pytest.fixture
def gateway():
    """A reference gateway of its own, which outlives its runners."""
    with own_gateway() as url:
        yield url
