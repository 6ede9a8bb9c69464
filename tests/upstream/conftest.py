"""What the tests of the mock upstream share."""

import pytest
from upstream_driver import against_upstream


@pytest.fixture
def drive():
    """Give what runs a scenario, a coroutine function of a driver, against an upstream of its own."""
    return against_upstream
