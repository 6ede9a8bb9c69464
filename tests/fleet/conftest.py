"""What fleets of real processes are tried on."""

import pytest
from running_gateway import running_gateway


@pytest.fixture
def gateway():
    """A reference gateway of its own, which outlives its runners."""
    with running_gateway("--speed", "360") as own:
        yield own.url
